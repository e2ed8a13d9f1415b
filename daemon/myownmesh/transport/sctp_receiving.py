"""The receiving half of an association: order, reassembly, acknowledgements. No I/O and no clock.

Fragments are put together in the order of their TSN, in which those of one message are neighbours; so a message that
is under way is a list, and everything that came too early is a bounded dictionary. A short unordered message leaves
that dictionary as soon as it is whole.
"""

from __future__ import annotations

import struct
from bisect import bisect_right

from myownmesh.protocol.limits import MAX_INBOUND_BYTES
from myownmesh.transport import sctp_wire as wire

MAX_EARLY_CHUNKS = 4_096
MAX_FRAGMENTS = 4_096
"""Of one message: a peer may send empty ones."""
MAX_UNORDERED_FRAGMENTS = 8
"""Of a message that is looked for before its turn."""
MAX_REPORTED_GAPS = 256
"""With what else it carries, such a SACK fits a packet."""
MAX_REPORTED_DUPLICATES = 16
SACK_EVERY_PACKETS = 2
EAGER_SACKS = 4
"""So many packets after a new gap are acknowledged one by one: three reports of it make every sender repeat."""

Message = tuple[int, int, bytes]
"""Stream, payload protocol, data."""


class Receiver:
    """What has been received of a peer's stream of DATA chunks."""

    def __init__(self) -> None:
        self.last_tsn: int | None = None
        """Everything up to here is received; None before the peer's INIT."""
        self.window_bytes = wire.BASE_WINDOW_BYTES
        """What is announced to the peer; it may grow, never shrink."""
        self.unacked_packets = 0
        self._urgent = False
        self._eager = 0
        self._has_new_gap = False
        self._duplicates: list[int] = []
        self._count = 0
        """Number of chunks up to `last_tsn`: a TSN that does not wrap."""
        self._early: dict[int, tuple[int, int, int, bytes | None]] = {}
        """What came before its predecessors, by that number; without its data when that has been delivered."""
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
                self._take_early(messages)
            return
        number = self._count + ahead
        if ahead == 0 or ahead >= wire.TSN_HALF or number in self._early:
            self._urgent = True
            if len(self._duplicates) < MAX_REPORTED_DUPLICATES:
                self._duplicates.append(tsn)
        elif ahead <= MAX_EARLY_CHUNKS and self._early_bytes + len(payload) <= self.window_bytes:
            self._early[number] = (flags, stream, ppid, payload)
            self._early_bytes += len(payload)
            self._note_range(number)
            if flags & wire.FLAG_IMMEDIATE:
                self._urgent = True
            elif self._eager:
                self._eager -= 1
                self._urgent = self._has_new_gap = True
            if flags & wire.FLAG_UNORDERED:
                self._take_unordered(number, messages)
        else:
            self._urgent = True

    def skip_to(self, tsn: int, messages: list[Message]) -> None:
        """The peer has given up on everything up to this TSN that is not here (RFC 3758 §3.6).

        Whole messages among it are appended, torn ones are dropped. A TSN further away than anything that may be on its
        way changes nothing.
        """
        last = self.last_tsn
        if last is None:
            return
        self._urgent = True
        ahead = (tsn - last) & wire.TSN_MASK
        if not 0 < ahead <= MAX_EARLY_CHUNKS:
            return
        for number in range(self._count + 1, self._count + ahead + 1):
            if number in self._early:
                self._take_next(number, messages)
            else:
                self._drop_parts()
        self._count += ahead
        self.last_tsn = tsn
        while self._ranges and self._ranges[0][1] <= self._count:
            self._ranges.pop(0)
        if self._ranges:
            self._ranges[0][0] = max(self._ranges[0][0], self._count + 1)
            self._take_early(messages)

    @property
    def sack_is_due(self) -> bool:
        """Whether the next SACK must not wait."""
        return self._urgent or self.unacked_packets >= SACK_EVERY_PACKETS

    @property
    def sack_is_eager(self) -> bool:
        """Whether the next SACK must not even wait for what else has come: it reports a new gap."""
        return self._has_new_gap

    @property
    def sack_is_plain(self) -> bool:
        """Whether the SACK is `wire.SACK_BYTES` long."""
        return not self._early and not self._duplicates

    def take_sack(self) -> bytes:
        """The SACK chunk for everything so far; it counts as sent."""
        window = max(0, self.window_bytes - self._early_bytes - self._parts_bytes)
        if not self._ranges and not self._duplicates:
            self.unacked_packets = 0
            self._urgent = self._has_new_gap = False
            return wire.SACK_CHUNK.pack(wire.SACK, 0, wire.SACK_BYTES, self.last_tsn or 0, window, 0, 0)
        gaps = self._ranges[:MAX_REPORTED_GAPS]
        size = wire.SACK_BYTES + 4 * (len(gaps) + len(self._duplicates))
        chunk = wire.SACK_CHUNK.pack(wire.SACK, 0, size, self.last_tsn or 0, window, len(gaps), len(self._duplicates))
        if gaps:
            edges = [number - self._count for run in gaps for number in run]
            chunk += struct.pack(f"!{len(edges)}H", *edges)
        for tsn in self._duplicates:
            chunk += wire.TSN.pack(tsn)
        self._duplicates.clear()
        self.unacked_packets = 0
        self._urgent = self._has_new_gap = False
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
            self._eager = EAGER_SACKS

    def _take_early(self, messages: list[Message]) -> None:
        """The gap before the first run may be filled."""
        if self._ranges[0][0] != self._count + 1:
            return
        self._urgent = True
        first, final = self._ranges.pop(0)
        for number in range(first, final + 1):
            self._take_next(number, messages)
        self._count = final
        self.last_tsn = ((self.last_tsn or 0) + final + 1 - first) & wire.TSN_MASK

    def _take_next(self, number: int, messages: list[Message]) -> None:
        """It is the turn of an early fragment."""
        flags, stream, ppid, payload = self._early.pop(number)
        if payload is not None:
            self._early_bytes -= len(payload)
            self._assemble(flags, stream, ppid, payload, messages)

    def _take_unordered(self, number: int, messages: list[Message]) -> None:
        """Deliver the unordered message of this early fragment, if all of it is here."""
        early = self._early
        first = final = number
        nothing = (0, 0, 0, None)
        while not early[first][0] & wire.FLAG_FIRST:
            first -= 1
            flags, _, _, payload = early.get(first, nothing)
            if payload is None or not flags & wire.FLAG_UNORDERED or final - first >= MAX_UNORDERED_FRAGMENTS:
                return
        while not early[final][0] & wire.FLAG_LAST:
            final += 1
            flags, _, _, payload = early.get(final, nothing)
            if payload is None or not flags & wire.FLAG_UNORDERED or final - first >= MAX_UNORDERED_FRAGMENTS:
                return
        parts: list[bytes] = []
        for each in range(first, final + 1):
            flags, stream, ppid, payload = early[each]
            assert payload is not None
            parts.append(payload)
            self._early_bytes -= len(payload)
            early[each] = (flags, stream, ppid, None)
        _, stream, ppid, _ = early[first]
        messages.append((stream, ppid, b"".join(parts)))

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
