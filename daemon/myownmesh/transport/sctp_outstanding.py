"""What is on its way to the peer, and what its acknowledgements say of it. No I/O and no clock.

The work of an acknowledgement grows with what is new in it and with the runs that it names, not with the window.
"""

from __future__ import annotations

import struct

from myownmesh.transport import sctp_wire as wire

MAX_SPAN_FRAGMENTS = 4_096
"""From the oldest that is missing to the newest; our own receiver keeps no more."""

IN_FLIGHT = 1
LOST = 2
"""Waits to be sent again."""
ACKED = 3

Mark = tuple[int, float, float, bool]
"""How much had been delivered when a fragment left, and when; when the first of those before it had left; and whether
we, and not the path, were what limited the rate (`sctp_delivery`)."""


class Fragment:
    """An outgoing DATA chunk until it is acknowledged."""

    __slots__ = (
        "data",
        "flags",
        "mark",
        "number",
        "order",
        "ppid",
        "sent_at",
        "sent_count",
        "size",
        "ssn",
        "state",
    )

    def __init__(self, number: int, ssn: int, flags: int, ppid: int, data: bytes) -> None:
        self.number = number
        """Its TSN, without the wrapping."""
        self.ssn = ssn
        self.flags = flags
        self.ppid = ppid
        self.data = data
        self.size = len(data)
        self.sent_count = 0
        self.state: int
        """One of those above."""
        self.order: int
        """Of its last sending among all sendings."""
        self.sent_at: float
        self.mark: Mark

    @property
    def tsn(self) -> int:
        return self.number & wire.TSN_MASK


class Outstanding:
    """The fragments that have a TSN and are not acknowledged.

    What is acknowledged once stays so: no stack that we meet takes back what it has reported beyond a gap.
    """

    def __init__(self, first_tsn: int) -> None:
        self.next_number = first_tsn
        self.acked = first_tsn - 1
        """The peer has everything up to here."""
        self.peer_window_bytes = wire.BASE_WINDOW_BYTES
        self.duplicates = 0
        """How many fragments the last acknowledgement said to have come twice."""
        self.fragments: dict[int, Fragment] = {}
        """By number; to be read only."""
        self._skips: dict[int, int] = {}
        """From an acknowledged number beyond a gap to one before which everything is acknowledged."""

    @property
    def is_full(self) -> bool:
        """Whether as much is without its place in the peer's order as any honest peer keeps."""
        return self.next_number - self.acked > MAX_SPAN_FRAGMENTS

    def add(self, fragment: Fragment) -> None:
        """Take the fragment of `next_number`."""
        self.fragments[fragment.number] = fragment
        self.next_number = fragment.number + 1

    def all(self) -> list[Fragment]:
        return list(self.fragments.values())

    def clear(self) -> None:
        self.fragments.clear()
        self._skips.clear()

    def take_sack(self, data: bytes, position: int, end: int) -> list[Fragment] | None:
        """Take the body of a SACK chunk, `data[position:end]` (at least 12 bytes).

        Returns the fragments that it acknowledges for the first time; None if it is old or acknowledges what was never
        sent, in which case it changes nothing. What it says beyond a gap is taken as far as it is in order.
        """
        cumulative, window, gap_count, duplicates = wire.SACK_BODY.unpack_from(data, position)
        acked = self.acked + ((cumulative - self.acked) & wire.TSN_MASK)
        if acked >= self.next_number:
            return None
        self.peer_window_bytes = window
        self.duplicates = duplicates
        newly: list[Fragment] = []
        take = self.fragments.pop
        for number in range(self.acked + 1, acked + 1):
            fragment = take(number, None)
            if fragment is not None:
                newly.append(fragment)
            else:
                self._skips.pop(number, None)
        self.acked = acked
        gap_count = min(gap_count, (end - position - wire.SACK_BODY.size) // wire.GAP.size)
        if gap_count and self.fragments:
            edges = struct.unpack_from(f"!{2 * gap_count}H", data, position + wire.SACK_BODY.size)
            self._take_runs(edges, newly)
        return newly

    def _take_runs(self, edges: tuple[int, ...], newly: list[Fragment]) -> None:
        take = self.fragments.pop
        skips = self._skips
        last = self.acked + 1
        for index in range(0, len(edges), 2):
            first = self.acked + edges[index]
            final = self.acked + edges[index + 1]
            if first <= last or final < first or final >= self.next_number:
                return
            last = final
            number = first
            passed: list[int] = []
            while number <= final:
                fragment = take(number, None)
                if fragment is not None:
                    newly.append(fragment)
                    number += 1
                else:
                    passed.append(number)
                    number = skips.get(number, number + 1)
            skips[first] = number
            for each in passed:
                skips[each] = number
