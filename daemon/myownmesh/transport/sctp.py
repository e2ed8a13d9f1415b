"""SCTP for one data channel, flattened.

`RTCSctpTransport` of aiortc keeps the association (INIT, cookies, stream reset, shutdown); the path of DATA and SACK is
ours (`sctp_receiving`, `sctp_sending`, `sctp_packets`), because it is what a message costs. Everything here is
synchronous: a packet in becomes a message in the owner's callback, and an acknowledgement rides on the answer if there
is one. Differences to the base class that a peer can see: a SACK for every second packet (or one for all that came in
one go, or after 20 ms, or with outgoing data), the peer's window is respected, packets leave at the pace that the path
takes, a lost last packet is repeated after two round trips, and the first message travels with the COOKIE ECHO
(docs/transport.md).

The peer is hostile until its frames are admitted, so reassembly, reordering and acknowledgements are bounded.
"""

from __future__ import annotations

import logging
import struct
import time
from typing import TYPE_CHECKING, Protocol, cast

import aiortc.rtcdatachannel  # noqa: F401 - first: the two import each other, and only this order works
from aiortc.rtcsctptransport import CHUNK_TYPES, CookieEchoChunk, InitChunk, RTCSctpTransport
from google_crc32c import value as crc32c

from myownmesh.transport import sctp_opening as opening
from myownmesh.transport import sctp_wire as wire
from myownmesh.transport.sctp_backlog import limit_bytes
from myownmesh.transport.sctp_packets import Packets
from myownmesh.transport.sctp_receiving import Receiver
from myownmesh.transport.sctp_sending import Sender
from myownmesh.transport.session import Order

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from aiortc.rtcdatachannel import RTCDataChannel
    from aiortc.rtcdtlstransport import RTCDtlsTransport
    from aiortc.rtcsctptransport import Chunk

    from myownmesh.transport.dtls import DtlsLink
    from myownmesh.transport.sctp_receiving import Message

log = logging.getLogger(__name__)

SACK_DELAY_SECONDS = 0.02
"""Well below every sender's timeout, and long enough that the answer of a call usually carries the SACK."""
TIMER_SLACK_SECONDS = 0.001
"""Loops round timers to milliseconds."""
FEW_BYTES_IN_FLIGHT = 4 * wire.MAX_FRAGMENT_BYTES
"""Up to here an acknowledgement is taken at once: a call, not bulk."""
MAX_BUNDLED_BYTES = 512
"""A longer message fills a packet well enough by itself; it does not wait for others."""
FIRST_MESSAGE_SECONDS = 0.01
"""So long a COOKIE ECHO waits for what the owner says first."""
HANDSHAKE_TIMEOUT_SECONDS = 1.0
"""Of INIT and COOKIE ECHO; the base class waits 3 s."""

_read_chunk_header = wire.CHUNK_HEADER.unpack_from
_read_data_head = wire.DATA_BODY.unpack_from

_MALFORMED = (AssertionError, AttributeError, LookupError, TypeError, ValueError, struct.error)
"""What the base class raises on chunks that no honest peer sends."""


class SctpOwner(Protocol):
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


