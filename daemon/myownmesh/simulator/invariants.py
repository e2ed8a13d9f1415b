"""What holds at any moment of any run, whatever goes wrong, and what holds again when the trouble is over."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

from myownmesh.engine.peer import Live, Shelved
from myownmesh.mesh.link import MAX_QUEUED_BYTES
from myownmesh.protocol.modes import FullMesh
from myownmesh.simulator.truth import check_words
from myownmesh.simulator.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from myownmesh.simulator.node import Node

LINGERING: Final = 8
"""Sessions whose entry is gone and whose last frame has still to leave."""


def check_node(node: Node) -> None:
    """What holds for one process at any moment. Raises `Violation`."""
    report = node.engine.census()
    for each in report.counts:
        if each.found > each.most:
            raise Violation(f"{each.found} {each.what}, at most {each.most}", (node.device_id,))
    if report.orphan_timers:
        raise Violation(f"timers of links that are gone: {report.orphan_timers}", (node.device_id,))
    peers = node.engine.standings(node.now())
    sessions, most = len(node.sessions()), 2 * len(peers) + LINGERING
    if sessions > most:
        raise Violation(f"{sessions} sessions, at most {most}", (node.device_id,))
    if node.switch.most_queued_bytes > 2 * MAX_QUEUED_BYTES:
        raise Violation(f"{node.switch.most_queued_bytes} bytes wait for one link", (node.device_id,))
    said, may = node.announces.said, node.announces.most(node.world.clock.seconds)
    if said > may:
        raise Violation(f"{said} announces, at most {may:.0f}", (node.device_id,))
    check_words(node, peers)


def check_peace(nodes: Iterable[Node], can_meet: Callable[[Node, Node], bool]) -> None:
    """What holds when nothing has been wrong for a while: every link that is wanted is there if a path is possible, and
    both ends agree."""
    running = {node.device_id: node for node in nodes}
    for one, other in combinations(running, 2):
        mine, theirs = (running[a].engine.core.peers.get(b) for a, b in ((one, other), (other, one)))
        wants = [running[a].engine.wants_link(b) for a, b in ((one, other), (other, one))]
        if isinstance(running[one].engine.topology, FullMesh):
            wants = [True]
        linked = [isinstance(mine, Live), isinstance(theirs, Live)]
        if not can_meet(running[one], running[other]):
            _check_apart(running[one], running[other], any(linked))
            continue
        if all(wants) and not all(linked):
            raise Violation(f"not linked: {_told(running, one, other)}", (one, other))
        if linked[0] is not linked[1]:
            raise Violation(f"only one end takes it for linked: {_told(running, one, other)}", (one, other))
        if isinstance(mine, Live) and isinstance(theirs, Live):
            ends = (
                (isinstance(mine, Shelved), mine.upkeep.remote_shelved),
                (theirs.upkeep.remote_shelved, isinstance(theirs, Shelved)),
            )
            if ends[0] != ends[1]:
                raise Violation(f"the ends do not agree who shelved: {ends}", (one, other))


def _check_apart(one: Node, other: Node, is_linked: bool) -> None:
    """Two devices between which no path is possible: neither takes the other for linked."""
    if is_linked:
        raise Violation("linked, though no packet passes between them", (one.device_id, other.device_id))


def check_stopped(node: Node) -> None:
    """What holds behind a stop: nothing is left that could wake up."""
    if node.engine.next_timer() is not None:
        raise Violation("a timer is left behind the stop", (node.device_id,))
    if node.sessions():
        raise Violation(f"{len(node.sessions())} sessions are left behind the stop", (node.device_id,))


def _told(running: Mapping[str, Node], one: str, other: str) -> str:
    """How each of two takes the other."""
    views = [running[a].peer(running[b]) for a, b in ((one, other), (other, one))]
    return " | ".join(
        "unknown" if info is None else f"{info.status} ({info.why.code})" if info.why is not None else str(info.status)
        for info in views
    )
