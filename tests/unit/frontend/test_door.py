"""The door of a running app: what is asked there, what strangers get, and what hostile programs cost."""

from __future__ import annotations

import contextlib
import json
import stat
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
import trio.testing

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm import app
from myownllm.door import client, server
from myownllm.door.server import CONNECTIONS, REQUEST_MAX_BYTES, UNFINISHED_MAX_BYTES, Door
from myownllm.errors import AppError, DoorError
from myownllm.home import AppHome

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

ENDED: list[str] = []


async def _echo(members: dict[str, Any]) -> Any:
    await trio.lowlevel.checkpoint()
    return members


async def _fail(members: dict[str, Any]) -> Any:
    await trio.lowlevel.checkpoint()
    if members.get("how") == "control":
        raise ControlError(ErrorKind.TIMEOUT, "too late")
    raise AppError("no such file")


async def _count(members: dict[str, Any]) -> AsyncGenerator[Any, None]:
    try:
        for n in range(members["to"]):
            yield {"n": n}
        if members.get("then") == "fail":
            raise AppError("counted out")
        if members.get("then") == "wait":
            await trio.sleep_forever()
    finally:
        ENDED.append("count")


async def _wait(_: dict[str, Any]) -> None:
    try:
        await trio.sleep_forever()
    finally:
        ENDED.append("wait")


@asynccontextmanager
async def kept() -> AsyncIterator[Path]:
    ENDED.clear()
    with tempfile.TemporaryDirectory(prefix="fe-") as folder:
        path = Path(folder) / "app.sock"
        door = Door()
        for name, handler in (("echo", _echo), ("fail", _fail), ("count", _count), ("wait", _wait)):
            door.operation(name, handler)  # type: ignore[arg-type]  # all that a handler is
        with pytest.raises(ValueError, match="echo"):
            door.operation("echo", _echo)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(door.keep, path)
            await trio.testing.wait_all_tasks_blocked()
            yield path
            nursery.cancel_scope.cancel()
        assert not path.exists()


async def knock(path: Path, request: bytes) -> list[Any]:
    """Everything that is answered to raw bytes."""
    async with await trio.open_unix_socket(str(path)) as stream:
        answer = b""
        with contextlib.suppress(trio.BrokenResourceError):  # it answers before it has heard everything
            await stream.send_all(request)
        with contextlib.suppress(trio.BrokenResourceError):
            async for data in stream:
                answer += data
    return [json.loads(line) for line in answer.splitlines()]


async def in_thread(work: Any) -> Any:
    with trio.fail_after(10):
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True)


async def test_an_operation_is_answered_and_only_this_login_may_ask() -> None:
    async with kept() as path:
        assert await in_thread(lambda: client.ask(path, "echo", a=[1, "ü"])) == {"a": [1, "ü"]}
        assert stat.S_IMODE((await trio.Path(path).stat()).st_mode) == 0o600


async def test_refusals_have_a_kind_and_a_sentence() -> None:
    async with kept() as path:
        for operation, members, kind, text in (
            ("fail", {}, "error", "no such file"),
            ("fail", {"how": "control"}, "timeout", "too late"),
            ("fly", {}, "unknown_operation", "unknown operation `fly`"),
        ):
            with pytest.raises(DoorError, match=text) as raised:
                await in_thread(lambda o=operation, m=members: client.ask(path, o, **m))
            assert raised.value.kind == kind


async def test_items_come_one_by_one_and_then_the_end_or_the_failure() -> None:
    async with kept() as path:

        def read(**members: Any) -> list[Any]:
            items: list[Any] = []
            with client.asking(path, "count", **members) as answer:
                try:
                    items.extend(answer)
                except DoorError as error:
                    items.append(str(error))
            return items

        assert await in_thread(lambda: read(to=2)) == [{"n": 0}, {"n": 1}]
        assert await in_thread(lambda: read(to=1, then="fail")) == [{"n": 0}, "counted out"]
        assert ENDED == ["count", "count"]


@pytest.mark.parametrize(("operation", "members"), [("count", {"to": 1, "then": "wait"}), ("wait", {})])
async def test_who_leaves_ends_what_is_done_for_it(operation: str, members: dict[str, Any]) -> None:
    async with kept() as path:
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(json.dumps({"op": operation, **members}).encode() + b"\n")
            if operation == "count":
                await stream.receive_some()
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert ENDED == []
        with trio.fail_after(5):
            while not ENDED:
                await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "protocol"), (b"[]\n", "protocol"), (b'{"op":\xff}\n', "protocol"),
        (b"[" * 100_000 + b"\n", "protocol"), (b"x" * (REQUEST_MAX_BYTES + 70_000), "too_large"),
        (b'{"op":["echo"]}\n', "unknown_operation"), (b'{"op":"\\ud800"}\n', "unknown_operation"),
    ],
)  # fmt: skip
async def test_what_is_no_request_is_refused(request_: bytes, kind: str) -> None:
    async with kept() as path:
        [answer] = await knock(path, request_)
        assert answer["error"]["kind"] == kind
        assert await in_thread(lambda: client.ask(path, "echo")) == {}


