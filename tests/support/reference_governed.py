"""v0.3.8's governance on the wire: a plain reading of its rules behind the links of its imitation.

Frame for frame as the captured run has them (spec 02 §11.2, §14.1, §15).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from myownmesh.identity import Identity
from myownmesh.protocol.codec import decode_frame, encode_frame
from myownmesh.protocol.frames import NetworkState, RosterEntries, RosterRequest
from myownmesh.simulator.reference_governance import ReferenceGovernance
from support.reference_peer import compact, membership_root
from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.transitions import Variant
    from support.reference_peer import ReferencePeer, StockLink

HEARD: Final = ("roster_entries", "roster_request", "network_state", "network_state_propose", "network_state_ack")
DROPPED_AFTER_S: Final = 0.4
"""The proof has left by then (spec 02 §15.2)."""


def captured_members() -> dict[str, list[str]]:
    """The members of each kind of frame, in the order in which v0.3.8 writes them."""
    [fleet] = [case for case in load("governance", "captured") if case["id"] == "fleet"]
    texts = [frame["json"] for step in fleet["steps"] for frame in step.get("frames_to_carol", [])]
    return {frame["kind"]: list(frame) for frame in map(json.loads, texts)}


@define(eq=False)
class GovernedPeer:
    """What a device that runs v0.3.8 believes and says of its network."""

    peer: ReferencePeer
    mind: ReferenceGovernance = field(init=False)
    sent: list[dict[str, Any]] = field(factory=list)
    """Frames about governance that left."""
    has_greeted: bool = False

    def __attrs_post_init__(self) -> None:
        self.mind = ReferenceGovernance(self.peer.network_id, Identity.from_seed(self.peer.seed))
        self.peer.gossips = self.peer.approves = False
        self.peer.on_frame = self._hear

    def decide(self, variant: Variant) -> str:
        """A person there proposes something; whatever may be in force then is."""
        known = f"prop_{secrets.token_hex(8)}"
        proposed, before, *after = self.mind.propose(known, variant, int(time.time()))
        self._send(proposed, before)
        self._tell(after)
        if self.mind.is_evicted(self.peer.only):
            self.peer.drop()  # whoever ratifies it here ends its own link; others do not (spec 02 §15.2)
        return known

    def dial(self) -> None:
        """Dial whatever the order of ids (`network_connect_peer`)."""
        self.peer.spawn(self.peer.dial())

    @property
    def is_out(self) -> bool:
        return self.mind.is_evicted(self.peer.device_id)

    # ── the wire ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, news: Iterable[Frame]) -> None:
        """What changed, behind a summary (spec 02 §14.1)."""
        for frame in news:
            self._put({"kind": "roster_summary", "root": self._root, "count": len(self._rows), "last_edit_ts": 0})
            self._send(frame)

    def _send(self, *frames: Frame) -> None:
        for frame in frames:
            text = json.loads(encode_frame(frame))
            if isinstance(frame, NetworkState):
                text["roster_root"] = self._root
            if isinstance(frame, RosterEntries):
                text["entries"] = [
                    {"device_id": each, "label": "", "approved_at": 0, "role": role, "granted_by": ""}
                    for each, role in self._rows.items()
                ]
            self._put(text)

    def _put(self, text: dict[str, Any]) -> None:
        if self.peer.opened_now and (self.peer.active or text["kind"] == "deny"):
            self.sent.append(text)
            self.peer.send_raw(compact(text).encode())

    @property
    def _rows(self) -> dict[str, str]:
        """The roster: on a closed network it mirrors what is signed."""
        return self.mind.roles if self.mind.kind == "closed" else dict.fromkeys(self.peer.roster, "member")

    @property
    def _root(self) -> str:
        return membership_root(set(self._rows))

    def _hear(self, text: dict[str, Any]) -> None:
        peer, mind = self.peer, self.mind
        match text["kind"]:
            case "hello":
                self.has_greeted = False
            case "auth_response" if mind.is_evicted(peer.only):
                self._deny()
            case "auth_response":
                peer.send_approve()
            case "deny":
                self._take(text)
                peer.drop()
                return
            case "roster_summary" if peer.active and text["root"] != self._root:
                self._send(RosterRequest(include_all=True))
            case "network_state" if peer.active and text["roster_root"] != self._root:
                self._send(RosterRequest(include_all=True))
            case kind if peer.active and kind in HEARD:
                self._take(text)
        if peer.active and not self.has_greeted:
            self.has_greeted = True
            self._tell([mind.counts()])

    def _take(self, text: dict[str, Any]) -> None:
        self._send(*self.mind.hear(decode_frame(compact(text).encode()), self.peer.only))
        self._tell(self.mind.news())

    def _deny(self) -> None:
        """An evicted device gets the proof, and then its link ends (spec 02 §15.2)."""
        self._send(*self.mind.denial())
        asyncio.get_running_loop().call_later(DROPPED_AFTER_S, self._drop, self.peer.link)

    def _drop(self, denied: StockLink | None) -> None:
        """The link that was denied ends, not one that was dialled meanwhile."""
        if self.peer.link is denied:
            self.peer.drop()
