"""SCTP for one data channel, flattened.

`RTCSctpTransport` of aiortc keeps the association (INIT, cookies, stream reset, shutdown); the path of DATA and SACK is
ours, because it is what a message costs. Everything here is synchronous: a packet in becomes a message in the
receiver's callback, and an acknowledgement rides on the answer if there is one. Differences to the base class that a
peer can see: a SACK for every second packet (or after 20 ms, or with outgoing data), the peer's window is respected,
a lost last packet is repeated after 0.4 s instead of 1 s, and repeated timeouts back off.

The peer is hostile until its frames are admitted, so reassembly, reordering and acknowledgements are bounded.
"""

from __future__ import annotations

import logging
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiortc.rtcsctptransport import (
    CHUNK_TYPES,
    InitChunk,
    RTCSctpTransport,
)
from google_crc32c import value as crc32c

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from myownmesh.transport.dtls import DtlsLink

logger = logging.getLogger(__name__)

CHANNEL_LABEL = "myownmesh"
MAX_PACKET_BYTES = 1_189
"""SCTP packet that with DTLS, UDP and IPv6 fits 1,280 bytes."""
PACKET_HEADER_BYTES = 12
DATA_HEADER_BYTES = 16
MAX_FRAGMENT_BYTES = (MAX_PACKET_BYTES - PACKET_HEADER_BYTES - DATA_HEADER_BYTES) // 4 * 4
SACK_BYTES = 16
"""A SACK without gaps."""
MAX_INBOUND_MESSAGE_BYTES = 65_536
"""v0.3.8 can send one byte more than it can receive; longer messages are dropped (spec 01 §4.2)."""
RECEIVE_WINDOW_BYTES = 1024 * 1024
MAX_REORDERED_CHUNKS = 4_096
MAX_REPORTED_GAPS = 64
MAX_REPORTED_DUPLICATES = 16
SACK_EVERY_PACKETS = 2
SACK_DELAY_SECONDS = 0.02
"""Well below every sender's timeout, and long enough that the answer of a call usually carries the SACK."""
INITIAL_WINDOW_BYTES = 10 * MAX_FRAGMENT_BYTES
MAX_WINDOW_BYTES = 1024 * 1024
BURST_BYTES = 4 * MAX_FRAGMENT_BYTES
FAST_RETRANSMIT_MISSES = 3
RTO_INITIAL_SECONDS = 1.0
RTO_MIN_SECONDS = 0.4
"""Twice the longest delayed SACK in use (200 ms, v0.3.8)."""
RTO_MAX_SECONDS = 8.0
"""Small on purpose: after an outage the first repeat must not wait a minute (spec 04 §15.4 row 39)."""

PPID_DCEP = 50
PPID_TEXT = 51
PPID_BINARY = 53
_DCEP_ACK = 2
_DCEP_OPEN = 3
_DATA_PRIORITY = 256
_DATA = 0
_SACK = 3
_FLAG_LAST = 0x01
_FLAG_FIRST = 0x02
_FLAG_IMMEDIATE = 0x08
_TSN_MASK = 0xFFFFFFFF
_HALF = 0x80000000

_PACKET_AND_DATA = struct.Struct("!HHLLBBHLHHL")
_PACKET = struct.Struct("!HHLL")
_CHUNK = struct.Struct("!BBH")
_DATA_BODY = struct.Struct("!LHHL")
_SACK_CHUNK = struct.Struct("!BBHLLHH")
_SACK_BODY = struct.Struct("!LLHH")
_CHECKSUM = struct.Struct("<L")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

_MALFORMED = (AssertionError, AttributeError, LookupError, TypeError, ValueError, struct.error)
"""What the base class raises on chunks that no honest peer sends."""


class SctpEvents(Protocol):
    """Who is told."""

    def sctp_opened(self) -> None:
        """The data channel is open."""
        ...

    def sctp_message(self, data: bytes) -> None:
        """A message of 1 … 65,536 bytes."""
        ...

    def sctp_drained(self) -> None:
        """The unsent bytes have become fewer."""
        ...

    def sctp_closed(self, reason: str) -> None:
        """Association or channel ended."""
        ...


