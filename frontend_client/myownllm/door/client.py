"""The door from a command's side: blocking, standard library only, quick to start."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from mesh_common.client.blocking import Connection
from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.protocol import parse_object, request_line
from myownllm.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from myownllm.coerce import Json, JsonObject

NOT_RUNNING: Final = "not_running"
NOT_RUNNING_TEXT: Final = "the app is not running; start it with `myownllm up`"


class Answer:
    """Items of an operation as they come; `data` is there when they are over."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.data: Json = None

    def __iter__(self) -> Iterator[Json]:
        """Raises DoorError: what the app says, or why it says nothing."""
        while True:
            line = _object(self._receive())
            if "item" in line:
                yield line["item"]
            elif line.get("ok") is True:
                self.data = line.get("data")
                return
            else:
                raise _refusal(line)

    def _receive(self) -> bytes:
        try:
            return self._connection.receive()
        except ControlError as error:
            raise _silence(error) from error


@contextmanager
def asking(path: Path, operation: str, /, *, timeout_s: float | None = None, **members: Any) -> Iterator[Answer]:
    """Ask the running app, and read what it says within the block; leaving it early ends what is done for us.

    `timeout_s` bounds each wait for a line; None waits for as long as it takes. Raises DoorError.
    """
    try:
        connection = Connection(path, timeout_s)
    except ControlError as error:
        raise DoorError(NOT_RUNNING, NOT_RUNNING_TEXT) from error
    with connection:
        answer = Answer(connection)
        try:
            connection.send(request_line(operation, members))
        except ControlError as error:
            for _ in answer:  # a refusal may be there already: the app does not listen to the end of what is too much
                pass
            raise _silence(error) from error
        yield answer


def ask(path: Path, operation: str, /, *, timeout_s: float | None = None, **members: Any) -> Json:
    """One operation that does not stream; returns its data. Raises DoorError."""
    with asking(path, operation, timeout_s=timeout_s, **members) as answer:
        for _ in answer:
            pass
        return answer.data


def _object(line: bytes) -> JsonObject:
    try:
        return parse_object(line)
    except ControlError as error:
        raise DoorError(error.kind, "what answers there is not the app") from error


def _refusal(line: JsonObject) -> DoorError:
    error = line.get("error")
    if isinstance(error, dict):
        return DoorError(str(error.get("kind", "error")), str(error.get("message", "")))
    return DoorError("error", str(error))


def _silence(error: ControlError) -> DoorError:
    if error.kind is ErrorKind.TIMEOUT:
        return DoorError(error.kind, "the app did not answer in time; `myownllm health` says more")
    if error.kind is ErrorKind.CLOSED:
        return DoorError(error.kind, "the app has ended, or gave this command up")
    return DoorError(error.kind, error.text)
