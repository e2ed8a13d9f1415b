"""Any operation of a daemon, and its answer as a class (spec 05 §7)."""

from __future__ import annotations

from typing import Final, TypeVar

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.reading import UnreadableAnswer, read

T = TypeVar("T")

SUFFIX_LENGTH: Final = 5


def bare_id(device: str) -> str:
    """A device's id without the suffix that people see: 0.3.8 finds most peers by the bare key only (spec 05 §5)."""
    key, dash, suffix = device.rpartition("-")
    return key if dash and len(suffix) == SUFFIX_LENGTH and suffix.isalnum() else device


def read_answer(cls: type[T], operation: str, data: object) -> T:
    """The `data` of an answer as its class. Raises `ControlError` PROTOCOL."""
    try:
        return read(cls, data)
    except UnreadableAnswer as error:
        raise ControlError(ErrorKind.PROTOCOL, f"the daemon's answer to `{operation}` is no {error}") from error


class Asking:
    """Whoever can send a command has its answer as a class. All methods raise `ControlError`."""

    async def command(self, operation: str, /, *, timeout: float | None = None, **members: object) -> object:
        """Send any operation and return the `data` of its answer; `timeout` in seconds."""
        raise NotImplementedError

    async def ask(self, cls: type[T], operation: str, /, *, timeout: float | None = None, **members: object) -> T:
        """`command`, with the answer as `cls`."""
        return read_answer(cls, operation, await self.command(operation, timeout=timeout, **members))
