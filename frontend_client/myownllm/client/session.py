"""What users and features of the app hold of a life: the way to the daemon, the network, and its end (spec 08 §5.9)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import attrs
import trio

from mesh_common.client.asking import read_answer
from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.streams import StreamBook
from myownllm.errors import stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mesh_common.client.session import Session as Bridge

    Fail = Callable[[ControlError], None]

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
    is_without_reliable: bool = False
    """the daemon does not know `channel_send_reliable`"""
    woke_at: float = 0.0
    """when this machine last woke from sleep, on trio's clock"""
    _errands: dict[int, tuple[str, Fail]] = attrs.field(factory=dict)
    _count: int = 0

    async def ask(
        self, cls: type[AnswerT], operation: str, /, *, timeout_s: float | None = None, **members: object
    ) -> AnswerT:
        """An operation on the network, for a caller outside the life.

        Raises ControlError; when the life ends meanwhile, CONNECTION_LOST or STOPPED says how, and LINK_DOWN when the
        member `peer` names a device that stays away for longer than its grace.
        """
        members = {"network": self.wire_id, **members}
        failure: list[ControlError] = []
        with trio.CancelScope() as scope:

            def fail(error: ControlError) -> None:
                failure.append(error)
                scope.cancel()

            with self.errand(str(members.get("peer", "")), fail):
                return read_answer(cls, operation, await self.bridge.command(operation, timeout=timeout_s, **members))
        raise failure[0]

    @contextmanager
    def errand(self, peer: str, fail: Fail) -> Iterator[None]:
        """Something under way with a peer: `fail` is called when it cannot be finished. Raises ControlError."""
        if self.ended.is_set():
            raise self._over()
        self._count += 1
        number = self._count
        self._errands[number] = (peer, fail)
        try:
            yield
        finally:
            self._errands.pop(number, None)

    def fail_peer(self, peer: str, text: str) -> None:
        """A peer is gone for good (FE-9.8)."""
        for other, fail in tuple(self._errands.values()):
            if other == peer:
                fail(ControlError(ErrorKind.LINK_DOWN, text))

    def end(self) -> None:
        """The life is over: whoever waits here learns it."""
        self.ended.set()
        for _, fail in tuple(self._errands.values()):
            fail(self._over())
        self.streams.end_all(self._over())

    def _over(self) -> ControlError:
        if self.bridge.lost.is_set():
            return ControlError(ErrorKind.CONNECTION_LOST, "the connection to the mesh daemon was lost")
        return stopped()
