"""What goes on between the two devices while faults happen: calls, questions to a model, files. None may be wrong."""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from e2e.devices import ask
from mesh_common.client.errors import ControlError
from myownllm.door import client as door
from myownllm.errors import AppError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from e2e.devices import Pair

MODEL = "gemma4:e2b"
WORDS = 30
ANSWER = "".join(f"word{n} " for n in range(WORDS))
FILE_BYTES = 8 * 2**20
PAUSE_S = 0.1
PATIENCE_S = 20.0
"""Without a word; then it is given up, as by a person."""
GIVEN_UP_EVERY = 4
"""One file of so many is given up on its way: one that was offered, the next in the middle."""


class Load:
    """Anna asks Boris's echo, his model, and sends him files, again and again; each may fail, none may be wrong."""

    def __init__(self, pair: Pair) -> None:
        self.done = {"calls": 0, "questions": 0, "files": 0}
        self.wrong: list[str] = []
        self._pair = pair
        self._number = self._files = 0
        self._over, self._rest = threading.Event(), threading.Event()
        self._idle = {name: threading.Event() for name in self.done}
        self._under_way = {"questions": threading.Event(), "files": threading.Event()}
        works: dict[str, Callable[[], bool]] = {"calls": self._call, "questions": self._question, "files": self._file}
        self._threads = [threading.Thread(target=self._run, args=item) for item in works.items()]
        for thread in self._threads:
            thread.start()

    def rest(self) -> None:
        """Begin nothing more; returns when nothing is under way here."""
        self._rest.set()
        for name, idle in self._idle.items():
            assert idle.wait(2 * PATIENCE_S), f"{name} never end"

    def go_on(self) -> None:
        for idle in self._idle.values():
            idle.clear()
        self._rest.clear()

    def is_under_way(self) -> bool:
        """A file is on its way, and an answer has begun and goes on."""
        return all(event.is_set() for event in self._under_way.values())

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, name: str, work: Callable[[], bool]) -> None:
        while not self._over.wait(PAUSE_S):
            if self._rest.is_set():
                self._idle[name].set()
                continue
            try:
                self.done[name] += work()
            except (ControlError, AppError, OSError):
                continue  # a failure with its reason is what a fault may cause
            except Exception as error:
                self.wrong.append(f"{name}: {error!r}")
                raise

    def _call(self) -> bool:
        self._number += 1
        told = ask(
            self._pair.anna, "rpc_call", network="home", peer=self._pair.boris.id, method="echo",
            payload={"n": self._number}, timeout_ms=2000,
        )  # fmt: skip
        if told["response"] != {"n": self._number}:
            self.wrong.append(f"the echo of {self._number} is {told}")
        return True

    def _question(self) -> bool:
        asked = {"messages": [{"role": "user", "content": "go on"}], "model": f"{MODEL}@Boris"}
        said = ""
        for item in self._followed("questions", _items(self._pair.anna.home, "infer", **asked)):
            said += str(item.get("delta", ""))
        if said != ANSWER:
            self.wrong.append(f"an answer that ended well is {said!r}")
        return True

    def _file(self) -> bool:
        anna, boris = self._pair.both
        path = anna.home / f"file-{time.monotonic_ns()}"
        path.write_bytes(data := os.urandom(FILE_BYTES))
        sending = _items(anna.home, "files_send", paths=[str(path)], peer="Boris")
        moment = self._moment_to_give_up()
        told: dict[str, Any] = {}
        with closing(sending):
            for told in self._followed("files", sending):
                if told["status"] == moment:
                    return True
        if told["status"] != "sent":
            return False
        if (boris.home / "Downloads" / path.name).read_bytes() != data:
            self.wrong.append(f"{path.name} came as something else")
        return True

    def _moment_to_give_up(self) -> str:
        """At which status the next file is given up; empty for one that is sent whole."""
        self._files += 1
        if self._files % GIVEN_UP_EVERY:
            return ""
        return "offered" if self._files // GIVEN_UP_EVERY % 2 else "sending"

    def _followed(self, name: str, items: Iterator[Any]) -> Iterator[Any]:
        """The same items; under way from the first word of an answer, or the accepted offer, to the end."""
        under_way = self._under_way[name]
        try:
            for item in items:
                if item.get("delta") or item.get("status") == "sending":
                    under_way.set()
                yield item
        finally:
            under_way.clear()

    def check_files(self) -> None:
        """What has arrived, also behind the back of whoever sent it, is whole; then both forget it."""
        anna, boris = self._pair.both
        for path in (boris.home / "Downloads").iterdir() if (boris.home / "Downloads").exists() else ():
            assert path.read_bytes() == (anna.home / path.name).read_bytes(), f"{path.name} is intact"
            path.unlink()
        for path in anna.home.glob("file-*"):
            path.unlink()


def _items(home: Path, operation: str, **members: Any) -> Generator[Any]:
    with door.asking(home / ".myownllm" / "app.sock", operation, timeout_s=PATIENCE_S, **members) as answer:
        yield from answer