async def test_a_question_of_four_megabytes_is_taken_and_a_larger_one_refused_in_words() -> None:
    async with kept() as path:
        asked = await in_thread(lambda: client.ask(path, "echo", text="ü" * 2**21))
        assert len(asked["text"]) == 2**21
        with pytest.raises(DoorError, match=f"a request of more than {REQUEST_MAX_BYTES} bytes") as raised:
            await in_thread(lambda: client.ask(path, "echo", text="x" * (REQUEST_MAX_BYTES + 2**21)))
        assert raised.value.kind == "too_large"


async def test_large_requests_that_never_end_are_bounded_together(autojump_clock: Any) -> None:
    async with kept() as path:
        many = [await trio.open_unix_socket(str(path)) for _ in range(8)]
        for stream in many:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(b"x" * (REQUEST_MAX_BYTES - 1))
        refused = 0
        for stream in many:
            with contextlib.suppress(trio.BrokenResourceError):
                refused += b'"busy"' in await stream.receive_some()
            await stream.aclose()
        assert refused == 8 - UNFINISHED_MAX_BYTES // REQUEST_MAX_BYTES
        assert await knock(path, b'{"op":"echo","n":1}\n') == [{"ok": True, "data": {"n": 1}}]


async def test_a_request_without_end_and_a_flood_of_connections_keep_nobody_out(autojump_clock: Any) -> None:
    async with kept() as path, trio.open_nursery() as nursery:
        idle = [await trio.open_unix_socket(str(path)) for _ in range(CONNECTIONS + 10)]
        await idle[-1].send_all(b'{"op":"ec')
        assert await knock(path, b'{"op":"echo","n":1}\n') == [{"ok": True, "data": {"n": 1}}]
        assert await idle[0].receive_some() == b"", "the oldest has made room"
        assert await idle[-1].receive_some() == b"", "who says nothing for ten seconds leaves"
        for stream in idle:
            await stream.aclose()
        nursery.cancel_scope.cancel()


async def test_too_many_that_all_wait_are_told_so(autojump_clock: Any) -> None:
    async with kept() as path:
        waiting = [await trio.open_unix_socket(str(path)) for _ in range(CONNECTIONS)]
        for stream in waiting:
            await stream.send_all(b'{"op":"wait"}\n')
        await trio.testing.wait_all_tasks_blocked(0.01)
        [answer] = await knock(path, b'{"op":"echo"}\n')
        assert answer["error"]["kind"] == "busy"
        await waiting.pop().aclose()
        await trio.sleep(0.1)
        assert await knock(path, b'{"op":"echo"}\n') == [{"ok": True, "data": {}}]
        for stream in waiting:
            await stream.aclose()


async def test_a_reader_that_takes_nothing_is_given_up(autojump_clock: Any) -> None:
    async with kept() as path:
        stream = await trio.open_unix_socket(str(path))
        await stream.send_all(b'{"op":"count","to":1000000}\n')
        await trio.sleep(61)
        assert ENDED == ["count"]
        await stream.aclose()


async def test_without_an_app_it_says_what_starts_one(tmp_path: Path) -> None:
    with pytest.raises(DoorError, match="start it with `myownllm up`") as raised:
        client.ask(tmp_path / "app.sock", "echo")
    assert raised.value.kind == client.NOT_RUNNING


async def test_a_door_that_somebody_removes_is_made_anew_and_visitors_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LOOK_S", 0.05)
    async with kept() as path:
        stream = await trio.open_unix_socket(str(path))
        await stream.send_all(b'{"op": "wait"}\n')
        path.unlink()
        with trio.fail_after(10):
            while not path.exists():
                await trio.sleep(0.05)
        assert await in_thread(lambda: client.ask(path, "echo", a=1)) == {"a": 1}
        assert ENDED == [], "who was inside before is served on"
        await stream.aclose()


async def test_a_door_that_cannot_be_opened_is_said_once_and_tried_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with tempfile.TemporaryDirectory(prefix="fe-") as folder:
        home = AppHome(Path(folder), Path(folder) / "shared", Path(folder) / "own")
        home.app_socket.mkdir()
        told: list[str] = []
        notes = SimpleNamespace(note=lambda level, text: told.append(f"{level} {text}"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(app.keep_door, home, Door(), cast("Any", notes))
            await trio.sleep(60.0)
            assert len(told) == 1
            assert "commands cannot reach this app" in told[0]
            home.app_socket.rmdir()
            with trio.fail_after(10):
                while not home.app_socket.is_socket():
                    await trio.sleep(0.1)
            nursery.cancel_scope.cancel()


async def test_what_another_app_left_there_is_replaced_but_no_other_file() -> None:
    with tempfile.TemporaryDirectory(prefix="fe-") as folder:
        path = Path(folder) / "app.sock"
        path.write_text("mine")
        with pytest.raises(OSError, match="in use"):
            await Door().keep(path)
        assert path.read_text() == "mine"
