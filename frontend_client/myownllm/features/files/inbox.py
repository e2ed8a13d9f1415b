"""Offers that wait for a person (spec 08 §5.1 `inbound_offers`): bounded, 300 seconds each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import trio

from mesh_common.values import Value
from myownllm.client.work import FileOffer
from myownllm.errors import AppError
from myownllm.transfers import offer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myownllm.client.work import Work
    from myownllm.coerce import JsonObject
    from myownllm.peers import PeerEntry

DECIDE_S: Final = 300.0


class Decision(Value, frozen=True):
    """What a person said: a folder to put the file in, or why not."""

    folder: Path | None = None
    reason: str = ""


@attrs.define(eq=False)
class PendingOffer:
    """One offer that waits."""

    offer: offer.FileOffer
    peer: PeerEntry
    folder: Path
    """where it goes unless a person names another one"""
    at_ms: int
    decision: Decision | None = None
    decided: trio.Event = attrs.field(factory=trio.Event)

    @property
    def expires_at_ms(self) -> int:
        return self.at_ms + int(DECIDE_S * 1000)

    def decide(self, decision: Decision) -> None:
        """The first decision counts."""
        if self.decision is None:
            self.decision = decision
            self.decided.set()

    def to_json(self) -> JsonObject:
        return {
            "id": self.offer.id,
            "peer_id": self.peer.device_pubkey,
            "peer_label": self.peer.label,
            "filename": self.offer.name,
            "size_bytes": self.offer.size_bytes,
            "folder": str(self.folder),
            "mime_type": self.offer.mime_type,
            "offered_at_ms": self.at_ms,
            "expires_at_ms": self.expires_at_ms,
        }


class Inbox:
    """Who may be asked about how many offers is decided before they come here."""

    def __init__(self, work: Work, now_ms: Callable[[], int]) -> None:
        self.pending: dict[str, PendingOffer] = {}
        self.on_offer: list[Callable[[PendingOffer], None]] = []
        self.on_change: list[Callable[[], None]] = []
        self._work = work
        self._now_ms = now_ms

    async def ask(self, peer: PeerEntry, offered: offer.FileOffer, folder: Path) -> Decision:
        """Wait for a person. Nobody's decision in 300 s declines."""
        pending = self.pending[offered.id] = PendingOffer(offered, peer, folder, self._now_ms())
        entry = FileOffer(
            offered.id,
            peer.device_pubkey,
            peer.label,
            filename=offered.name,
            size_bytes=offered.size_bytes,
            mime_type=offered.mime_type or "",
            expires_at=pending.expires_at_ms,
        )
        try:
            with self._work.begin(entry, lambda: pending.decide(Decision(reason=offer.DECLINED))):
                self._changed()
                for tell in self.on_offer:
                    tell(pending)
                with trio.move_on_after(DECIDE_S):
                    await pending.decided.wait()
        finally:
            del self.pending[offered.id]
            self._changed()
        return pending.decision or Decision(reason=offer.NO_RESPONSE)

    def find(self, text: str) -> PendingOffer:
        """The offer whose id is, or begins with, `text`, or whose file is called so. Raises AppError."""
        waiting = tuple(self.pending.values())
        found = (
            [p for p in waiting if p.offer.id == text]
            or [p for p in waiting if p.offer.name == text]
            or [p for p in waiting if text and p.offer.id.startswith(text)]
        )
        if len(found) != 1:
            what = f"{len(found)} offers are" if found else "no offer is"
            raise AppError(f"{what} called '{text[:200]}'; `myownllm inbox` lists them with their ids")
        return found[0]

    def decline_all(self, reason: str) -> None:
        """The app ends."""
        for pending in tuple(self.pending.values()):
            pending.decide(Decision(reason=reason))

    def _changed(self) -> None:
        for tell in self.on_change:
            tell()
