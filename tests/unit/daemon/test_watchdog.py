"""The watchdog is fed while the control socket answers, and only then (spec 07 §10.4)."""

from __future__ import annotations

import contextlib
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from myownmesh.daemon.watchdog import feed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

LIMIT_S = 0.03
"""Short enough for a test; nothing here measures it."""


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mesh") as folder:
        yield Path(folder) / "daemon.sock"


@contextlib.asynccontextmanager
async def door(path: Path, answer: bytes | None) -> AsyncIterator[list[bytes]]:
    """A control socket that answers with this, or listens and says nothing; what it was asked."""
    asked: list[bytes] = []

    async def serve(client: trio.SocketStream) -> None:
        async with client:
            asked.append(await client.receive_some(4096))
            if answer is None:
                await trio.sleep_forever()
            with contextlib.suppress(trio.BrokenResourceError):  # on a busy machine it may have given up by now
                await client.send_all(answer)

    with trio.socket.socket(trio.socket.AF_UNIX) as listening:
        await listening.bind(str(path))
        listening.listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.serve_listeners, serve, [trio.SocketListener(listening)]))
            yield asked
            nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def fed(path: Path) -> AsyncIterator[trio.MemoryReceiveChannel[str]]:
    """What systemd hears."""
    send, receive = trio.open_memory_channel[str](100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed, LIMIT_S, path, send.send_nowait, lambda: "in 2 networks")
        yield receive
        nursery.cancel_scope.cancel()


async def test_each_answer_is_a_sign_of_life_with_a_line_for_people(path: Path) -> None:
    async with door(path, b'{"ok":true}\n') as asked, fed(path) as heard:
        for _ in range(3):
            assert await heard.receive() == "WATCHDOG=1\nSTATUS=in 2 networks"
    assert asked[0] == b'{"op":"status"}\n'


async def test_a_refusal_is_a_sign_of_life_too(path: Path) -> None:
    async with door(path, b'{"ok":false,"error":"too many connections"}\n'), fed(path) as heard:
        await heard.receive()


@pytest.mark.parametrize("answer", [None, b""], ids=["silent", "hangs up"])
async def test_a_socket_that_does_not_answer_feeds_nobody(
    path: Path, answer: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with door(path, answer) as asked, fed(path) as heard:
        while len(asked) < 3:
            await trio.sleep(LIMIT_S)
        with pytest.raises(trio.WouldBlock):
            heard.receive_nowait()
    assert "does not answer" in caplog.text


async def test_feeding_goes_on_once_there_is_a_socket_again(path: Path) -> None:
    async with fed(path) as heard:
        await trio.sleep(2 * LIMIT_S)
        with pytest.raises(trio.WouldBlock):
            heard.receive_nowait()
        async with door(path, b"{}\n"):
            await heard.receive()
