"""A relay as there are public ones: it keeps to NIP-01, minds `created_at`, and tells its time, rightly or wrongly."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from attrs import define, field

from myownmesh.protocol.strict_json import compact_json
from myownmesh.relay.filters import decode_filter, tags_of
from myownmesh.signaling.nostr import decode_event, is_ephemeral
from support.signaling import upgrade, ws_frame

if TYPE_CHECKING:
    from myownmesh.relay.filters import Filter
    from myownmesh.signaling.nostr import NostrEvent
    from support.signaling import BareSocket


@define(eq=False)
class StrictRelay:
    """Its `script` is served by `support.signaling.hostile_relay`."""

    window_s: float = float("inf")
    """An event whose stamp is further from the relay's clock is refused."""
    ahead_s: int = 0
    """Of the relay's clock."""
    says_date: bool = True
    refused: list[str] = field(factory=list)
    """Why events were turned down."""
    stored: list[NostrEvent] = field(factory=list)
    _subs: dict[BareSocket, dict[str, list[Filter]]] = field(factory=dict)
    _writing: dict[BareSocket, trio.Lock] = field(factory=dict)

    def now(self) -> float:
        return time.time() + self.ahead_s

    async def script(self, socket: BareSocket) -> None:
        await upgrade(socket, *([f"Date: {formatdate(self.now(), usegmt=True)}"] if self.says_date else []))
        self._subs[socket] = {}
        try:
            while True:
                opcode, payload = await socket.read_frame()
                if opcode == 8:
                    return
                if opcode == 1:
                    await self._take(socket, json.loads(payload))
        finally:
            del self._subs[socket]

    async def _take(self, socket: BareSocket, frame: list[Any]) -> None:
        match frame:
            case ["REQ", sub, *filters]:
                await self._subscribe(socket, sub, filters)
            case ["CLOSE", sub]:
                self._subs[socket].pop(sub, None)
            case ["EVENT", value]:
                await self._publish(socket, value)

    async def _subscribe(self, socket: BareSocket, sub: str, asked: list[dict[str, Any]]) -> None:
        if any(each.get("since", 0) < 0 for each in asked):
            await self._say(socket, ["CLOSED", sub, "invalid: since is no time"])
            return
        filters = [found for each in asked if (found := decode_filter(each)) is not None]
        self._subs[socket][sub] = filters
        matching: dict[str, NostrEvent] = {}
        for each, found in zip(asked, filters, strict=True):
            newest = sorted(self.stored, key=lambda event: -event.created_at)
            matching |= {e.id: e for e in [e for e in newest if found.matches(e, tags_of(e))][: each.get("limit", 500)]}
        for event in matching.values():
            await self._say(socket, ["EVENT", sub, json.loads(event.json())])
        await self._say(socket, ["EOSE", sub])

    async def _publish(self, socket: BareSocket, value: dict[str, Any]) -> None:
        event = decode_event(msgspec.Raw(compact_json(value).encode()))
        off_s = event.created_at - self.now()
        if abs(off_s) > self.window_s:
            self.refused.append(f"invalid: created_at too far {'in the future' if off_s > 0 else 'in the past'}")
            await self._say(socket, ["OK", event.id, False, self.refused[-1]])
            return
        if not is_ephemeral(event.kind):
            self.stored.append(event)
        await self._say(socket, ["OK", event.id, True, ""])
        for other, subs in list(self._subs.items()):
            for sub, filters in list(subs.items()):
                if any(each.matches(event, tags_of(event)) for each in filters):
                    await self._say(other, ["EVENT", sub, value])

    async def _say(self, socket: BareSocket, frame: list[object]) -> None:
        async with self._writing.setdefault(socket, trio.Lock()):
            await socket.send(ws_frame(compact_json(frame).encode()))
