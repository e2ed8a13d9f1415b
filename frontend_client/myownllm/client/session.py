"""What users and features of the app hold of a life: the way to the daemon, the network, and its end (spec 08 §5.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import attrs
import trio

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.operations import read_answer
from mesh_common.client.streams import StreamBook
from myownllm.errors import stopped

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from mesh_common.client.session import Session as Bridge

AnswerT = TypeVar("AnswerT")


@attrs.define(eq=False)
class Session:
    """One life, seen from outside the machine. It ends when the life does."""

    life: int
    bridge: Bridge
    wire_id: str
    """network of the life; empty while none is active"""
    ended: trio.Event = attrs.field(factory=trio.Event)
    streams: StreamBook = attrs.field(factory=StreamBook)

    async def ask(
        self, cls: type[AnswerT], operation: str, /, *, timeout_s: float | None = None, **members: object
    ) -> AnswerT:
        """An operation on the network, for a caller outside the life.

        Raises ControlError; when the life ends meanwhile, CONNECTION_LOST or STOPPED says how.
        """
        if self.ended.is_set():
            raise self._over()
        members = {"network": self.wire_id, **members}
        result: list[object] = []
        failure: list[ControlError] = []

        async def run(work: Awaitable[object]) -> None:
            try:
                result.append(await work)
            except ControlError as error:
                failure.append(error)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, self.bridge.command(operation, timeout=timeout_s, **members))
            await self.ended.wait()
            nursery.cancel_scope.cancel()
        if result:
            return read_answer(cls, operation, result[0])
        raise failure[0] if failure else self._over()

    def end(self) -> None:
        """The life is over: whoever waits here learns it."""
        self.ended.set()
        self.streams.end_all(self._over())

    def _over(self) -> ControlError:
        if self.bridge.lost.is_set():
            return ControlError(ErrorKind.CONNECTION_LOST, "the connection to the mesh daemon was lost")
        return stopped()
