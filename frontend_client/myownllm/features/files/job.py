"""A file on its way to one device, as commands and screens see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import attrs
import trio

from mesh_common.values import Value
from myownllm.client.work import FileWork

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from myownllm.client.work import FileStatus
    from myownllm.coerce import JsonObject
    from myownllm.transfer_files.notes import Sending

Status = Literal["hashing", "waiting", "offered", "sending", "sent", "aborted", "failed"]
ENDED: Final = ("sent", "aborted", "failed")


_SHOWN: Final[dict[Status, FileStatus]] = {
    "hashing": "offered",
    "waiting": "offered",
    "offered": "offered",
    "sending": "sending",
    "sent": "sent",
    "aborted": "aborted",
    "failed": "aborted",
}


class Progress(Value, frozen=True):
    """How far it is."""

    status: Status
    bytes_sent: int = 0
    detail: str = ""
    """why it waits, or has failed"""


@attrs.define(eq=False)
class Job:
    """One file for one device. Its task writes `progress`; anybody may cancel it."""

    id: str
    peer: str
    network: str
    path: Path
    filename: str
    size: int
    started_at_ms: int
    noted: Sending | None = None
    """what was remembered of it when the app was started again"""
    progress: Progress = attrs.field(factory=lambda: Progress("hashing"))
    on_change: Callable[[], None] = lambda: None
    """told when it has moved or ended"""
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    cancelled: bool = False
    """a person has given it up, so the receiver is told"""
    may_be_half_there: bool = attrs.field(default=attrs.Factory(lambda job: job.noted is not None, takes_self=True))
    """it was offered, so the receiver may hold chunks of it"""

    @property
    def is_over(self) -> bool:
        return self.progress.status in ENDED

    def entry(self, label: str) -> FileWork:
        """As every screen shows it (spec 08 §5.1)."""
        return FileWork(
            self.id,
            self.peer,
            label,
            direction="outbound",
            filename=self.filename,
            bytes_total=self.size,
            status=_SHOWN[self.progress.status],
            bytes_done=self.progress.bytes_sent,
        )

    def say(self, status: Status, bytes_sent: int | None = None, detail: str = "") -> None:
        """Tell where it stands; without `bytes_sent` as many as before."""
        sent = self.progress.bytes_sent if bytes_sent is None else bytes_sent
        self.progress = Progress(status, sent, detail)
        self.on_change()

    def cancel(self) -> None:
        self.cancelled = True
        self.scope.cancel()

    def to_json(self) -> JsonObject:
        now = self.progress
        return {
            "id": self.id,
            "direction": "outbound",
            "peer_id": self.peer,
            "filename": self.filename,
            "path": str(self.path),
            "status": now.status,
            "bytes_sent": now.bytes_sent,
            "bytes_total": self.size,
            "started_at_ms": self.started_at_ms,
            "detail": now.detail,
        }