class _Fragment:
    """An outgoing DATA chunk until it is acknowledged."""

    __slots__ = (
        "acked",
        "data",
        "flags",
        "in_flight",
        "misses",
        "ppid",
        "resend",
        "sent_at",
        "sent_count",
        "ssn",
        "tsn",
    )

    def __init__(self, tsn: int, ssn: int, flags: int, ppid: int, data: bytes) -> None:
        self.tsn = tsn
        self.ssn = ssn
        self.flags = flags
        self.ppid = ppid
        self.data = data
        self.acked = False
        self.in_flight = False
        self.resend = False
        self.misses = 0
        self.sent_at = 0.0
        self.sent_count = 0


class _Channel:
    """What the base class wants to know of a data channel when the peer resets its stream."""

    negotiated = False
    maxPacketLifeTime = None  # noqa: N815 - the base class's name
    maxRetransmits = None  # noqa: N815
    ordered = True

    def __init__(self, stream_id: int, on_closing: Callable[[], None]) -> None:
        self.id = stream_id
        self.readyState = "open"
        self._on_closing = on_closing

    def _setReadyState(self, state: str) -> None:  # noqa: N802
        was_open = self.readyState == "open"
        self.readyState = state
        if was_open:
            self._on_closing()


def drive(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine of the base class that never really waits: its transport sends at once."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("an SCTP step waited for something; aiortc has changed")


class DataAssociation(RTCSctpTransport):
    """An association that carries the one channel `myownmesh`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, dtls: DtlsLink, owner: SctpEvents, *, opener: bool) -> None:
        super().__init__(cast("Any", dtls))
        self._dtls = dtls
        self._clock = loop
        self._owner = owner
        self._opener = opener
        self._open = False
        self._ended = False
        self._local_partial_reliability = False
        self._stream_id: int | None = None
        self._rto = RTO_INITIAL_SECONDS  # of the handshake's timers
        # outbound
        self._messages: deque[tuple[int, bytes]] = deque()
        self._position = 0
        self._stream_seq = 0
        self._sent: deque[_Fragment] = deque()
        self._flight = 0
        self._window = INITIAL_WINDOW_BYTES
        self._threshold = MAX_WINDOW_BYTES
        self._peer_window = MAX_WINDOW_BYTES
        self._partly_acked = 0
        self._resend_count = 0
        self._recovery_exit: int | None = None
        self._acked_tsn = (self._local_tsn - 1) & _TSN_MASK
        self._timeout = RTO_INITIAL_SECONDS
        self._deadline = 0.0
        self.unsent_bytes = 0
        # inbound
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._parts_dropped = True
        self._early: dict[int, tuple[int, int, int, bytes]] = {}
        self._early_bytes = 0
        self._unacked_packets = 0
        self._sack_now = False
        self._sack_timer: asyncio.TimerHandle | None = None

    # Life.

    def begin(self, remote_port: int) -> None:
        """Start the association over a connected DTLS link."""
        drive(self.start(None, remote_port))

    def end(self) -> None:
        """Send ABORT and stop every timer. `sctp_closed` does not follow."""
        self._ended = True
        self._stop_sack_timer()
        drive(self.stop())
        self._messages.clear()
        self._sent.clear()
        self._early.clear()
        self._parts.clear()

    def send_message(self, data: bytes) -> None:
        """Queue one message; the caller has checked that the channel is open and the size fits."""
        self._queue(PPID_BINARY, data)
        self._pump()

    def repeat_outstanding(self) -> None:
        """The path is new: send again at once what was in flight (spec 04 §11.2)."""
        self._mark_all_lost()
        self._timeout = max(RTO_MIN_SECONDS, min(self._timeout, RTO_INITIAL_SECONDS))
        self._pump()

    # Receiving.

    def receive_packet(self, data: bytes) -> None:
        """Take one decrypted packet; malformed ones change nothing."""
        if self._ended:
            return
        length = len(data)
        if length < PACKET_HEADER_BYTES + 4:
            return
        _, _, tag, _ = _PACKET.unpack_from(data)
        if _CHECKSUM.unpack_from(data, 8)[0] != crc32c(data[:8] + b"\0\0\0\0" + data[12:]):
            return
        expected_tag = 0 if data[PACKET_HEADER_BYTES] == InitChunk.type else self._local_verification_tag
        if tag != expected_tag:
            return
        messages: list[tuple[int, int, bytes]] = []
        had_data = False
        position = PACKET_HEADER_BYTES
        while position <= length - 4:
            kind, flags, size = _CHUNK.unpack_from(data, position)
            end = position + size
            if size < 4 or end > length:
                break
            if kind == _DATA:
                if size < DATA_HEADER_BYTES or self._last_received_tsn is None:
                    break
                had_data = True
                tsn, stream, _, ppid = _DATA_BODY.unpack_from(data, position + 4)
                self._take_data(flags, tsn, stream, ppid, data[position + DATA_HEADER_BYTES : end], messages)
            elif kind == _SACK:
                if size >= SACK_BYTES:
                    self._take_sack(data, position + 4, end)
            else:
                self._take_control(kind, flags, data[position + 4 : end])
            if self._ended:
                return
            position = end + (-size & 3)
        if had_data:
            self._unacked_packets += 1
        for stream, ppid, message in messages:
            self._deliver(stream, ppid, message)
            if self._ended:
                return
        if had_data:
            if self._reconfig_deferred is not None:
                drive(self._reset_deferred_streams())
            self._acknowledge()

    def _take_control(self, kind: int, flags: int, body: bytes) -> None:
        """Everything but DATA and SACK is the base class's."""
        chunk_class = CHUNK_TYPES.get(kind)
        if chunk_class is None or kind == 192:  # FORWARD TSN: not negotiated
            return
        try:
            chunk = chunk_class(flags, body)
            if isinstance(chunk, InitChunk):
                self._take_init(chunk)
            else:
                before = self._last_received_tsn
                drive(self._receive_chunk(chunk))
                if before is None and self._last_received_tsn is not None:
                    self._peer_window = max(self._ssthresh, MAX_FRAGMENT_BYTES)
        except _MALFORMED as error:
            logger.debug("malformed SCTP chunk of type %d: %r", kind, error)

    def _take_init(self, chunk: InitChunk) -> None:
        """An INIT may collide with ours, or come late; then it must not set back what has been received."""
        if self._association_state == self.State.ESTABLISHED or self._last_received_tsn is not None:
            if chunk.initiate_tag != self._remote_verification_tag:
                return
            received, reset_seq = self._last_received_tsn, self._reconfig_response_seq
            drive(self._receive_chunk(chunk))
            self._last_received_tsn, self._reconfig_response_seq = received, reset_seq
            return
        drive(self._receive_chunk(chunk))
        self._peer_window = max(chunk.advertised_rwnd, MAX_FRAGMENT_BYTES)

    def _take_data(
        self, flags: int, tsn: int, stream: int, ppid: int, payload: bytes, messages: list[tuple[int, int, bytes]]
    ) -> None:
        ahead = (tsn - (self._last_received_tsn or 0)) & _TSN_MASK
        if ahead == 1:
            self._last_received_tsn = tsn
            if flags & _FLAG_IMMEDIATE:
                self._sack_now = True
            self._assemble(flags, stream, ppid, payload, messages)
            if self._early:
                self._sack_now = True
                self._take_early(messages)
            return
        self._sack_now = True
        if ahead == 0 or ahead >= _HALF or tsn in self._early:
            if len(self._sack_duplicates) < MAX_REPORTED_DUPLICATES:
                self._sack_duplicates.append(tsn)
        elif ahead <= MAX_REORDERED_CHUNKS and self._early_bytes + len(payload) <= RECEIVE_WINDOW_BYTES:
            self._early[tsn] = (flags, stream, ppid, payload)
            self._early_bytes += len(payload)

    def _take_early(self, messages: list[tuple[int, int, bytes]]) -> None:
        while True:
            tsn = ((self._last_received_tsn or 0) + 1) & _TSN_MASK
            early = self._early.pop(tsn, None)
            if early is None:
                return
            flags, stream, ppid, payload = early
            self._early_bytes -= len(payload)
            self._last_received_tsn = tsn
            self._assemble(flags, stream, ppid, payload, messages)

    def _assemble(
        self, flags: int, stream: int, ppid: int, payload: bytes, messages: list[tuple[int, int, bytes]]
    ) -> None:
        """Put fragments together. They come in the order of their TSN, and those of a message are neighbours."""
        if flags & _FLAG_FIRST:
            if flags & _FLAG_LAST:
                if len(payload) <= MAX_INBOUND_MESSAGE_BYTES:
                    messages.append((stream, ppid, payload))
                return
            self._parts = [payload]
            self._parts_bytes = len(payload)
            self._parts_dropped = False
            return
        if self._parts_dropped:
            return
        self._parts.append(payload)
        self._parts_bytes += len(payload)
        if self._parts_bytes > MAX_INBOUND_MESSAGE_BYTES or len(self._parts) > MAX_REORDERED_CHUNKS:
            self._parts = []
            self._parts_dropped = True
        elif flags & _FLAG_LAST:
            message = b"".join(self._parts)
            self._parts = []
            self._parts_dropped = True
            messages.append((stream, ppid, message))

    def _deliver(self, stream: int, ppid: int, message: bytes) -> None:
        if ppid in (PPID_BINARY, PPID_TEXT):
            if stream == self._stream_id and message:
                self._owner.sctp_message(message)
        elif ppid == PPID_DCEP and message:
            self._take_dcep(stream, message)

    def _take_dcep(self, stream: int, message: bytes) -> None:
        """The first channel `myownmesh` is ours; all others are ignored (spec 04 §10.1)."""
        if message[0] != _DCEP_OPEN or len(message) < 12:
            return
        label_length = int.from_bytes(message[8:10], "big")
        label = message[12 : 12 + label_length]
        if label != CHANNEL_LABEL.encode() or self._stream_id is not None:
            return
        self._use_stream(stream)
        self._queue(PPID_DCEP, bytes([_DCEP_ACK]))
        self._pump()
        self._became_open()

    def _acknowledge(self) -> None:
        """Send a SACK now, or see to it that one goes out soon."""
        if not self._unacked_packets:
            return
        if self._sack_now or self._unacked_packets >= SACK_EVERY_PACKETS:
            self._put(self._take_sack_chunk())
        elif self._sack_timer is None:
            self._sack_timer = self._clock.call_later(SACK_DELAY_SECONDS, self._sack_is_due)

    def _sack_is_due(self) -> None:
        self._sack_timer = None
        if self._unacked_packets and not self._ended:
            self._put(self._take_sack_chunk())

    def _stop_sack_timer(self) -> None:
        if self._sack_timer is not None:
            self._sack_timer.cancel()
            self._sack_timer = None

    def _take_sack_chunk(self) -> bytes:
        """The acknowledgement of everything so far; it counts as sent."""
        gaps: list[tuple[int, int]] = []
        last = self._last_received_tsn or 0
        if self._early:
            for offset in sorted((tsn - last) & _TSN_MASK for tsn in self._early):
                if gaps and gaps[-1][1] + 1 == offset:
                    gaps[-1] = (gaps[-1][0], offset)
                elif len(gaps) < MAX_REPORTED_GAPS:
                    gaps.append((offset, offset))
                else:
                    break
        window = max(0, RECEIVE_WINDOW_BYTES - self._early_bytes - self._parts_bytes)
        duplicates = self._sack_duplicates
        size = SACK_BYTES + 4 * (len(gaps) + len(duplicates))
        chunk = _SACK_CHUNK.pack(_SACK, 0, size, last, window, len(gaps), len(duplicates))
        for gap in gaps:
            chunk += struct.pack("!HH", *gap)
        for tsn in duplicates:
            chunk += struct.pack("!L", tsn)
        duplicates.clear()
        self._unacked_packets = 0
        self._sack_now = False
        return chunk

    # Sending.

    def _put(self, chunks: bytes) -> None:
        """Send one packet of these encoded chunks."""
        head = struct.pack("!HHL", self._local_port, self._remote_port, self._remote_verification_tag)
        checksum = crc32c(head + b"\0\0\0\0" + chunks)
        self._dtls.send_record(head + _CHECKSUM.pack(checksum) + chunks)

    def _put_fragment(self, fragment: _Fragment, now: float) -> None:
        data = fragment.data
        size = DATA_HEADER_BYTES + len(data)
        body = (
            _PACKET_AND_DATA.pack(
                self._local_port,
                self._remote_port,
                self._remote_verification_tag,
                0,
                _DATA,
                fragment.flags,
                size,
                fragment.tsn,
                self._stream_id,
                fragment.ssn,
                fragment.ppid,
            )
            + data
            + _PADDING[size & 3]
        )
        if (
            self._unacked_packets
            and len(body) + SACK_BYTES <= MAX_PACKET_BYTES
            and not self._early
            and not self._sack_duplicates
        ):
            sack = self._take_sack_chunk()
            body = body[:PACKET_HEADER_BYTES] + sack + body[PACKET_HEADER_BYTES:]
        if not fragment.in_flight:
            fragment.in_flight = True
            self._flight += len(data)
        fragment.sent_count += 1
        fragment.sent_at = now
        self._dtls.send_record(body[:8] + _CHECKSUM.pack(crc32c(body)) + body[12:])
        if self._t3_handle is None:
            self._deadline = now + self._timeout
            self._t3_handle = self._clock.call_later(self._timeout, self._t3_expired)

    def _queue(self, ppid: int, data: bytes) -> None:
        self._messages.append((ppid, data))
        self.unsent_bytes += len(data)

    def _pump(self) -> None:
        """Send what the windows allow, repeats first."""
        if self._association_state != self.State.ESTABLISHED or self._stream_id is None or self._ended:
            return
        now = self._clock.time()
        limit = min(self._flight + BURST_BYTES, self._window, self._peer_window)
        if self._resend_count:
            for fragment in self._sent:
                if not fragment.resend:
                    continue
                if self._flight >= limit and self._flight:
                    return
                fragment.resend = False
                fragment.misses = 0
                self._resend_count -= 1
                self._put_fragment(fragment, now)
                if not self._resend_count:
                    break
        messages = self._messages
        while messages and (self._flight < limit or not self._flight):
            ppid, message = messages[0]
            start = self._position
            end = start + MAX_FRAGMENT_BYTES
            flags = 0 if start else _FLAG_FIRST
            if end >= len(message):
                flags |= _FLAG_LAST
                messages.popleft()
                self._position = 0
                piece = message[start:] if start else message
            else:
                self._position = end
                piece = message[start:end]
            fragment = _Fragment(self._local_tsn, self._stream_seq, flags, ppid, piece)
            self._local_tsn = (self._local_tsn + 1) & _TSN_MASK
            if flags & _FLAG_LAST:
                self._stream_seq = (self._stream_seq + 1) & 0xFFFF
            self.unsent_bytes -= len(piece)
            self._sent.append(fragment)
            self._put_fragment(fragment, now)

    def _take_sack(self, data: bytes, position: int, end: int) -> None:
        cumulative, window, gap_count, _ = _SACK_BODY.unpack_from(data, position)
        advance = (cumulative - self._acked_tsn) & _TSN_MASK
        outstanding = (self._local_tsn - 1 - self._acked_tsn) & _TSN_MASK
        if advance > outstanding:
            return  # old, or acknowledges what was never sent
        now = self._clock.time()
        sent = self._sent
        was_full = self._flight + MAX_FRAGMENT_BYTES > self._window
        self._acked_tsn = cumulative
        acked_bytes = 0
        measured: float | None = None
        for _ in range(advance):
            fragment = sent.popleft()
            size = len(fragment.data)
            if not fragment.acked:
                acked_bytes += size
            if fragment.in_flight:
                self._flight -= size
            if fragment.resend:
                self._resend_count -= 1
            if fragment.sent_count == 1:
                measured = now - fragment.sent_at
        if measured is not None:
            self._measure(measured)
        lost = False
        if gap_count and sent:
            newly, lost = self._take_gaps(data, position + 12, min(gap_count, (end - position - 12) // 4))
            acked_bytes += newly
        self._peer_window = window
        self._adjust_window(cumulative, acked_bytes, was_full=was_full, advanced=advance > 0, lost=lost)
        if not sent:
            self._t3_cancel()
        elif advance:
            self._deadline = now + self._timeout
        before = self.unsent_bytes
        self._pump()
        if before:
            self._owner.sctp_drained()

    def _take_gaps(self, data: bytes, position: int, count: int) -> tuple[int, bool]:
        """Mark what arrived out of order; returns its new bytes and whether a fragment is to be repeated."""
        gaps = sorted(struct.unpack_from("!HH", data, position + 4 * i) for i in range(count))
        newly = 0
        highest = -1
        index = 0
        for offset, fragment in enumerate(self._sent, 1):
            while index < count and gaps[index][1] < offset:
                index += 1
            if index == count:
                break
            if gaps[index][0] <= offset and not fragment.acked:
                fragment.acked = True
                newly += len(fragment.data)
                highest = offset
                if fragment.in_flight:
                    fragment.in_flight = False
                    self._flight -= len(fragment.data)
                if fragment.resend:
                    fragment.resend = False
                    self._resend_count -= 1
        lost = False
        for offset, fragment in enumerate(self._sent, 1):
            if offset >= highest:
                break
            if fragment.acked or fragment.resend:
                continue
            fragment.misses += 1
            if fragment.misses == FAST_RETRANSMIT_MISSES:
                fragment.resend = True
                self._resend_count += 1
                lost = True
                if fragment.in_flight:
                    fragment.in_flight = False
                    self._flight -= len(fragment.data)
        return newly, lost

    def _adjust_window(self, cumulative: int, acked: int, *, was_full: bool, advanced: bool, lost: bool) -> None:
        """Congestion window after a SACK: slow start, avoidance, halved once per loss episode (RFC 9260 §7.2)."""
        if self._recovery_exit is not None:
            if (cumulative - self._recovery_exit) & _TSN_MASK < _HALF:
                self._recovery_exit = None
            return
        if lost:
            self._threshold = max(self._window // 2, 4 * MAX_FRAGMENT_BYTES)
            self._window = self._threshold
            self._partly_acked = 0
            self._recovery_exit = self._sent[-1].tsn
        elif advanced and was_full:
            if self._window <= self._threshold:
                self._window += min(acked, SACK_EVERY_PACKETS * MAX_FRAGMENT_BYTES)
            else:
                self._partly_acked += acked
                if self._partly_acked >= self._window:
                    self._partly_acked -= self._window
                    self._window += MAX_FRAGMENT_BYTES
            self._window = min(self._window, MAX_WINDOW_BYTES)

    def _measure(self, seconds: float) -> None:
        if self._srtt is None:
            self._srtt = seconds
            self._rttvar = seconds / 2
        else:
            self._rttvar = 0.75 * (self._rttvar or 0.0) + 0.25 * abs(self._srtt - seconds)
            self._srtt = 0.875 * self._srtt + 0.125 * seconds
        self._timeout = min(max(self._srtt + 4 * self._rttvar, RTO_MIN_SECONDS), RTO_MAX_SECONDS)

    def _mark_all_lost(self) -> None:
        self._flight = 0
        self._resend_count = 0
        for fragment in self._sent:
            fragment.in_flight = False
            fragment.resend = not fragment.acked
            self._resend_count += fragment.resend
        self._recovery_exit = None
        self._partly_acked = 0

    # The base class's hooks.

    def _t3_expired(self) -> None:
        self._t3_handle = None
        if self._ended or not self._sent:
            return
        now = self._clock.time()
        if now + 0.001 < self._deadline:
            self._t3_handle = self._clock.call_later(self._deadline - now, self._t3_expired)
            return
        self._threshold = max(self._window // 2, 4 * MAX_FRAGMENT_BYTES)
        self._window = MAX_FRAGMENT_BYTES
        self._timeout = min(2 * self._timeout, RTO_MAX_SECONDS)
        self._mark_all_lost()
        self._pump()

    async def _send_chunk(self, chunk: Any) -> None:
        self._put(bytes(chunk))

    async def _data_channel_flush(self) -> None:
        """The base class's queue stays empty; ours is pumped."""

    async def _transmit(self) -> None:
        self._pump()

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        was = self._association_state
        if state == self.State.CLOSED != was:
            self._finish("the peer ended the SCTP association")
        super()._set_state(state)
        if state == self.State.ESTABLISHED != was and not self._ended:
            if self._opener and self._stream_id is None:
                self._open_channel()
            else:
                self._pump()

    def _open_channel(self) -> None:
        """DCEP OPEN; the channel may be used at once, without waiting for the peer's ACK (RFC 8832 §6)."""
        self._use_stream(1 if self.is_server else 0)
        label = CHANNEL_LABEL.encode()
        self._queue(PPID_DCEP, struct.pack("!BBHLHH", _DCEP_OPEN, 0, _DATA_PRIORITY, 0, len(label), 0) + label)
        self._pump()
        self._became_open()

    def _use_stream(self, stream: int) -> None:
        self._stream_id = stream
        self._data_channels[stream] = cast("Any", _Channel(stream, self._channel_closing))

    def _became_open(self) -> None:
        if not self._open:
            self._open = True
            self._owner.sctp_opened()

    def _channel_closing(self) -> None:
        self._finish("the peer closed the data channel")

    def _finish(self, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self._stop_sack_timer()
            self._t3_cancel()
            self._owner.sctp_closed(reason)
