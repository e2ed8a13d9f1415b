"""Our relay and clients of every kind, over real sockets."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio

from myownmesh.protocol.signals import PeerAnnounced
from myownmesh.relay.client import Limits
from myownmesh.relay_worker import connections, worker
from support.signaling import (
    RelayAtHand,
    bare_client,
    eventually,
    new_device,
    relay_server,
    running,
    url_of,
    ws_frame,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.signaling import BareSocket

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
REQ = b'["REQ","s",{"#r":["room"]}]'


async def say(socket: BareSocket, payload: bytes, opcode: int = TEXT) -> None:
    await socket.send(ws_frame(payload, opcode, masked=True))


async def hears(socket: BareSocket) -> Any:
    opcode, payload = await socket.read_frame()
    assert opcode == TEXT
    return json.loads(payload)


async def test_each_ping_gets_one_pong_and_binary_is_ignored() -> None:
    async with relay_server() as server, bare_client(server.port) as client:
        await say(client, b"\x00\xff", BINARY)
        await say(client, b"hello", PING)
        await say(client, REQ)
        assert await client.read_frame() == (PONG, b"hello")
        assert await hears(client) == ["EOSE", "s"]


async def test_a_close_is_answered_with_a_close() -> None:
    async with relay_server() as server, bare_client(server.port) as client:
        await say(client, (1000).to_bytes(2, "big"), CLOSE)
        assert await client.read_frame() == (CLOSE, (1000).to_bytes(2, "big"))
        await eventually(lambda: server.activity.connections == 0)


async def test_one_connection_too_many_is_told_so_and_closed_without_a_code() -> None:
    async with relay_server(limits=Limits(max_connections_per_ip=1)) as server, bare_client(server.port) as first:
        async with bare_client(server.port) as second:
            assert await hears(second) == ["NOTICE", "too many connections from your address"]
            assert await second.read_frame() == (CLOSE, b"")
        await say(first, REQ)
        assert await hears(first) == ["EOSE", "s"]


async def test_behind_a_proxy_on_this_machine_the_forwarded_address_counts() -> None:
    limits = Limits(max_connections_per_ip=1)
    async with relay_server(limits=limits) as server, bare_client(server.port, "X-Forwarded-For: 192.0.2.1") as one:
        async with bare_client(server.port, "X-Forwarded-For: 192.0.2.2") as two:
            for client in (one, two):
                await say(client, REQ)
                assert await hears(client) == ["EOSE", "s"]
        async with bare_client(server.port, "X-Forwarded-For: 192.0.2.9, 192.0.2.1") as again:
            assert (await hears(again))[0] == "NOTICE"


async def test_addresses_of_one_ipv6_household_count_as_one() -> None:
    """Whoever has one has 2^64 of them, and would have the whole relay."""
    limits = Limits(max_connections_per_ip=1)
    async with relay_server(limits=limits) as server, bare_client(server.port, "X-Forwarded-For: 2001:db8::1") as one:
        await say(one, REQ)
        assert await hears(one) == ["EOSE", "s"]
        async with bare_client(server.port, "X-Forwarded-For: 2001:db8:0:0:ffff::2") as beside:
            assert (await hears(beside))[0] == "NOTICE"
        async with bare_client(server.port, "X-Forwarded-For: 2001:db8:0:1::1") as elsewhere:
            await say(elsewhere, REQ)
            assert await hears(elsewhere) == ["EOSE", "s"]


async def test_the_51st_violation_is_told_and_closed_with_1008() -> None:
    async with relay_server(limits=Limits(max_message_bytes=100)) as server, bare_client(server.port) as client:
        await client.send(ws_frame(b"x" * 101, masked=True) * 51)
        assert await hears(client) == ["NOTICE", "rate limit exceeded — closing"]
        opcode, payload = await client.read_frame()
        assert (opcode, payload[:2]) == (CLOSE, (1008).to_bytes(2, "big"))
        await eventually(lambda: server.activity.connections == 0)


@pytest.mark.parametrize(
    "frames",
    [
        ws_frame(b"x" * (2**20 + 1), masked=True),
        ws_frame(b"x" * 2**19, masked=True, fin=False) + ws_frame(b"x" * 2**19, 0, masked=True, fin=False) * 2,
        ws_frame(b"\xff\xfe", masked=True),
        ws_frame(b"unmasked"),
        b"\xff" * 100,
        ws_frame(b"", 3, masked=True),
        ws_frame(b"x", 0, masked=True),
        ws_frame(b"x" * 200, PING, masked=True),
        ws_frame(b"x", CLOSE, masked=True),
        ws_frame((999).to_bytes(2, "big"), CLOSE, masked=True),
        ws_frame(b"[", masked=True, fin=False) + ws_frame(b"", 0, masked=True, fin=False) * 400_000,
    ],
    ids=[
        "message above 1 MiB",
        "fragments above 1 MiB",
        "invalid UTF-8",
        "no mask",
        "garbage",
        "reserved opcode",
        "continuation of nothing",
        "long ping",
        "short close",
        "invalid close code",
        "a flood of empty fragments",
    ],
)
async def test_a_client_that_breaks_the_protocol_is_dropped_and_nobody_else_notices(frames: bytes) -> None:
    async with relay_server() as server, bare_client(server.port) as honest:
        async with bare_client(server.port) as hostile:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_push, hostile, frames)
                with suppress(EOFError, trio.BrokenResourceError):
                    while True:
                        await hostile.read_frame()
            await eventually(lambda: server.activity.connections == 1)
        await say(honest, REQ)
        assert await hears(honest) == ["EOSE", "s"]


async def _push(socket: BareSocket, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # dropped half-way, as it should be
        await socket.send(data)


@pytest.mark.parametrize(
    "opening",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 12\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"A" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\nUpgrade: \xff\r\nConnection: \xff\r\nSec-WebSocket-Key: \xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: \xc3\xa9\r\nSec-WebSocket-Key: x\r\n\r\n",
    ],
    ids=["nothing", "plain HTTP", "old version", "TLS", "one long line", "endless headers", "bytes", "é"],
)
async def test_whoever_does_not_upgrade_is_gone_in_time(opening: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_LIMIT_S", 0.2)
    async with relay_server() as server, await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
        with trio.fail_after(5), suppress(trio.BrokenResourceError):
            await stream.send_all(opening)
            while await stream.receive_some(65536):
                pass
        async with bare_client(server.port) as honest:
            await say(honest, REQ)
            assert await hears(honest) == ["EOSE", "s"]


async def test_a_client_that_never_reads_does_not_stop_the_others() -> None:
    limits = Limits(max_event_rate=0, max_message_bytes=0)
    async with relay_server(limits=limits) as server:
        first, second = new_device(1, url_of(server)), new_device(2, url_of(server))
        async with running(first), bare_client(server.port) as stalled, bare_client(server.port) as writer:
            await say(stalled, b'["REQ","s",{"#r":["flood"]}]')
            flood = _signed("x" * 200_000)
            for number in range(80):
                await say(writer, flood(number))
                assert (await hears(writer))[2] is True
            async with running(second):
                await first.hears(PeerAnnounced)
                await second.hears(PeerAnnounced)
            await eventually(lambda: server.activity.connections == 2)


def _signed(content: str) -> Any:
    from myownmesh.signaling.nostr import NostrKey

    key = NostrKey(b"\x07" * 32)

    def made(number: int) -> bytes:
        event = key.sign(created_at=number, kind=21077, tags=(("r", "flood"),), content=content)
        return f'["EVENT",{event.json()}]'.encode()

    return made


async def test_a_stopped_relay_says_going_away_and_its_port_is_free_again() -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(relay_server())
        async with bare_client(server.port) as client:
            await say(client, REQ)
            assert await hears(client) == ["EOSE", "s"]
            await say(client, b"x" * 500)  # on the way when it ends
            await stack.aclose()
            opcode, payload = await client.read_frame()
    assert (opcode, payload[:2]) == (CLOSE, (1001).to_bytes(2, "big"))
    async with relay_server(server.port) as again:
        assert again.port == server.port


async def test_a_busy_port_is_an_error_that_names_itself() -> None:
    async with relay_server() as server:
        with pytest.raises(OSError, match=r"in use"):
            RelayAtHand(server.port)
    with pytest.raises(OSError, match=r"neither an address of this machine nor a name of one"):
        RelayAtHand(bind="a..b")


async def test_a_listener_for_both_families_counts_ipv4_clients_as_such() -> None:
    async with (
        relay_server(limits=Limits(max_connections_per_ip=1), bind="[::]") as server,
        bare_client(server.port),
        bare_client(server.port, "X-Forwarded-For: 192.0.2.1") as behind,
    ):
        await say(behind, REQ)
        assert await hears(behind) == ["EOSE", "s"], "the proxy is on this machine"


async def test_unfinished_handshakes_of_one_address_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HANDSHAKES_PER_ADDRESS", 2)
    monkeypatch.setattr(connections, "is_loopback", lambda address: False)
    async with relay_server() as server, AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", server.port))
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as third:
            with trio.fail_after(5):
                assert await third.receive_some() == b""


async def test_nobody_is_taken_beyond_what_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "most_connections", lambda: 1)
    async with relay_server() as server, bare_client(server.port) as first:
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as second:
            with trio.fail_after(5):
                assert await second.receive_some() == b""
        await say(first, REQ)
        assert await hears(first) == ["EOSE", "s"]


async def test_whoever_is_refused_and_goes_on_sending_hears_why() -> None:
    """A socket that is closed with something unread answers with a reset, which takes the last words along."""
    limits = Limits(max_connections_per_ip=1, max_message_bytes=100)
    async with relay_server(limits=limits) as server, bare_client(server.port) as first:
        async with bare_client(server.port) as refused, sending_on(refused):
            assert await hears(refused) == ["NOTICE", "too many connections from your address"]
            assert await refused.read_frame() == (CLOSE, b"")
            with pytest.raises(EOFError):
                await refused.read_frame()
        async with sending_on(first):
            assert await hears(first) == ["NOTICE", "rate limit exceeded — closing"]
            opcode, payload = await first.read_frame()
            assert (opcode, payload[:2]) == (CLOSE, (1008).to_bytes(2, "big"))
            with pytest.raises(EOFError):
                await first.read_frame()


@asynccontextmanager
async def sending_on(client: BareSocket) -> AsyncIterator[None]:
    """It writes without listening, far less than what would have it cut off."""

    async def write() -> None:
        for _ in range(100):
            await _push(client, ws_frame(b"x" * 101, masked=True) * 10)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        yield
        nursery.cancel_scope.cancel()


async def test_whoever_is_turned_away_and_never_stops_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PARTING_BYTES", 50_000)
    async with relay_server(limits=Limits(max_message_bytes=100)) as server, bare_client(server.port) as client:
        with trio.fail_after(10), suppress(trio.BrokenResourceError):
            while True:
                await client.send(ws_frame(b"x" * 101, masked=True) * 100)


async def test_a_flood_of_pings_is_closed() -> None:
    async with relay_server() as server, bare_client(server.port) as client:
        await client.send(ws_frame(b"", PING, masked=True) * (connections.CONTROLS_AT_ONCE + 50))
        while (frame := await client.read_frame())[0] == PONG:
            pass
        assert (frame[0], frame[1][:2]) == (CLOSE, (1008).to_bytes(2, "big"))


async def test_messages_that_never_end_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNFINISHED_BYTES", 300_000)
    begun = ws_frame(b"x" * 200_000, masked=True)[:-1]
    async with relay_server() as server, bare_client(server.port) as first, bare_client(server.port) as second:
        for client in (first, second):
            await client.send(begun)
        async with trio.open_nursery() as nursery:
            closed = []

            async def waits(client: BareSocket) -> None:
                closed.append(await client.read_frame())
                nursery.cancel_scope.cancel()

            nursery.start_soon(waits, first)
            nursery.start_soon(waits, second)
        assert [(opcode, payload[:2]) for opcode, payload in closed] == [(CLOSE, (1013).to_bytes(2, "big"))]
