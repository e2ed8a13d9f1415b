"""Model servers as processes: one that a test scripts (`ollama_server`), and llama.cpp's own with a tiny model."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define

from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parents[1]
PATIENCE_S = 30.0


@define
class ModelServer:
    """A running one."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, body: object = None, *, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def behave(self, **members: object) -> None:
        """Change what the scripted server does from now on."""
        self.ask("/test", members)

    def chats(self) -> list[dict[str, Any]]:
        """Every chat so far: when it was opened, when the caller closed it, and its request."""
        return list(self.ask("/test")["chats"])

    def closed_chat(self, index: int = -1) -> dict[str, Any]:
        """A chat, once its caller has closed it."""
        deadline = time.monotonic() + PATIENCE_S
        while (chat := self.chats()[index])["closed"] is None:
            assert time.monotonic() < deadline, chat
            time.sleep(0.02)
        return chat

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def scripted(port: int = 0, **behaviour: object) -> Iterator[ModelServer]:
    """The server whose models and misbehaviour the test chooses; `behaviour` holds from its first answer."""
    with _process("support.ollama_server", str(port), json.dumps(behaviour)) as process:
        assert process.stdout is not None
        yield ModelServer(process, int(process.stdout.readline()))


@contextlib.contextmanager
def llama(folder: Path) -> Iterator[ModelServer]:
    """llama.cpp's HTTP server with random weights."""
    from support.tiny_model import write_model

    path, port = folder / "tiny.gguf", free_port()
    write_model(path)
    with _process("support.tiny_model", str(port), str(path)) as process:
        server = ModelServer(process, port)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                assert server.ask("/health")["status"] == "ok"
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                break
        yield server


@contextlib.contextmanager
def _process(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()
