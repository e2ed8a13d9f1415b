"""The flattened SCTP path against itself, over a wire that loses, repeats and reorders, on a virtual clock."""

from __future__ import annotations

import asyncio
import random
import struct
from typing import TYPE_CHECKING, cast

import pytest
from google_crc32c import value as crc32c

from myownmesh.transport.lean_imports import without_media, without_package

with without_media(), without_package():
    from myownmesh.transport.sctp import DataAssociation

from myownmesh.protocol.limits import MAX_INBOUND_BYTES
from myownmesh.transport.sctp_receiving import WINDOW_BYTES
from myownmesh.transport.sctp_wire import MAX_FRAGMENT_BYTES, MAX_PACKET_BYTES
from unit.transport.virtual_loop import run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.transport.dtls import DtlsLink


class Wire:
    """The transport of one end: what it sends reaches the other end after a delay, or does not."""

    state = "connected"

    def __init__(self, role: str, rng: random.Random, loss: float, delay: float, jitter: float) -> None:
        self._role = role
        self.jitter = jitter
        self._last_arrival = 0.0
        self._rng = rng
        self.loss = loss
        self.delay = delay
        self.deliver: Callable[[bytes], None] | None = None
        self.sent: list[bytes] = []

    def send_record(self, data: bytes) -> None:
        assert len(data) <= MAX_PACKET_BYTES
        self.sent.append(data)
        if self.deliver is None or self._rng.random() < self.loss:
            return
        loop = asyncio.get_running_loop()
        copies = 2 if self.loss and self._rng.random() < 0.02 else 1
        for _ in range(copies):
            arrival = loop.time() + self.delay + self._rng.random() * self.jitter
            if not self.jitter:  # the order of equal times is not kept by the loop
                arrival = self._last_arrival = max(arrival, self._last_arrival + 1e-6)
            loop.call_at(arrival, self.deliver, data)

    async def _send_data(self, data: bytes) -> None:
        self.send_record(data)

    def _register_data_receiver(self, receiver: object) -> None: ...
    def _unregister_data_receiver(self, receiver: object) -> None: ...


class End:
    def __init__(self, wire: Wire, *, opener: bool) -> None:
        self.wire = wire
        self.opened = asyncio.Event()
        self.closed: str | None = None
        self.messages: list[bytes] = []
        self.sctp = DataAssociation(asyncio.get_running_loop(), cast("DtlsLink", self.wire), self, opener=opener)

    def sctp_opened(self) -> None:
        self.opened.set()

    def sctp_message(self, data: bytes) -> None:
        self.messages.append(data)

    def sctp_drained(self) -> None: ...

    def sctp_closed(self, reason: str) -> None:
        self.closed = reason

    def inject(self, *chunks: bytes, tag: int | None = None) -> None:
        """Hand the end a packet that its peer might have made."""
        tag = self.sctp._local_verification_tag if tag is None else tag
        body = struct.pack("!HHLL", 5000, 5000, tag, 0) + b"".join(chunks)
        self.sctp.receive_packet(body[:8] + struct.pack("<L", crc32c(body)) + body[12:])


async def connect(seed: int = 1, *, loss: float = 0.0, delay: float = 0.01, jitter: float = 0.0) -> tuple[End, End]:
    rng = random.Random(seed)
    a = End(Wire("server", rng, loss, delay, jitter), opener=True)
    b = End(Wire("client", rng, loss, delay, jitter), opener=False)
    a.wire.deliver = b.sctp.receive_packet
    b.wire.deliver = a.sctp.receive_packet
    a.sctp.begin(5000)
    b.sctp.begin(5000)
    async with asyncio.timeout(60):
        await a.opened.wait()
        await b.opened.wait()
    return a, b


