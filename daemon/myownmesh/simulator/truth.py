"""What a device says of its peers, held against what is so in its world: phase, status and `why`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.views import PeerStatus
from myownmesh.engine.why import CODES
from myownmesh.simulator.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownmesh.engine.why import Standing
    from myownmesh.simulator.node import Node
    from myownmesh.simulator.session import FakeSession

ACTIVE: Final = (PeerStatus.ACTIVE, PeerStatus.SHELVED)
NOTICED_S: Final = 6.0
"""A peer of which no packet comes any more is no peer that needs no reason, so long after the last one."""


def check_words(node: Node, peers: Iterable[Standing]) -> None:
    """Phase and `why` tell the truth. Raises `Violation`."""
    sessions: dict[str | None, list[FakeSession]] = {}
    for session in node.sessions():
        sessions.setdefault(node.owner_at(session), []).append(session)
    active = 0
    for peer in peers:
        active += peer.status in ACTIVE
        if (lie := _lie(node, peer, sessions.get(peer.device_id, []))) is not None:
            raise Violation(lie, (node.device_id, peer.device_id))
    if (node.engine.phase == "active") is not (active > 0):
        raise Violation(f"phase {node.engine.phase} with {active} links", (node.device_id,))


def _lie(node: Node, peer: Standing, sessions: list[FakeSession]) -> str | None:
    """What is said of a peer and is not so; `sessions` are those to it."""
    code = peer.code
    if not code:
        if peer.status is not PeerStatus.ACTIVE:
            return f"{peer.status} without a reason"
        silent_s = _silent_s(node, sessions)
        return f"active, and no packet has come for {silent_s:.1f} s" if silent_s > NOTICED_S else None
    if code not in CODES:
        return f"{code} is no reason"
    if node.is_offline is not (code == "offline"):
        return f"{code}, where offline is {node.is_offline}"
    return f"{code}, which is not so" if _is_wrong(node, peer, sessions) else None


def _is_wrong(node: Node, peer: Standing, sessions: list[FakeSession]) -> bool:
    """Is a reason one that the world knows better?"""
    match peer.code:
        case "path_down":
            return peer.status not in ACTIVE or any(
                state is not None and state.is_up for each in sessions[:1] for state in each.told
            )
        case "kept_apart_by_shape":
            return node.engine.wants_link(peer.device_id)
        case "silent_network":
            return not node.engine.core.is_silent()
        case "needs_turn":
            return peer.status in ACTIVE or bool(node.world.wire.turn & {node.device_id, peer.device_id})
        case "shelved":
            return peer.status != PeerStatus.SHELVED
        case "path_untested" | "rebuilding" | "suspected":
            return peer.status not in ACTIVE
        case "waits_for_us" | "waits_for_them" | "waits_for_signature" | "waits_for_authority":
            return peer.status != PeerStatus.PENDING_APPROVAL
        case "offline":
            return False
        case _:
            return peer.status in ACTIVE


def _silent_s(node: Node, sessions: list[FakeSession]) -> float:
    """For how long nothing has come over any of these."""
    now = node.world.clock.seconds
    since = [now if path is None else path for path in map(_silent_since, sessions)]
    return min((now - each for each in since), default=0.0)


def _silent_since(session: FakeSession) -> float | None:
    return None if session.sending is None else session.sending.silent_since
