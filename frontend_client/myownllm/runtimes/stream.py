"""One answer that a model server streams: a task of its own reads it, whoever listens may leave at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from myownllm.runtimes.chat import Finished, merged, size
from myownllm.runtimes.errors import RuntimeFailure

if TYPE_CHECKING:
    from myownllm.runtimes.chat import Piece
    from myownllm.runtimes.http import Body, Http
    from myownllm.runtimes.readers import Reader

FIRST_S: Final = 180.0
"""A cold model needs this long before its first word (FE-9.4)."""
IDLE_S: Final = 60.0
TOTAL_S: Final = 1800.0
ANSWER_MAX_CHARS: Final = 8 * 2**20
"""No model writes more at once; what a slow listener has not heard yet stays below this."""
CLOSE_S: Final = 1.0


class Answer:
    """An answer under way. `read` runs in a task; the one listener iterates; `leave` ends both."""

    def __init__(self, http: Http, path: str, body: Body, reader: Reader) -> None:
        self._http, self._path, self._body, self._reader = http, path, body, reader
        self._waiting: list[Piece] = []
        self._told_end = False
        self._chars = 0
        self._failure: RuntimeFailure | None = None
        self._scope = trio.CancelScope()
        self._news = trio.Event()
        self._over = trio.Event()

    async def read(self) -> None:
        """Ask, and read until the answer is complete, has failed, or nobody listens. Raises nothing of its own."""
        try:
            with self._scope:
                await self._read()
        except RuntimeFailure as error:
            self._failure = error
        finally:
            if self._failure is None and not self._reader.finished:
                self._failure = RuntimeFailure("stopped", "the app is stopping")
            self._over.set()
            self._news.set()

    async def _read(self) -> None:
        started = trio.current_time()
        with trio.CancelScope(deadline=started + FIRST_S) as limit:

            def take(data: bytes) -> bool:
                if self._add(self._reader.feed(data)):
                    limit.deadline = min(trio.current_time() + IDLE_S, started + TOTAL_S)
                return self._reader.finished

            await self._http.stream(self._path, self._body, take)
            if not self._reader.finished:
                self._add(self._reader.close())
        if limit.cancelled_caught and not self._reader.finished:
            raise _too_slow(trio.current_time() - started)

    def _add(self, pieces: list[Piece]) -> bool:
        """Keep them for the listener, however slow it is: so the server is free again as soon as it can be."""
        if not pieces:
            return False
        self._chars += size(pieces)
        if self._chars > ANSWER_MAX_CHARS:
            raise RuntimeFailure("garbage", f"the model server's answer is longer than {ANSWER_MAX_CHARS} characters")
        last = self._waiting[-1:]
        self._waiting[-1:] = merged([*last, *pieces])
        self._news.set()
        return True

    def __aiter__(self) -> Answer:
        return self

    async def __anext__(self) -> list[Piece]:
        """What is there of the answer, joined; the last piece is `Finished`.

        Raises RuntimeFailure where the answer stops before its end.
        """
        while not self._waiting and not self._over.is_set() and not self._told_end:
            self._news = trio.Event()
            await self._news.wait()
        if self._told_end or not self._waiting:
            await trio.lowlevel.checkpoint()
            if self._failure is not None and not self._told_end:
                raise self._failure
            raise StopAsyncIteration
        batch, self._waiting = self._waiting, []
        self._told_end = isinstance(batch[-1], Finished)
        return batch

    def stop(self, reason: str) -> None:
        """End it from here: the listener is told why."""
        if self._failure is None and not self._reader.finished:
            self._failure = RuntimeFailure("stopped", reason)
        self._scope.cancel()

    async def leave(self) -> None:
        """Nobody listens any more: the request is closed when this returns."""
        self._scope.cancel()
        with trio.move_on_after(CLOSE_S, shield=True):
            await self._over.wait()


def _too_slow(seconds: float) -> RuntimeFailure:
    if seconds >= TOTAL_S:
        return RuntimeFailure("timeout", f"the model server was not finished within {TOTAL_S / 60:g} minutes")
    return RuntimeFailure("timeout", "the model server has gone silent; it was given up")
