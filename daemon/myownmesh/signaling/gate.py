"""Memory of what was seen, so that nothing acts twice (spec 03 §11 step 3, §15)."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from myownmesh.protocol.signals import AnswerReceived, CandidateReceived, OfferReceived, SealedReceived

if TYPE_CHECKING:
    from myownmesh.protocol.signals import InboundSignal

RING_CAPACITY = 2048


class Ring:
    """The last keys that were added, oldest out first."""

    def __init__(self, capacity: int = RING_CAPACITY) -> None:
        self._capacity = capacity
        self._keys: OrderedDict[str | bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: str | bytes) -> bool:
        return key in self._keys

    def add(self, key: str | bytes) -> bool:
        """True when the key was new. A repeated key keeps its place."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > self._capacity:
            self._keys.popitem(last=False)
        return True


class ContentGate:
    """Stands in front of the engine, shared by all drivers of a network.

    One emission of a peer may come over several relays and transports with different event and offer ids, and a remote
    description that is applied twice wedges most WebRTC stacks. Announces and leaves always pass: their repeats pace
    the recovery.
    """

    def __init__(self) -> None:
        self._ring = Ring()

    def passes(self, signal: InboundSignal | SealedReceived) -> bool:
        match signal:
            case OfferReceived(peer, sdp):
                key: tuple[object, ...] = (1, peer, sdp)
            case AnswerReceived(peer, sdp):
                key = (2, peer, sdp)
            case CandidateReceived(peer, c):
                key = (3, peer, c.candidate, c.sdp_mid, c.sdp_mline_index, c.username_fragment)
            case SealedReceived(peer, kind, offer_id, eseal):
                key = (4, peer, kind, offer_id, eseal)
            case _:
                return True
        # Hashed, so that 2048 descriptions do not stay in memory.
        return self._ring.add(hashlib.sha256(repr(key).encode("utf-8", "surrogatepass")).digest())
