"""A device on an honest relay and on one that lies, floods, stalls or disappears: the honest one keeps working."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from myownmesh.protocol.signals import (
    AnswerReceived,
    EchoHeard,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
    SendAnswer,
    SendOffer,
)
from myownmesh.protocol.strict_json import compact_json
from myownmesh.signaling import link, websocket
from myownmesh.signaling.nostr import NostrKey
from myownmesh.signaling.sources import is_ours
from support.contention import Contention
from support.examples import few
from support.signaling import (
    eventually,
    hostile_relay,
    new_device,
    relay_server,
    running,
    upgrade,
    url_of,
    ws_frame,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.signaling import (
        BareSocket,
        Device,
        Script,
    )

KEY = NostrKey(b"\x06" * 32)
VICTIM = new_device(77).id


# ── what relays do ────────────────────────────────────────────────────────────────────────────────────────────────────


async def says_nothing(socket: BareSocket) -> None:
    await trio.sleep_forever()


async def hangs_up(socket: BareSocket) -> None:
    await socket.stream.receive_some()


async def refuses(socket: BareSocket) -> None:
    await socket.read_head()
    await socket.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")


async def never_ends_its_headers(socket: BareSocket) -> None:
    await socket.read_head()
    while True:
        await socket.send(b"HTTP/1.1 101 X\r\n" + b"X-Padding: 0123456789\r\n" * 100)


async def never_ends_its_refusal(socket: BareSocket) -> None:
    await socket.read_head()
    await socket.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 99999999999\r\n\r\n")
    while True:
        await socket.send(b"x" * 10_000)


async def speaks_something_else(socket: BareSocket) -> None:
    await socket.send(b"SSH-2.0-OpenSSH\r\n" + bytes(range(256)) * 10 + b"\r\n\r\n")
    await trio.sleep_forever()


async def stalls_after_the_upgrade(socket: BareSocket) -> None:
    await upgrade(socket)
    await trio.sleep_forever()


async def disappears(socket: BareSocket) -> None:
    await upgrade(socket)
    await socket.read_frame()


async def sends_a_huge_message(socket: BareSocket) -> None:
    await upgrade(socket)
    await socket.send(ws_frame(b"x" * 3_000_000))


async def announces_a_huge_message(socket: BareSocket) -> None:
    await upgrade(socket)
    await socket.send(ws_frame(b"")[:1] + bytes([127]) + (2**62).to_bytes(8, "big"))
    while True:
        await socket.send(b"x" * 65536)


async def sends_invalid_utf8(socket: BareSocket) -> None:
    await upgrade(socket)
    await socket.send(ws_frame(b'["NOTICE","\xff"]'))
    await trio.sleep_forever()


async def sends_binary(socket: BareSocket) -> None:
    await upgrade(socket)
    while True:
        await socket.send(ws_frame(b"\xff\x00" * 1000, 2))


async def floods_with_notices(socket: BareSocket) -> None:
    await upgrade(socket)
    while True:
        await socket.send(ws_frame(compact_json(["NOTICE", "x" * 60_000]).encode()) * 10)


async def floods_with_pings(socket: BareSocket) -> None:
    await upgrade(socket)
    while True:
        await socket.send(ws_frame(b"", 9) * 1000)


async def floods_with_empty_fragments(socket: BareSocket) -> None:
    await upgrade(socket)
    await socket.send(ws_frame(b"[", fin=False))
    while True:
        await socket.send(ws_frame(b"", 0, fin=False) * 1000)


async def floods_with_forgeries(socket: BareSocket) -> None:
    await upgrade(socket)
    number = 0
    while True:
        number += 1
        forged = {
            "id": "00" * 32,
            "pubkey": KEY.pubkey,
            "created_at": number,
            "kind": 1077,
            "tags": [],
            "sig": "00" * 64,
        }
        await socket.send(ws_frame(compact_json(["EVENT", "mom-sig-1", {**forged, "content": "{}"}]).encode()))


async def closes_everything(socket: BareSocket) -> None:
    await upgrade(socket)
    while True:
        opcode, text = await socket.read_frame()
        if opcode != 1:
            return
        verb, sub, *_ = json.loads(text)
        if verb == "REQ":
            await socket.send(ws_frame(compact_json(["CLOSED", sub, "error: no"]).encode()))


HOSTILE: list[Script] = [
    says_nothing,
    hangs_up,
    refuses,
    never_ends_its_headers,
    never_ends_its_refusal,
    speaks_something_else,
    stalls_after_the_upgrade,
    disappears,
    sends_a_huge_message,
    announces_a_huge_message,
    sends_invalid_utf8,
    sends_binary,
    floods_with_notices,
    floods_with_pings,
    floods_with_empty_fragments,
    floods_with_forgeries,
    closes_everything,
]


REASONS: dict[Script, str] = {
    hangs_up: "the connection ended during the handshake",
    refuses: "the other end refuses WebSockets: HTTP 503",
    speaks_something_else: "speaks no HTTP",
    sends_a_huge_message: "1009",
    sends_invalid_utf8: "1007",
    floods_with_empty_fragments: "a message came in more than 1024 pieces",
}


@pytest.mark.parametrize("script", REASONS, ids=lambda script: script.__name__)
async def test_the_log_says_once_why_a_relay_is_of_no_use(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    async with hostile_relay(script) as url, running(new_device(1, url)):
        with trio.fail_after(20):
            while "next try in" not in caplog.text:  # a log has no event
                await trio.sleep(0.01)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert url in warning
    assert REASONS[script] in warning


async def negotiate(first: Device, second: Device, round_: int) -> None:
    first.signaling.publish(SendOffer(second.id, f"offer {round_}"))
    await second.hears(OfferReceived, lambda offer: offer.sdp == f"offer {round_}")
    second.signaling.publish(SendAnswer(first.id, f"answer {round_}"))
    await first.hears(AnswerReceived, lambda answer: answer.sdp == f"answer {round_}")


@pytest.mark.parametrize("script", few(HOSTILE, every=4), ids=lambda script: script.__name__)
async def test_devices_meet_on_the_honest_relay_whatever_the_other_one_does(script: Script) -> None:
    async with relay_server() as server, hostile_relay(script) as hostile:
        first, second = new_device(1, hostile, url_of(server)), new_device(2, hostile, url_of(server))
        async with running(first, second):
            await first.hears(PeerAnnounced)
            await second.hears(PeerAnnounced)
            tracemalloc.start()
            try:
                for round_ in range(10):
                    started, contention = trio.current_time(), Contention()
                    await negotiate(first, second, round_)
                    assert trio.current_time() - started < contention.stretched(2.0)
                    await trio.sleep(0.02)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < 20 * 2**20
            assert {type(signal) for signal in first.heard} <= {PeerAnnounced, AnswerReceived, EchoHeard}


# ── lies ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def told(*events: object) -> AsyncIterator[Device]:
    """A device whose only relay delivers these events and then a genuine leave, which is heard."""
    device = new_device(1)

    async def script(socket: BareSocket) -> None:
        await upgrade(socket)
        _, request = await socket.read_frame()
        room = json.loads(request)[2]["#r"][0]
        last = KEY.sign(
            created_at=1,
            kind=21077,
            tags=(("r", room), ("p", room)),
            content=compact_json({"from": VICTIM, "kind": "leave", "peer_id": VICTIM}),
        )
        for number in (1, 2, 3):
            await socket.send(ws_frame(f'["EOSE","mom-sig-{number}"]'.encode()))
        for event in events:
            text = event(room) if callable(event) else event
            await socket.send(ws_frame(str(text).encode()))
        await socket.send(ws_frame(f'["EVENT","mom-sig-2",{last.json()}]'.encode()))
        await trio.sleep_forever()

    async with hostile_relay(script) as url:
        device = new_device(1, url)
        async with running(device):
            await device.hears(PeerLeft)
            yield device


def announce(room: str, device: str = VICTIM, *, tag: str | None = None, **replaced: object) -> str:
    event = KEY.sign(
        created_at=1_700_000_000,
        kind=1077,
        tags=(("r", room if tag is None else tag),),
        content=compact_json({"from": device, "to": None, "kind": "announce", "peer_id": device, "caps": ["ptag"]}),
    )
    return compact_json(["EVENT", "mom-sig-1", {**json.loads(event.json()), **replaced}])


async def test_lies_of_a_relay_are_not_believed() -> None:
    lies = [
        lambda room: announce(room, sig="00" * 64),
        lambda room: announce(room, id="11" * 32),
        lambda room: announce(room, content=announce(room)),
        lambda room: announce(room, tag="another room"),
        lambda room: announce(room, "é" * 26),
        lambda room: announce(room, VICTIM[:-1] + "é"),
        lambda room: announce(room, VICTIM.upper()),
        lambda room: announce(room, ""),
        lambda room: announce(room, new_device(1).id),
        '["EVENT"]',
        "[" * 5000,
        '["EVENT","s",{"id":1}]',
    ]
    async with told(*lies) as device:
        assert device.heard == [PeerLeft(VICTIM)]


async def test_the_same_relay_is_believed_when_it_tells_the_truth() -> None:
    async with told(announce) as device:
        assert device.heard == [PeerAnnounced(VICTIM), PeerLeft(VICTIM)]


# ── relays that come and go ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_relay_that_takes_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "WRITE_LIMIT_S", 0.2)
    connections = 0

    async def reads_nothing(socket: BareSocket) -> None:
        nonlocal connections
        connections += 1
        await upgrade(socket)
        await socket.send(ws_frame(b'["EOSE","mom-sig-1"]'))
        await trio.sleep_forever()

    async with hostile_relay(reads_nothing) as url:
        device = new_device(1, url)
        async with running(device):
            await device.admitted_by(url)
            for number in range(300):
                device.signaling.publish(SendOffer(VICTIM, f"{number}" + "x" * 200_000))
            await eventually(lambda: device.signaling.admitted == [])
    assert connections == 1


async def test_a_redial_replaces_the_connection_at_once() -> None:
    async with relay_server() as server:
        device, ups = new_device(1, url_of(server)), list[None]()
        device.signaling.on_up = lambda: ups.append(None)
        async with running(device):
            await device.admitted_by(url_of(server))
            device.signaling.redial()
            await eventually(lambda: server.activity.connections_total == 2 and len(ups) == 2)
            await device.admitted_by(url_of(server))


async def test_a_doubt_leaves_a_connection_that_answers_and_says_so() -> None:
    async with relay_server() as server:
        device, ups = new_device(1, url_of(server)), list[None]()
        device.signaling.on_up = lambda: ups.append(None)
        async with running(device):
            await device.admitted_by(url_of(server))
            device.signaling.redial(if_mute=True)
            await eventually(lambda: len(ups) == 2)
            assert server.activity.connections_total == 1


async def test_a_doubt_replaces_a_connection_that_is_mute() -> None:
    connections = 0

    async def says_nothing(socket: BareSocket) -> None:
        nonlocal connections
        connections += 1
        await upgrade(socket)
        await socket.send(ws_frame(b'["EOSE","mom-sig-1"]'))
        await trio.sleep_forever()

    async with hostile_relay(says_nothing) as url:
        device = new_device(1, url)
        async with running(device):
            await device.admitted_by(url)
            device.signaling.redial(if_mute=True)
            await eventually(lambda: connections == 2)
            await device.admitted_by(url)


async def test_a_doubt_wastes_no_time_on_a_connection_from_an_address_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with relay_server() as server:
        device = new_device(1, url_of(server))
        async with running(device):
            await device.admitted_by(url_of(server))
            monkeypatch.setattr(link, "is_ours", lambda _address: False)
            device.signaling.redial(if_mute=True)
            await eventually(lambda: server.activity.connections_total == 2)


def test_an_address_of_another_machine_is_not_ours() -> None:
    assert is_ours("127.0.0.1")
    assert not is_ours("192.0.2.7")
    assert not is_ours("2001:db8::7")


async def test_an_offer_made_while_the_relay_restarts_arrives() -> None:
    async with relay_server() as server:
        url, port = url_of(server), server.port
    first, second = new_device(1, url), new_device(2, url)
    async with running(first, second):
        first.signaling.publish(SendOffer(second.id, "made while nobody listened"))
        async with relay_server(port):
            second.signaling.redial()
            await second.admitted_by(url)
            first.signaling.redial()
            assert (await second.hears(OfferReceived)).sdp == "made while nobody listened"
            await first.hears(PeerAnnounced)
        await eventually(lambda: not first.signaling.admitted and not second.signaling.admitted)
        async with relay_server(port):
            for device in (first, second):
                device.heard.clear()
                device.signaling.redial()
            await first.hears(PeerAnnounced)
            await second.hears(PeerAnnounced)
            await negotiate(first, second, 1)


async def test_urls_that_cannot_be_dialled_are_left_out() -> None:
    bad = ("http://example", "ws://", "nonsense", "wss://[::1", "ws://host:99999", "ws://hö.example")
    async with relay_server() as server:
        first, second = new_device(1, *bad[:4], url_of(server)), new_device(2, *bad[3:], url_of(server))
        async with running(first, second):
            await first.hears(PeerAnnounced)
            await second.hears(PeerAnnounced)
