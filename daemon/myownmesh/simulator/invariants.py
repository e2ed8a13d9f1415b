"""What holds at any moment of any run, whatever goes wrong, and what holds again when the trouble is over."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

from mesh_common.views import PeerStatus
from myownmesh.engine.limits import MAX_INTENTS, MAX_PLACEHOLDERS, MAX_REMEMBERED_PEERS
from myownmesh.engine.why import CODES
from myownmesh.protocol.modes import FullMesh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mesh_common.views import PeerInfo
    from myownmesh.simulator.node import Node

TIMERS_PER_PEER: Final = 16
"""More than a link and its peer have kinds of timers that can be set at once."""
_ACTIVE: Final = (PeerStatus.ACTIVE, PeerStatus.SHELVED)


class Violation(Exception):
    """Something that must hold did not. `nodes` are the devices that it is about."""

    def __init__(self, text: str, nodes: tuple[str, ...]) -> None:
        super().__init__(text)
        self.nodes = nodes


def check_node(node: Node) -> None:
    """What holds for one process at any moment. Raises `Violation`."""
    report = node.engine.census()
    peers = node.switch.peers()
    bounds = {
        "actions that nobody carried out": (report.actions, 0),
        "strangers": (report.strangers, MAX_PLACEHOLDERS),
        "remembered peers": (report.remembered, MAX_REMEMBERED_PEERS),
        "intents": (report.intents, MAX_INTENTS),
        "timers": (report.timers, 32 + TIMERS_PER_PEER * max(len(peers), report.remembered)),
        "sessions": (len(node.sessions()), 2 * len(peers) + 8),
    }
    for what, (found, most) in bounds.items():
        if found > most:
            raise Violation(f"{found} {what}, at most {most}", (node.device_id,))
    if report.orphan_timers:
        raise Violation(f"timers of links that are gone: {report.orphan_timers}", (node.device_id,))
    _check_words(node, peers)


def _check_words(node: Node, peers: list[PeerInfo]) -> None:
    """Phase and `why` tell the truth."""
    active = 0
    for info in peers:
        active += info.status in _ACTIVE
        if info.status != PeerStatus.ACTIVE and info.why is None:
            raise Violation(f"{info.status} without a reason", (node.device_id, info.device_id))
        if info.why is not None and info.why.code not in CODES:
            raise Violation(f"{info.why.code} is no reason", (node.device_id, info.device_id))
    if (node.engine.phase == "active") is not (active > 0):
        raise Violation(f"phase {node.engine.phase} with {active} links", (node.device_id,))


def check_peace(nodes: Iterable[Node], can_meet: Callable[[Node, Node], bool]) -> None:
    """What holds when nothing has been wrong for a while: every link that is wanted is there if a path is possible, and
    both ends agree."""
    running = {node.device_id: node for node in nodes}
    views = {device_id: {info.device_id: info for info in node.switch.peers()} for device_id, node in running.items()}
    for one, other in combinations(running, 2):
        mine, theirs = views[one].get(other), views[other].get(one)
        wants = [running[a].engine.wants_link(b) for a, b in ((one, other), (other, one))]
        if isinstance(running[one].engine.topology, FullMesh):
            wants = [True]
        linked = [info is not None and info.status in _ACTIVE for info in (mine, theirs)]
        if not can_meet(running[one], running[other]):
            _check_apart(running[one], running[other], any(linked))
            continue
        if all(wants) and not all(linked):
            raise Violation(f"not linked: {_told(mine)} | {_told(theirs)}", (one, other))
        if linked[0] is not linked[1]:
            raise Violation(f"only one end takes it for linked: {_told(mine)} | {_told(theirs)}", (one, other))
        if mine is not None and theirs is not None and all(linked):
            ends = (mine.local_shelved, mine.remote_shelved), (theirs.remote_shelved, theirs.local_shelved)
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


def _told(info: object) -> str:
    status, why = getattr(info, "status", "unknown"), getattr(info, "why", None)
    return f"{status} ({why.code})" if why is not None else str(status)
