"""A daemon that answers from a script and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class FakeDaemon:
    """Listens on one socket; `answer` gives the reply to a request, or raw lines to write before closing."""

    def __init__(self, path: Path) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], dict[str, Any] | list[bytes]] = lambda request: {"ok": True, "data": {}}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line)
                self.requests.append(request)
                answer = self.answer(request)
                try:
                    if isinstance(answer, dict):
                        connection.sendall(json.dumps(answer).encode() + b"\n")
                        continue
                    for raw in answer:
                        connection.sendall(raw)
                except BrokenPipeError:
                    pass
                return


@contextmanager
def fake_daemon(path: Path) -> Iterator[FakeDaemon]:
    """A fake daemon on `path` for the duration of a test."""
    daemon = FakeDaemon(path)
    try:
        yield daemon
    finally:
        daemon.close()
