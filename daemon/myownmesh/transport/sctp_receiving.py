"""The receiving half of an association: order, reassembly, acknowledgements. No I/O and no clock.

Fragments are put together in the order of their TSN, in which those of one message are neighbours; so a message that
is under way is a list, and everything that came too early is a bounded dictionary.
"""

from __future__ import annotations

from bisect import bisect_right

from myownmesh.protocol.limits import MAX_INBOUND_BYTES
from myownmesh.transport import sctp_wire as wire

WINDOW_BYTES = 1024 * 1024
MAX_EARLY_CHUNKS = 4_096
MAX_FRAGMENTS = 4_096
"""Of one message: a peer may send empty ones."""
MAX_REPORTED_GAPS = 64
MAX_REPORTED_DUPLICATES = 16
SACK_EVERY_PACKETS = 2

Message = tuple[int, int, bytes]
"""Stream, payload protocol, data."""


class Receiver:
    """What has been received of a peer's stream of DATA chunks."""

    def __init__(self) -> None:
        self.last_tsn: int | None = None
        """Everything up to here is received; None before the peer's INIT."""
        self.unacked_packets = 0
        self._urgent = False
        self._duplicates: list[int] = []
        self._count = 0
        """Number of chunks up to `last_tsn`: a TSN that does not wrap."""
        self._early: dict[int, tuple[int, int, int, bytes]] = {}
        """What came before its predecessors, by that number."""
        self._early_bytes = 0
        self._ranges: list[list[int]] = []
        """First and last number of every run in `_early`, in order."""
        self._parts: list[bytes] | None = None
        """Fragments of the message under way; None between messages and while one is dropped."""
        self._parts_bytes = 0

    def take(self, flags: int, tsn: int, stream: int, ppid: int, payload: bytes, messages: list[Message]) -> None:
        """Take a DATA chunk; messages that it completes are appended."""
        last = self.last_tsn
        if last is None:
            return
        ahead = (tsn - last) & wire.TSN_MASK
        if ahead == 1:
            self.last_tsn = tsn
            self._count += 1
            if flags & wire.FLAG_IMMEDIATE:
                self._urgent = True
            self._assemble(flags, stream, ppid, payload, messages)
            if self._early:
                self._urgent = True
                self._take_early(messages)
            return
        self._urgent = True
        number = self._count + ahead
        if ahead == 0 or ahead >= wire.TSN_HALF or number in self._early:
            if len(self._duplicates) < MAX_REPORTED_DUPLICATES:
                self._duplicates.append(tsn)
        elif ahead <= MAX_EARLY_CHUNKS and self._early_bytes + len(payload) <= WINDOW_BYTES:
            self._early[number] = (flags, stream, ppid, payload)
            self._early_bytes += len(payload)
            self._note_range(number)

    @property
    def sack_is_due(self) -> bool:
        """Whether the next SACK must not wait."""
        return self._urgent or self.unacked_packets >= SACK_EVERY_PACKETS

    @property
    def sack_is_plain(self) -> bool:
        """Whether the SACK is `wire.SACK_BYTES` long."""
        return not self._early and not self._duplicates

    def take_sack(self) -> bytes:
        """The SACK chunk for everything so far; it counts as sent."""
        gaps = self._ranges[:MAX_REPORTED_GAPS]
        window = max(0, WINDOW_BYTES - self._early_bytes - self._parts_bytes)
        size = wire.SACK_BYTES + 4 * (len(gaps) + len(self._duplicates))
        chunk = wire.SACK_CHUNK.pack(wire.SACK, 0, size, self.last_tsn or 0, window, len(gaps), len(self._duplicates))
        for first, final in gaps:
            chunk += wire.GAP.pack(first - self._count, final - self._count)
        for tsn in self._duplicates:
            chunk += wire.TSN.pack(tsn)
        self._duplicates.clear()
        self.unacked_packets = 0
        self._urgent = False
        return chunk

    def clear(self) -> None:
        """Forget what is kept; the association has ended."""
        self._early.clear()
        self._ranges.clear()
        self._parts = None

    def _note_range(self, number: int) -> None:
        ranges = self._ranges
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number  # nearly always: only one packet was lost
            return
        index = bisect_right(ranges, number, key=_first_of)
        if index and ranges[index - 1][1] + 1 == number:
            ranges[index - 1][1] = number
            if index < len(ranges) and ranges[index][0] == number + 1:
                ranges[index - 1][1] = ranges.pop(index)[1]
        elif index < len(ranges) and ranges[index][0] == number + 1:
            ranges[index][0] = number
        else:
            ranges.insert(index, [number, number])

    def _take_early(self, messages: list[Message]) -> None:
        """The gap before the first run may be filled."""
        if self._ranges[0][0] != self._count + 1:
            return
        first, final = self._ranges.pop(0)
        for number in range(first, final + 1):
            flags, stream, ppid, payload = self._early.pop(number)
            self._early_bytes -= len(payload)
            self._assemble(flags, stream, ppid, payload, messages)
        self._count = final
        self.last_tsn = ((self.last_tsn or 0) + final + 1 - first) & wire.TSN_MASK

    def _assemble(self, flags: int, stream: int, ppid: int, payload: bytes, messages: list[Message]) -> None:
        if flags & wire.FLAG_FIRST:
            if flags & wire.FLAG_LAST:
                self._drop_parts()
                if len(payload) <= MAX_INBOUND_BYTES:
                    messages.append((stream, ppid, payload))
                return
            self._parts = [payload]
            self._parts_bytes = len(payload)
            return
        parts = self._parts
        if parts is None:
            return
        parts.append(payload)
        self._parts_bytes += len(payload)
        if self._parts_bytes > MAX_INBOUND_BYTES or len(parts) > MAX_FRAGMENTS:
            self._drop_parts()
        elif flags & wire.FLAG_LAST:
            self._drop_parts()
            messages.append((stream, ppid, b"".join(parts)))

    def _drop_parts(self) -> None:
        self._parts = None
        self._parts_bytes = 0


def _first_of(numbers: list[int]) -> int:
    return numbers[0]
