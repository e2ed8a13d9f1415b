"""What a path is called in traces and diagnostics: states, classes and kinds (spec 04 §9.3–9.5). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.views import CandidateKind
from myownmesh.engine.links import PathState
from myownmesh.engine.peer import OpenLink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh_common.views import SelectedPair
    from myownmesh.engine.peer import Link

_REFLEXIVE: Final = (CandidateKind.SERVER_REFLEXIVE, CandidateKind.PEER_REFLEXIVE)

_CONNECTION_STATES: Final[Mapping[PathState, str]] = {
    PathState.NEW: "New",
    PathState.CHECKING: "Connecting",
    PathState.CONNECTED: "Connecting",
    PathState.COMPLETED: "Connecting",
    PathState.DISCONNECTED: "Disconnected",
    PathState.FAILED: "Failed",
    PathState.CLOSED: "Closed",
}
"""Of a transport whose channel is not open yet: a path alone is no connection."""

_KINDS: Final[Mapping[str, str]] = {
    CandidateKind.HOST: "Host",
    CandidateKind.SERVER_REFLEXIVE: "ServerReflexive",
    CandidateKind.PEER_REFLEXIVE: "PeerReflexive",
    CandidateKind.RELAY: "Relay",
}


def pair_class(pair: SelectedPair) -> str:
    """How direct a path is: `turn`, `stun`, `lan`, or `unknown`."""
    ends = (pair.local, pair.remote)
    if CandidateKind.RELAY in ends:
        return "turn"
    if any(end in _REFLEXIVE for end in ends):
        return "stun"
    return "lan" if ends == (CandidateKind.HOST, CandidateKind.HOST) else "unknown"


def directness(pair: SelectedPair) -> str:
    """The same for people; v0.3.8 calls reflexive pairs `direct` as well (spec 04 §15.1 no. 25)."""
    return {"turn": "relayed (TURN)", "stun": "direct (STUN)"}.get(pair_class(pair), "direct")


def kind_word(kind: str) -> str:
    """A candidate's kind in the reference's words."""
    return _KINDS.get(kind, kind)


def connection_state(peer: Link) -> str:
    """The state of the whole connection, in WebRTC's words."""
    carrier = peer.transport.carrier
    return "Connected" if carrier.is_up and isinstance(peer, OpenLink) else _CONNECTION_STATES[carrier]