def drive(coroutine: Coroutine[object, None, None]) -> None:
    """Run a coroutine of the base class that never really waits: its transport sends at once."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("an SCTP step waited for something; aiortc has changed")


class DataAssociation(RTCSctpTransport):
    """An association that carries the one channel `myownmesh`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        dtls: DtlsLink,
        owner: SctpOwner,
        *,
        opener: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` must be finer than the loop's, which may tick in milliseconds."""
        self._receiver = Receiver()
        self._packets = Packets(dtls, self._receiver)
        super().__init__(cast("RTCDtlsTransport", dtls))
        self._dtls = dtls
        self._timers = loop
        self._now = clock
        self._owner = owner
        self._opener = opener
        self._open = False
        self._ended = False
        self._rto = HANDSHAKE_TIMEOUT_SECONDS
        self._cookie = b""
        """An encoded COOKIE ECHO that waits for company."""
        self._sender = Sender(self._local_tsn, self._packets.add)
        self._sack_timer: asyncio.TimerHandle | None = None
        self._t3_at = 0.0
        self._sack: tuple[bytes, int, int] | None = None
        """The last acknowledgement of this turn of the loop: its packet and where in it."""
        self._turn_ends = False
        self._is_collecting = False
        """Whether short messages wait for the end of this turn, to leave in one packet."""

    # Life.

    @property
    def unsent_bytes(self) -> int:
        """Bytes of accepted messages that have not been sent yet."""
        return self._sender.unsent_bytes

    def begin(self, remote_port: int) -> None:
        """Start the association over a connected DTLS link."""
        self._packets.ports = self._local_port, remote_port
        drive(self.start(None, remote_port))

    def end(self) -> None:
        """Send ABORT and stop every timer. `sctp_closed` does not follow."""
        if self._is_collecting:
            self._pump()
        self._ended = True
        self._stop_sack_timer()
        drive(self.stop())
        self._sender.clear()
        self._receiver.clear()

    @property
    def backlog_bytes(self) -> int:
        """How many of them bulk may make up."""
        return limit_bytes(self._sender.bandwidth)

    def send_message(self, data: bytes, order: Order = Order.IN_TURN) -> None:
        """Queue one message; the caller has checked that the channel is open and the size fits."""
        sender = self._sender
        sender.queue(wire.PPID_BINARY, data, order)
        if self._cookie:
            self._put_cookie()
        elif sender.flight_bytes and len(data) <= MAX_BUNDLED_BYTES:
            # As Nagle did it, but for one turn of the loop only: who is alone on the path never waits.
            self._is_collecting = True
            self._end_turn_soon()
        else:
            self._pump()

    def widen_window(self, size: int) -> None:
        """Announce so much more room from the next acknowledgement on."""
        self._receiver.window_bytes += size

    def repeat_outstanding(self) -> None:
        """The path is new: send again at once what was in flight (spec 04 §11.2)."""
        self._sender.change_path(self._now())
        self._pump()

    # Receiving.

    def receive_packet(self, data: bytes) -> None:
        """Take one decrypted packet; malformed ones change nothing."""
        length = len(data)
        if self._ended or length < wire.PACKET_HEADER_BYTES + wire.CHUNK_HEADER_BYTES:
            return
        _, _, tag, _ = wire.PACKET_HEADER.unpack_from(data)
        if wire.CHECKSUM.unpack_from(data, 8)[0] != crc32c(data[:8] + wire.NO_CHECKSUM + data[12:]):
            return
        if tag != (0 if data[wire.PACKET_HEADER_BYTES] == InitChunk.type else self._local_verification_tag):
            return
        receiver = self._receiver
        messages: list[Message] = []
        sack: tuple[int, int] | None = None
        had_data = False
        position = wire.PACKET_HEADER_BYTES
        while position <= length - wire.CHUNK_HEADER_BYTES:
            kind, flags, size = _read_chunk_header(data, position)
            end = position + size
            if size < wire.CHUNK_HEADER_BYTES or end > length:
                break
            if kind == wire.DATA:
                if size < wire.DATA_HEADER_BYTES:
                    break
                had_data = True
                tsn, stream, _, ppid = _read_data_head(data, position + 4)
                receiver.take(flags, tsn, stream, ppid, data[position + wire.DATA_HEADER_BYTES : end], messages)
            elif kind == wire.SACK:
                if size >= wire.SACK_BYTES:
                    sack = position + 4, end
            elif kind == wire.FORWARD_TSN:
                if size >= wire.FORWARD_TSN_BYTES:
                    had_data = True
                    receiver.skip_to(wire.TSN.unpack_from(data, position + 4)[0], messages)
            else:
                self._take_control(kind, flags, data[position + 4 : end])
                if self._ended:
                    return
            position = end + (-size & 3)
        came_at = self._now() if sack is not None else 0.0
        if had_data and receiver.last_tsn is not None:
            receiver.unacked_packets += 1
            for stream, ppid, message in messages:
                self._deliver(stream, ppid, message)
                if self._ended:
                    return
            if self._reconfig_deferred is not None:
                drive(self._reset_deferred_streams())
        if sack is not None:
            # Behind the messages: somebody waits for those.
            self._note_sack(data, *sack, came_at)
            if self._ended:
                return
        if receiver.unacked_packets:
            self._acknowledge()

    def _take_control(self, kind: int, flags: int, body: bytes) -> None:
        """Everything but DATA and SACK is the base class's."""
        chunk_class = CHUNK_TYPES.get(kind)
        if chunk_class is None:
            return
        try:
            chunk = chunk_class(flags, body)
            if isinstance(chunk, InitChunk):
                self._take_init(chunk)
                return
            was_unknown = self._receiver.last_tsn is None
            drive(self._receive_chunk(chunk))
            if was_unknown and self._receiver.last_tsn is not None:
                self._sender.set_peer_window(self._ssthresh)
        except _MALFORMED as error:
            log.debug("malformed SCTP chunk of type %d: %r", kind, error)

    def _take_init(self, chunk: InitChunk) -> None:
        """An INIT may collide with ours, or come late; then it must not set back what has been received."""
        if self._receiver.last_tsn is None:
            drive(self._receive_chunk(chunk))
            self._sender.set_peer_window(self._ssthresh)
        elif chunk.initiate_tag == self._remote_verification_tag:
            received, reset_seq = self._receiver.last_tsn, self._reconfig_response_seq
            drive(self._receive_chunk(chunk))
            self._receiver.last_tsn, self._reconfig_response_seq = received, reset_seq

    def _deliver(self, stream: int, ppid: int, message: bytes) -> None:
        if ppid in (wire.PPID_BINARY, wire.PPID_TEXT):
            if stream == self._packets.stream_id and message:
                self._owner.sctp_message(message)
        elif ppid == wire.PPID_DCEP and message:
            self._take_dcep(stream, message)

    def _take_dcep(self, stream: int, message: bytes) -> None:
        """The first channel `myownmesh` is ours; all others are ignored (spec 04 §10.1)."""
        if self._packets.stream_id is not None or not opening.opens_ours(message):
            return
        self._use_stream(stream)
        self._sender.queue(wire.PPID_DCEP, opening.ACK)
        self._pump()
        self._became_open()

    def _acknowledge(self) -> None:
        """Send a SACK now, or see to it that one goes out soon."""
        receiver = self._receiver
        if receiver.sack_is_eager:
            self._packets.put(receiver.take_sack())
        elif receiver.sack_is_due:
            self._end_turn_soon()
        elif self._sack_timer is None:
            self._sack_timer = self._timers.call_later(SACK_DELAY_SECONDS, self._sack_is_due)

    def _sack_is_due(self) -> None:
        self._sack_timer = None
        if self._receiver.unacked_packets and not self._ended:
            self._packets.put(self._receiver.take_sack())

    def _end_turn_soon(self) -> None:
        """What has come in one go is acknowledged in one go; of the peer's acknowledgements the last says it all. Short
        messages of one go leave together."""
        if not self._turn_ends:
            self._turn_ends = True
            self._timers.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._turn_ends = False
        if self._ended:
            return
        if self._sack is not None:
            sack, self._sack = self._sack, None
            self._take_sack(*sack, self._now())
        if self._is_collecting:
            backlog = self._sender.unsent_bytes
            self._pump()
            if backlog > self._sender.unsent_bytes:
                self._owner.sctp_drained()
        if self._receiver.unacked_packets and self._receiver.sack_is_due and not self._ended:
            self._packets.put(self._receiver.take_sack())

    def _stop_sack_timer(self) -> None:
        if self._sack_timer is not None:
            self._sack_timer.cancel()
            self._sack_timer = None

    # Sending.

    def _pump(self) -> None:
        if self._association_state != self.State.ESTABLISHED or self._packets.stream_id is None or self._ended:
            return
        now = self._now()
        sender = self._sender
        self._is_collecting = False
        if sender.has_much_to_send:
            self._dtls.hold()
            sender.pump(now)
            self._packets.flush()
            self._dtls.release()
        else:
            sender.pump(now)
            self._packets.flush()
        self._local_tsn = sender.next_tsn
        deadline = sender.deadline
        if deadline is not None and (self._t3_handle is None or self._t3_at > deadline + TIMER_SLACK_SECONDS):
            self._start_timer(deadline, now)

    def _start_timer(self, at: float, now: float) -> None:
        if self._t3_handle is not None:
            self._t3_handle.cancel()
        self._t3_at = at
        self._t3_handle = self._timers.call_later(max(at - now, TIMER_SLACK_SECONDS), self._t3_expired)

    def _note_sack(self, data: bytes, position: int, end: int, now: float) -> None:
        """Take an acknowledgement; while much is in flight, others may come in the same go that say more."""
        if self._sender.flight_bytes <= FEW_BYTES_IN_FLIGHT and self._sack is None:
            self._take_sack(data, position, end, now)
            return
        if self._sack is not None:
            earlier, at, _ = self._sack
            behind = (wire.TSN.unpack_from(data, position)[0] - wire.TSN.unpack_from(earlier, at)[0]) & wire.TSN_MASK
            if behind >= wire.TSN_HALF:
                return
        self._sack = (data, position, end)
        self._end_turn_soon()

    def _take_sack(self, data: bytes, position: int, end: int, now: float) -> None:
        sender = self._sender
        backlog = sender.unsent_bytes
        sender.take_sack(data, position, end, now)
        if sender.is_busy:
            self._pump()
        if backlog:
            self._owner.sctp_drained()

    # The base class's hooks.

    @property
    def _last_received_tsn(self) -> int | None:
        return self._receiver.last_tsn

    @_last_received_tsn.setter
    def _last_received_tsn(self, tsn: int | None) -> None:
        self._receiver.last_tsn = tsn

    @property
    def _remote_verification_tag(self) -> int:
        return self._packets.tag

    @_remote_verification_tag.setter
    def _remote_verification_tag(self, tag: int) -> None:
        self._packets.tag = tag

    def _t3_expired(self) -> None:
        """The timer runs on while the deadline moves back; starting one per packet would cost more."""
        self._t3_handle = None
        if self._ended or self._sender.deadline is None:
            return
        backlog = self._sender.unsent_bytes
        self._sender.wake(self._now())
        self._pump()
        if backlog > self._sender.unsent_bytes:
            self._owner.sctp_drained()

    async def _send_chunk(self, chunk: Chunk) -> None:
        if self._opener and self._packets.stream_id is None and isinstance(chunk, CookieEchoChunk):
            self._cookie = bytes(chunk)
            self._timers.call_later(FIRST_MESSAGE_SECONDS, self._put_cookie)
            self._open_channel()
        else:
            self._packets.put(bytes(chunk))

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
            self._cookie = b""  # the peer's has come first
            if self._opener and self._packets.stream_id is None:
                self._open_channel()
            else:
                self._pump()

    def _open_channel(self) -> None:
        """DCEP OPEN; the channel may be used at once, without waiting for the peer's ACK (RFC 8832 §6)."""
        self._use_stream(1 if self.is_server else 0)
        self._sender.queue(wire.PPID_DCEP, opening.OPEN, Order.AHEAD)  # of what is said first, too
        self._pump()
        self._became_open()

    def _put_cookie(self) -> None:
        """Send the COOKIE ECHO with what fits behind it; more must wait for the answer (RFC 9260 §5.1)."""
        cookie, self._cookie = self._cookie, b""
        if not cookie or self._ended:
            return
        sender = self._sender
        room = wire.MAX_BUNDLE_BYTES - len(cookie) - 2 * (wire.DATA_HEADER_BYTES + len(wire.PADDING[1]))
        if sender.unsent_bytes > room:
            self._packets.put(cookie)
            return
        self._packets.begin_with(cookie)
        sender.pump(self._now())
        self._packets.flush()

    def _use_stream(self, stream: int) -> None:
        self._packets.stream_id = stream
        self._data_channels[stream] = cast("RTCDataChannel", _Channel(stream, self._channel_closing))

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
