"""A relay that answers as it is told to: every way in which one can be of no use, over a real WebSocket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import trio

from myownmesh.protocol.strict_json import compact_json
from support.signaling import upgrade, ws_frame

if TYPE_CHECKING:
    from support.signaling import BareSocket, Script

Answer = Callable[[list[Any]], Iterable[list[object]]]
"""From one frame of a client to the frames that come back."""


def relay(answer: Answer) -> Script:
    """A relay that upgrades, answers pings, and otherwise says what `answer` gives."""

    async def script(socket: BareSocket) -> None:
        await upgrade(socket)
        while True:
            opcode, payload = await socket.read_frame()
            if opcode == 8:
                return
            if opcode == 9:
                await socket.send(ws_frame(payload, 10))
            elif opcode == 1:
                for frame in answer(json.loads(payload)):
                    await socket.send(ws_frame(compact_json(frame).encode()))

    return script


def upgrade_answered_with(status: int) -> Script:
    """A server that answers the upgrade with this status."""

    async def script(socket: BareSocket) -> None:
        await socket.read_head()
        await socket.send(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())

    return script


def verdicts(reason: str, *, of_kinds: tuple[int, ...] = (1077, 21077), eose: bool = True) -> Answer:
    """Subscriptions are served; events of these kinds are refused with `reason`, others taken."""

    def answer(frame: list[Any]) -> Iterable[list[object]]:
        match frame:
            case ["REQ", sub, *_] if eose:
                yield ["EOSE", sub]
            case ["EVENT", event]:
                refused = event["kind"] in of_kinds
                yield ["OK", event["id"], not refused, reason if refused else ""]

    return answer


def closes_subscriptions(reason: str) -> Answer:
    """Every REQ ends with CLOSED; events are taken."""

    def answer(frame: list[Any]) -> Iterable[list[object]]:
        match frame:
            case ["REQ", sub, *_]:
                yield ["CLOSED", sub, reason]
            case ["EVENT", event]:
                yield ["OK", event["id"], True, ""]

    return answer


def closes_after_eose(reason: str) -> Answer:
    """Every REQ is served for a moment and then ends; events are taken."""

    def answer(frame: list[Any]) -> Iterable[list[object]]:
        match frame:
            case ["REQ", sub, *_]:
                yield ["EOSE", sub]
                yield ["CLOSED", sub, reason]
            case ["EVENT", event]:
                yield ["OK", event["id"], True, ""]

    return answer


async def talks_nonsense(socket: BareSocket) -> None:
    """Upgrades, and answers whatever is said with what is no frame of a relay."""
    await upgrade(socket)
    while True:
        opcode, payload = await socket.read_frame()
        if opcode == 8:
            return
        if opcode == 9:
            await socket.send(ws_frame(payload, 10))
        for text in (b"", b"{}", b"[]", b"[1]", b'["OK"]', b"[" * 5000, b'["EOSE", NaN]'):
            await socket.send(ws_frame(text))


def notices_only(text: str) -> Answer:
    """Nothing but a NOTICE for whatever is said."""
    return lambda _frame: [["NOTICE", text]]


def notices_for_events(text: str) -> Answer:
    """Subscriptions are served, events are answered with a NOTICE."""
    return lambda frame: [["EOSE", frame[1]]] if frame[0] == "REQ" else [["NOTICE", text]]


def takes_everything(_frame: list[Any]) -> Iterable[list[object]]:
    """No EOSE, no OK, no event."""
    return ()


def swallows_events(frame: list[Any]) -> Iterable[list[object]]:
    """EOSE for subscriptions, and not a word about events."""
    return [["EOSE", frame[1]]] if frame[0] == "REQ" else []


async def closes_at_once(socket: BareSocket) -> None:
    """Upgrades and hangs up."""
    await upgrade(socket)
    await socket.send(ws_frame((1008).to_bytes(2, "big") + b"restricted: members only", 8))


async def goes_half_open(socket: BareSocket) -> None:
    """Upgrades, and is not heard of again."""
    await upgrade(socket)
    await trio.sleep_forever()


async def hangs_up(socket: BareSocket) -> None:
    await socket.read_head()


async def never_upgrades(socket: BareSocket) -> None:
    await trio.sleep_forever()
