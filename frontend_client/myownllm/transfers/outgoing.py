"""One file as it goes out: which chunk is sent next, and what becomes of lost ones (spec 08 FE-9.22, 10 §2.5). Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from mesh_common.values import Value
from myownllm.errors import AppError
from myownllm.transfers.index_set import IndexSet, read_ranges

if TYPE_CHECKING:
    from myownllm.coerce import Json, JsonObject
    from myownllm.transfers.offer import FileOffer

WINDOW: Final = 128
"""Chunks under way to a receiver that reports, which bounds what its device keeps when its disk is slow: 7.9 MB as they
travel, within what its daemon keeps for a client (16 MiB). Where all have to wait for a processor, this is the pace."""
SENDS_PER_CHUNK: Final = 4
"""A receiver that asks for the same again and again is served so often, on average."""
SENDS_SPARE: Final = 1024


class TooOftenError(AppError):
    """The receiver has asked for far more than the file."""


class Report(Value, frozen=True):
    """What a receiver that can go on tells while chunks come: see `report_payload`."""

    held: IndexSet
    again: bool = False
    done: bool = False


def report_payload(held: IndexSet, *, again: bool = False, done: bool = False) -> JsonObject:
    """A piece of the `file_send` stream. `again`: what is sent and not named here has been lost."""
    payload: JsonObject = {"have": held.told()}
    if again:
        payload["again"] = True
    if done:
        payload["done"] = True
    return payload


def read_report(payload: Json, total: int) -> Report | None:
    """A piece of the `file_send` stream; None for what is no report: it carries nothing for older senders."""
    if not isinstance(payload, dict) or (held := read_ranges(payload.get("have"), total)) is None:
        return None
    return Report(held, payload.get("again") is True, payload.get("done") is True)


class Outgoing:
    """Which chunks of an accepted offer are to be sent. Without reports the daemon's confirmation is all there is."""

    def __init__(self, offer: FileOffer, held: IndexSet | None) -> None:
        """`held`: what the receiver has, None when it will not report."""
        self.offer = offer
        self.reports = held is not None
        self._held = IndexSet() if held is None else held
        self._next = 0
        self._again: deque[int] = deque()
        self._open: dict[int, None] = {}  # handed out and not yet known to have arrived, oldest first
        self._confirmed = IndexSet()
        self._sends = 0

    @property
    def all_sent(self) -> bool:
        """Every chunk has been taken by the daemon, or is with the receiver."""
        return not self._again and not self._open and self._seek() >= self.offer.chunks

    @property
    def bytes_sent(self) -> int:
        """As far as is known: arrived where the receiver reports, else taken by the daemon."""
        chunks = self._held.count if self.reports else self._confirmed.count
        return min(chunks * self.offer.chunk_size, self.offer.size_bytes)

    def take(self, most: int) -> list[int]:
        """The next chunks to send, at most so many; empty while reports are to be waited for.

        A file's last chunk goes alone to a receiver without reports, when the others are confirmed: such a receiver
        may take it for the end. Raises TooOftenError.
        """
        room = min(most, WINDOW - len(self._open))
        picked: list[int] = []
        while len(picked) < room:
            if self._again:
                index = self._again.popleft()
            else:
                index = self._seek()
                if index >= self.offer.chunks:
                    break
                is_last = index == self.offer.chunks - 1
                if is_last and not self.reports and (self._open or picked):
                    break
                self._next = index + 1
            self._open[index] = None
            picked.append(index)
        self._sends += len(picked)
        if self._sends > SENDS_PER_CHUNK * self.offer.chunks + SENDS_SPARE:
            raise TooOftenError("the receiver asks for the same chunks again and again")
        return picked

    def confirmed(self, index: int) -> None:
        """The daemon has taken the chunk."""
        self._confirmed.add(index)
        if not self.reports:
            self._open.pop(index, None)

    def report(self, report: Report) -> None:
        """The receiver has told what it holds."""
        self._held = report.held
        for index in [i for i in self._open if i in report.held]:
            del self._open[index]
        if report.again:
            self._again.extend(i for i in self._open if i in self._confirmed)
            for index in self._again:
                self._open.pop(index, None)

    def _seek(self) -> int:
        """The first chunk from `_next` on that the receiver has not."""
        self._next = self._held.next_missing(self._next)
        return self._next
