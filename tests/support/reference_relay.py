"""A small Nostr relay inside of the test process: records what a daemon writes, and misbehaves when told to."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import coincurve
import trio
from attrs import define, field

from support.signaling import BareSocket, upgrade, ws_frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Event = dict[str, Any]
MASK_AND_TEXT = 1


def event_id(event: Event) -> str:
    """Spec 03 §5.1."""
    body = [0, event["pubkey"], event["created_at"], event["kind"], event["tags"], event["content"]]
    return hashlib.sha256(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def check_event(event: Event) -> None:
    """Id and signature, by a path of our own."""
    assert set(event) == {"id", "pubkey", "created_at", "kind", "tags", "content", "sig"}, event
    assert event["id"] == event_id(event)
    key = coincurve.PublicKeyXOnly(bytes.fromhex(event["pubkey"]))
    assert key.verify(bytes.fromhex(event["sig"]), bytes.fromhex(event["id"]))


def matches(wanted: dict[str, Any], event: Event) -> bool:
    if "kinds" in wanted and event["kind"] not in wanted["kinds"]:
        return False
    if "since" in wanted and event["created_at"] < wanted["since"]:
        return False
    for name, values in wanted.items():
        if name.startswith("#") and not any(tag[0] == name[1:] and tag[1] in values for tag in event["tags"]):
            return False
    return True


@define(eq=False)
class Connection:
    """One socket of a daemon, with all that it wrote."""

    outbox: trio.MemorySendChannel[bytes]
    texts: list[tuple[float, str]] = field(factory=list)
    subs: dict[str, list[dict[str, Any]]] = field(factory=dict)
    ended: bool = False

    def frames(self) -> list[list[Any]]:
        return [json.loads(text) for _, text in self.texts]

    def say(self, *frame: Any) -> None:
        with suppress(trio.BrokenResourceError, trio.WouldBlock):
            self.outbox.send_nowait(ws_frame(json.dumps(frame, ensure_ascii=False).encode()))


@define(eq=False, slots=False)
class ReferenceRelay:
    """Peers of the test attach to it without a socket."""

    eose: bool = True
    ok: bool | None = True
    """The verdict of OK answers; None sends none."""
    echo: bool = False
    """Send a daemon its own events too, whatever it subscribed to."""
    stored_ephemerals: list[Event] = field(factory=list)
    """Served to every matching REQ, as relays do that keep them."""
    room: str | None = None
    """If set, whoever asks for another room is sent away: a daemon may still dial the port of an earlier relay."""
    url: str = ""
    connections: list[Connection] = field(factory=list)
    events: list[tuple[float, Event]] = field(factory=list)
    """What daemons published."""
    presence: list[Event] = field(factory=list)
    listeners: list[Callable[[Event], None]] = field(factory=list)
    _key: Any = field(factory=coincurve.PrivateKey)
    _news: trio.Event = field(factory=trio.Event)

    def event(self, kind: int, tags: list[list[str]], content: str, *, created_at: int | None = None) -> Event:
        event: Event = {
            "pubkey": self._key.public_key_xonly.format().hex(),
            "created_at": int(time.time()) if created_at is None else created_at,
            "kind": kind,
            "tags": tags,
            "content": content,
        }
        event["id"] = event_id(event)
        event["sig"] = self._key.sign_schnorr(bytes.fromhex(event["id"]), aux_randomness=bytes(32)).hex()
        return event

    def attach(self, listener: Callable[[Event], None]) -> None:
        self.listeners.append(listener)
        for event in self.presence:
            listener(event)

    def publish(self, event: Event, *, sender: Connection | None = None) -> None:
        """To everybody who asked for it."""
        if event["kind"] == 1077:
            self.presence.append(event)
        for listener in list(self.listeners):
            if sender is not None:
                listener(event)
        for connection in self.connections:
            if connection.ended or (connection is sender and not self.echo):
                continue
            for sub, filters in connection.subs.items():
                if any(matches(wanted, event) for wanted in filters):
                    connection.say("EVENT", sub, event)
                    break

    def contents(self, kind: str) -> list[dict[str, Any]]:
        """Envelopes of that kind that daemons published."""
        found = [json.loads(event["content"]) for _, event in self.events]
        return [envelope for envelope in found if envelope["kind"] == kind]

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = 10.0) -> None:
        with trio.move_on_after(seconds):
            while not condition():
                await self._news.wait()
        assert condition(), f"the relay never saw {what}"

    async def serve(self, stream: trio.SocketStream) -> None:
        send, receive = trio.open_memory_channel[bytes](4096)
        connection = Connection(send)
        async with stream:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
                socket = BareSocket(stream)
                await upgrade(socket)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_write, stream, receive)
                    await self._read(connection, socket)
                    nursery.cancel_scope.cancel()
        connection.ended = True
        self._wake()

    async def _read(self, connection: Connection, socket: BareSocket) -> None:
        while True:
            try:
                opcode, payload = await socket.read_frame()
            except (EOFError, trio.BrokenResourceError):
                return
            if opcode == 8:
                return
            if opcode == 9:
                connection.outbox.send_nowait(ws_frame(payload, 10))
            if opcode == 1:
                if self.room is not None and not connection.texts and self.room not in payload.decode():
                    return
                if not connection.texts:
                    self.connections.append(connection)
                connection.texts.append((time.monotonic(), payload.decode()))
                self._hear(connection, json.loads(payload))
                self._wake()

    def _hear(self, connection: Connection, frame: list[Any]) -> None:
        match frame:
            case ["REQ", sub, *filters]:
                connection.subs[sub] = filters
                for event in [*self.presence, *self.stored_ephemerals]:
                    if any(matches(wanted, event) for wanted in filters):
                        connection.say("EVENT", sub, event)
                if self.eose:
                    connection.say("EOSE", sub)
            case ["CLOSE", sub]:
                connection.subs.pop(sub, None)
            case ["EVENT", event]:
                check_event(event)
                self.events.append((time.monotonic(), event))
                if self.ok is not None:
                    connection.say("OK", event["id"], self.ok, "" if self.ok else "error: try again later")
                self.publish(event, sender=connection)

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()


async def _write(stream: trio.SocketStream, outbox: trio.MemoryReceiveChannel[bytes]) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for data in outbox:
            await stream.send_all(data)


@asynccontextmanager
async def reference_relay(**behaviour: Any) -> AsyncIterator[ReferenceRelay]:
    """A relay on a port of its own for the length of the block."""
    relay = ReferenceRelay(**behaviour)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    relay.url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, relay.serve, [listener])
        yield relay
        nursery.cancel_scope.cancel()