async def until(condition: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def data_chunk(
    end: End, payload: bytes, *, ahead: int = 1, flags: int = 3, stream: int | None = None, ppid: int = 53
) -> bytes:
    received = end.sctp._last_received_tsn
    assert received is not None
    own = end.sctp._stream_id
    tsn = (received + ahead) & 0xFFFFFFFF
    stream = (own if own is not None else 1) if stream is None else stream
    size = 16 + len(payload)
    return struct.pack("!BBHLHHL", 0, flags, size, tsn, stream, 0, ppid) + payload + bytes(-size & 3)


def test_channel_opens_in_two_round_trips() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await connect(delay=0.05)
        assert loop.time() - started < 0.26

    run_virtual(main())


@pytest.mark.parametrize(("loss", "seed"), [(0.0, 1), (0.02, 2), (0.1, 3), (0.25, 4)])
def test_messages_arrive_whole_once_and_in_order(loss: float, seed: int) -> None:
    async def main() -> None:
        a, b = await connect(seed, loss=loss, jitter=0.01 if loss else 0.0)
        rng = random.Random(seed)
        sizes = [1, 2, 3, 1160, 1161, 1162, 65_535, *(rng.randrange(1, 8_000) for _ in range(120))]
        one_way = [rng.randbytes(size) for size in sizes]
        other_way = [rng.randbytes(rng.randrange(1, 3_000)) for _ in range(60)]
        for message in one_way:
            a.sctp.send_message(message)
        for message in other_way:
            b.sctp.send_message(message)
            await asyncio.sleep(0.003)
        await until(lambda: len(b.messages) == len(one_way) and len(a.messages) == len(other_way), 600)
        assert b.messages == one_way
        assert a.messages == other_way
        await until(lambda: not a.sctp._sender.is_waiting and not b.sctp._sender.is_waiting, 60)
        assert a.sctp.unsent_bytes == a.sctp._sender.flight_bytes == a.sctp._sender._resend_count == 0
        assert a.closed is None
        assert b.closed is None

    run_virtual(main())


def test_every_second_packet_is_acknowledged_and_a_lone_one_soon() -> None:
    async def main() -> None:
        a, b = await connect()
        await asyncio.sleep(1)
        b.wire.sent.clear()
        a.sctp.send_message(bytes(8 * MAX_FRAGMENT_BYTES))
        await asyncio.sleep(0.1)
        assert len(b.wire.sent) == 4
        b.wire.sent.clear()
        a.sctp.send_message(b"alone")
        await asyncio.sleep(0.015)
        assert not b.wire.sent
        await asyncio.sleep(0.03)
        assert len(b.wire.sent) == 1

    run_virtual(main())


def test_an_answer_carries_the_acknowledgement() -> None:
    async def main() -> None:
        a, b = await connect()
        await asyncio.sleep(1)
        b.wire.sent.clear()
        a.sctp.send_message(b"ping")
        await until(lambda: bool(b.messages), 1)
        b.sctp.send_message(b"pong")
        await until(lambda: bool(a.messages), 1)
        await asyncio.sleep(0.1)
        assert len(b.wire.sent) == 1
        assert not a.sctp._sender.is_waiting

    run_virtual(main())


def test_a_lost_last_packet_is_repeated_before_half_a_second() -> None:
    async def main() -> None:
        a, b = await connect()
        await asyncio.sleep(1)
        a.wire.loss = 1.0
        a.sctp.send_message(b"lost at first")
        a.wire.loss = 0.0
        await until(lambda: bool(b.messages), 0.5)

    run_virtual(main())


def test_a_new_path_repeats_what_was_in_flight_at_once() -> None:
    async def main() -> None:
        a, b = await connect()
        await asyncio.sleep(1)
        a.wire.loss = 1.0
        messages = [bytes([n]) * 5_000 for n in range(20)]
        for message in messages:
            a.sctp.send_message(message)
        await asyncio.sleep(40)
        assert not b.messages
        a.wire.loss = 0.0
        a.sctp.repeat_outstanding()
        await until(lambda: len(b.messages) == len(messages), 2)
        assert b.messages == messages

    run_virtual(main())


def test_a_long_outage_does_not_slow_down_what_comes_after() -> None:
    """The timer has backed off to seconds; the first lost packet after the outage is repeated soon nevertheless."""

    async def main() -> None:
        a, b = await connect()
        a.wire.loss = 1.0
        a.sctp.send_message(b"one")
        await asyncio.sleep(60)
        a.wire.loss = 0.0
        await until(lambda: len(b.messages) == 1, 9)
        await asyncio.sleep(0.1)
        a.sctp.send_message(b"two")
        await until(lambda: len(b.messages) == 2, 1)
        await asyncio.sleep(0.1)
        a.wire.loss = 1.0
        a.sctp.send_message(b"three")
        a.wire.loss = 0.0
        await until(lambda: len(b.messages) == 3, 1)

    run_virtual(main())


def test_peer_window_is_respected() -> None:
    async def main() -> None:
        a, _ = await connect()
        await asyncio.sleep(1)
        a.wire.deliver = None
        a.sctp._sender.window_bytes = WINDOW_BYTES
        sack = struct.pack("!BBHLLHH", 3, 0, 16, a.sctp._sender._acked_tsn, 20_000, 0, 0)
        a.inject(sack)
        for _ in range(10):
            a.sctp.send_message(bytes(60_000))
            a.inject(sack)
        assert a.sctp._sender.flight_bytes <= 20_000 + MAX_FRAGMENT_BYTES

    run_virtual(main())


def test_oversized_empty_and_foreign_messages_are_ignored() -> None:
    async def main() -> None:
        a, b = await connect()
        await asyncio.sleep(1)
        a.sctp.send_message(bytes(MAX_INBOUND_BYTES))
        a.sctp.send_message(bytes(MAX_INBOUND_BYTES + 1))
        a.sctp.send_message(bytes(3 * MAX_INBOUND_BYTES))
        a.sctp.send_message(b"after")
        await until(lambda: len(b.messages) >= 2, 10)
        await asyncio.sleep(1)
        assert [len(message) for message in b.messages] == [MAX_INBOUND_BYTES, 5]
        assert b.sctp._receiver._parts_bytes <= MAX_INBOUND_BYTES + MAX_FRAGMENT_BYTES
        b.messages.clear()
        a.wire.deliver = None  # what follows is not a's
        b.inject(data_chunk(b, b""))
        b.inject(data_chunk(b, b"\0", ppid=57))
        b.inject(data_chunk(b, b"\0", ppid=56))
        b.inject(data_chunk(b, b"other stream", stream=77))
        b.inject(data_chunk(b, b"other protocol", ppid=99))
        b.inject(data_chunk(b, b"text is as good as binary", ppid=51))
        assert b.messages == [b"text is as good as binary"]
        assert b.closed is None

    run_virtual(main())


def test_second_channel_and_other_labels_are_ignored() -> None:
    async def main() -> None:
        _, b = await connect()
        await asyncio.sleep(1)
        own = b.sctp._stream_id
        for label in (b"other", b"myownmesh", b"\xff\xfe", b""):
            open_message = struct.pack("!BBHLHH", 3, 0, 256, 0, len(label), 0) + label
            b.inject(data_chunk(b, open_message, stream=9, ppid=50))
        for broken in (b"\x03", b"\x03" * 11, struct.pack("!BBHLHH", 3, 0, 0, 0, 60_000, 60_000), b"\x02", b""):
            b.inject(data_chunk(b, broken, stream=9, ppid=50))
        b.inject(data_chunk(b, b"x", stream=9))
        assert b.sctp._stream_id == own
        assert not b.messages
        assert b.closed is None

    run_virtual(main())


def test_reordering_is_bounded() -> None:
    async def main() -> None:
        _, b = await connect()
        await asyncio.sleep(1)
        for ahead in range(2, 8_000):
            b.inject(data_chunk(b, bytes(1_000), ahead=ahead))
        assert b.sctp._receiver._early_bytes <= WINDOW_BYTES
        assert len(b.wire.sent[-1]) <= MAX_PACKET_BYTES
        b.inject(data_chunk(b, b"the gap is filled"))
        assert b.messages[0] == b"the gap is filled"
        assert len(b.messages) == 1 + WINDOW_BYTES // 1_000
        assert not b.sctp._receiver._early
        assert b.sctp._receiver._early_bytes == 0

    run_virtual(main())


def test_malformed_packets_change_nothing() -> None:
    async def main() -> None:
        a, b = await connect()
        await asyncio.sleep(1)
        rng = random.Random(7)
        received = b.sctp._last_received_tsn
        b.sctp.receive_packet(b"")
        b.sctp.receive_packet(bytes(15))
        b.sctp.receive_packet(bytes(200))
        b.inject(b"\x03\x00\x00\x10" + bytes(12), tag=12345)  # foreign verification tag
        for kind in (1, 2, 4, 5, 9, 10, 11, 130, 192, 64, 255):
            for size in (0, 1, 3, 7, 15, 40):
                body = rng.randbytes(size)
                chunk = struct.pack("!BBH", kind, rng.randrange(256), 4 + size) + body + bytes(-size & 3)
                b.inject(chunk)
                b.inject(chunk, tag=0)
        b.inject(struct.pack("!BBH", 0, 3, 2) + bytes(20))  # a length below the header's
        b.inject(struct.pack("!BBH", 0, 3, 900) + bytes(20))  # a length beyond the packet
        b.inject(struct.pack("!BBHLLHH", 3, 0, 16, 0xDEADBEEF, 0, 500, 500))  # acknowledges the unsent
        assert b.sctp._last_received_tsn == received
        a.sctp.send_message(b"still here")
        await until(lambda: b.messages == [b"still here"], 5)
        b.sctp.send_message(b"both ways")
        await until(lambda: a.messages == [b"both ways"], 5)

    run_virtual(main())


def test_late_init_does_not_set_back_the_association() -> None:
    async def main() -> None:
        a, b = await connect()
        init = next(packet for packet in a.wire.sent if packet[12] == 1)
        for n in range(3):
            a.sctp.send_message(b"message %d" % n)
            await until(lambda n=n: len(b.messages) == n + 1, 1)  # type: ignore[misc]
            b.sctp.receive_packet(init)
        b.sctp.send_message(b"back")
        await until(lambda: a.messages == [b"back"], 1)

    run_virtual(main())


def test_abort_is_noticed_and_nothing_follows() -> None:
    async def main() -> None:
        a, b = await connect()
        a.sctp.send_message(bytes(50_000))
        a.sctp.end()
        await asyncio.sleep(0.02)
        assert b.closed == "the peer ended the SCTP association"
        assert a.closed is None
        sent = len(a.wire.sent), len(b.wire.sent)
        await asyncio.sleep(30)
        assert (len(a.wire.sent), len(b.wire.sent)) == sent

    run_virtual(main())


def test_stream_reset_by_the_peer_ends_the_channel() -> None:
    async def main() -> None:
        _, b = await connect()
        await asyncio.sleep(1)
        received = b.sctp._last_received_tsn
        param = struct.pack("!HHLLLH", 13, 18, 77, 0, received, b.sctp._stream_id)
        b.inject(struct.pack("!BBH", 130, 0, 4 + len(param)) + param + bytes(2))
        await asyncio.sleep(0)
        assert b.closed == "the peer closed the data channel"

    run_virtual(main())


def test_lossy_long_path_keeps_moving() -> None:
    """50 ms round trip with 1 % loss: figures.md has 0.22 MB/s for the stock stack."""

    async def main() -> None:
        a, b = await connect(5, loss=0.01, delay=0.025)
        loop = asyncio.get_running_loop()
        started = loop.time()
        total = 2_000_000
        for _ in range(total // 20_000):
            a.sctp.send_message(bytes(20_000))
        await until(lambda: len(b.messages) == total // 20_000, 120)
        rate = total / (loop.time() - started)
        print("RATE", rate, len(a.wire.sent) / (total / 1160))
        assert rate > 220_000

    run_virtual(main())
