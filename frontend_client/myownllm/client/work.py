"""Work under way with peers, as people see it: files, inferences, moves, offers (spec 08 §5.1, FE-5.1, FE-9.11). Pure.

A feature begins an entry, keeps it true through its handle, and ends it. Each can be cancelled from any screen.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from myownllm.coerce import JsonObject

ENDED_KEPT: Final = 50
"""Ended entries that are still shown, newest last."""

ResourceKind = Literal[
    "outbound_infers", "inbound_infers", "outbound_moves", "inbound_moves", "outbound_transcribes",
    "inbound_transcribes",
]  # fmt: skip
FileStatus = Literal["offered", "sending", "sent", "receiving", "received", "aborted"]


@attrs.frozen
class Entry:
    """What all work has in common. Times are in milliseconds since the epoch; `ended_at` 0 means that it goes on."""

    id: str
    peer_id: str
    peer_label: str
    started_at: int = attrs.field(default=0, kw_only=True)
    ended_at: int = attrs.field(default=0, kw_only=True)
    error: str = attrs.field(default="", kw_only=True)
    """why it ended badly"""

    def to_json(self) -> JsonObject:
        members = attrs.asdict(self)
        return {**members, "ended_at": self.ended_at or None}


@attrs.frozen
class FileWork(Entry):
    """A file on its way to a peer or from one."""

    direction: Literal["outbound", "inbound"]
    filename: str
    bytes_total: int
    status: FileStatus
    bytes_done: int = 0

    def to_json(self) -> JsonObject:
        members = super().to_json()
        members["bytes_sent" if self.direction == "outbound" else "bytes_received"] = members.pop("bytes_done")
        return members


@attrs.frozen
class Resource(Entry):
    """An inference, a transcription or a move."""

    kind: ResourceKind
    guid: str = ""
    title: str = ""
    family: str = ""
    mode: str = ""


@attrs.frozen
class FileOffer(Entry):
    """A file that somebody here has to decide about."""

    filename: str
    size_bytes: int
    mime_type: str = ""
    expires_at: int = 0


class Handle:
    """One entry, in the hands of the feature that began it. As a context manager it ends with the block."""

    def __init__(self, work: Work, entry: Entry, cancel: Callable[[], None] | None) -> None:
        self.entry = entry
        self.cancel = cancel
        self._work = work

    def update(self, **changes: Any) -> None:
        """Progress: screens see it within 100 ms."""
        self.entry = attrs.evolve(self.entry, **changes)
        self._work.changed(urgent="status" in changes)

    def end(self, error: str = "", **changes: Any) -> None:
        """It is over; the first end counts."""
        if not self.entry.ended_at:
            self.entry = attrs.evolve(self.entry, **changes, error=error, ended_at=self._work.now_ms())
            self._work.ended(self)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self.end("" if error is None else str(error) or type(error).__name__)


class Work:
    """Everything under way, and what ended lately. `changed` is told of each change; `urgent`: not only progress."""

    def __init__(self, now_ms: Callable[[], int], tell: Callable[[bool], None]) -> None:
        self.now_ms = now_ms
        self._tell = tell
        self._running: list[Handle] = []
        self._ended: deque[Entry] = deque(maxlen=ENDED_KEPT)

    def begin(self, entry: Entry, cancel: Callable[[], None] | None = None) -> Handle:
        """Show an entry; `cancel` is what a person's wish to end it calls, at any time, perhaps twice.

        A file that goes on takes the place of its attempt that was broken off: a person sees each file once.
        """
        if isinstance(entry, FileWork):
            self._ended = deque((e for e in self._ended if not _same_file(e, entry)), ENDED_KEPT)
        handle = Handle(self, attrs.evolve(entry, started_at=self.now_ms()), cancel)
        self._running.append(handle)
        self.changed(urgent=True)
        return handle

    def cancel(self, entry_id: str) -> bool:
        """Somebody here does not want it any more. False when nothing under way has that id."""
        found = [h for h in self._running if h.entry.id == entry_id and h.cancel is not None]
        for handle in found:
            if handle.cancel is not None:
                handle.cancel()
        return bool(found)

    def changed(self, *, urgent: bool) -> None:
        self._tell(urgent)

    def ended(self, handle: Handle) -> None:
        self._running.remove(handle)
        self._ended.append(handle.entry)
        self.changed(urgent=True)

    @property
    def files(self) -> tuple[FileWork, ...]:
        """Under way and ended lately, in the order they began."""
        shown = [e for e in (*self._ended, *(h.entry for h in self._running)) if isinstance(e, FileWork)]
        return tuple(sorted(shown, key=lambda e: e.started_at))

    @property
    def resources(self) -> tuple[Resource, ...]:
        return tuple(h.entry for h in self._running if isinstance(h.entry, Resource))

    @property
    def offers(self) -> tuple[FileOffer, ...]:
        return tuple(h.entry for h in self._running if isinstance(h.entry, FileOffer))


def _same_file(ended: Entry, entry: FileWork) -> bool:
    mark = (entry.id, entry.peer_id, entry.direction)
    return isinstance(ended, FileWork) and (ended.id, ended.peer_id, ended.direction) == mark
