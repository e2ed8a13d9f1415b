"""Very many messages on a channel: read by a thread, through a connection of their own (spec 08 §9.5)."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, cast

import attrs
import pytest
import trio
import trio.testing

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm.client.bulk import Inflow
from myownllm.errors import AppError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PEER = "p" * 52


@attrs.define
class Daemon:
    """The other end of one event connection; it stands in for the life's session and its bridge, too."""

    address: Path
    wire_id = "home"
    asked: dict[str, Any] = attrs.field(factory=dict)
    failure: ControlError | None = None
    connection: socket.socket | None = None

    @property
    def bridge(self) -> Daemon:
        return self

    async def command(self, operation: str, **members: Any) -> object:
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        self.asked = {"op": operation, **members}
        return {}

    def accept(self, listener: socket.socket) -> None:
        self.connection, _ = listener.accept()
        assert json.loads(self.connection.recv(4096)) == {"op": "events_subscribe"}
        self.connection.sendall(b'{"ok":true,"data":{"subscribed":true,"client_id":"c7"}}\n')

    def push(self, payload: Any, **members: Any) -> None:
        assert self.connection is not None
        frame = {"kind": "channel_inbound", "network": "home", "from": PEER, "channel": "ch", "payload": payload}
        self.connection.sendall(json.dumps({**frame, **members}).encode() + b"\n")


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    made = Daemon(tmp_path / "d.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(made.address))
        listener.listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, made.accept, listener)
            yield made
    if made.connection is not None:
        made.connection.close()


async def opened(daemon: Daemon) -> Inflow:
    return await Inflow.open(cast("Any", daemon), PEER, "ch")


async def test_messages_come_in_order_and_only_those_that_are_meant(daemon: Daemon) -> None:
    inflow = await opened(daemon)
    assert daemon.asked == {"op": "channel_subscribe", "client_id": "c7", "network": "home", "channel": "ch"}
    daemon.push("of another device", **{"from": "q" * 52})
    daemon.push("of another network", network="work")
    daemon.push("of another channel", channel="news")
    daemon.push(None, kind="event", event={})
    for number in range(5):
        daemon.push(number)
    taken: list[Any] = []
    assert await inflow.take(taken.append, 3, 60) == 3
    assert await inflow.take(taken.append, 3, 60) == 2, "what is there is handed over although there is room"
    assert taken == [0, 1, 2, 3, 4]
    assert await inflow.take(taken.append, 3, 0.01) == 0
    inflow.close()


async def test_what_the_taker_raises_comes_out_and_nothing_is_skipped(daemon: Daemon) -> None:
    inflow = await opened(daemon)
    daemon.push("bad")
    daemon.push("good")
    taken: list[Any] = []

    def refuse(_: Any) -> None:
        raise AppError("no")

    with pytest.raises(AppError, match="no"):
        await inflow.take(refuse, 9, 60)
    assert await inflow.take(taken.append, 1, 60) == 1
    assert taken == ["good"]
    inflow.close()


async def test_a_reader_that_is_cancelled_leaves_the_connection(daemon: Daemon) -> None:
    inflow = await opened(daemon)
    with trio.move_on_after(0.01) as wait:
        await inflow.take(lambda _: None, 1, 60)
    assert wait.cancelled_caught
    inflow.close()


async def test_who_waits_for_messages_takes_no_thread_from_others(daemon: Daemon) -> None:
    """Devices that offer many files and send none of them would stop all else that needs a thread."""
    inflow = await opened(daemon)
    threads = trio.to_thread.current_default_thread_limiter()
    before, threads.total_tokens = threads.total_tokens, 1
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inflow.take, lambda _: None, 1, 60)
            await trio.testing.wait_all_tasks_blocked()
            with trio.fail_after(10):
                await trio.to_thread.run_sync(lambda: None)
            nursery.cancel_scope.cancel()
    finally:
        threads.total_tokens = before
    inflow.close()


async def test_a_daemon_that_goes_is_told(daemon: Daemon) -> None:
    inflow = await opened(daemon)
    assert daemon.connection is not None
    daemon.connection.close()
    with pytest.raises(ControlError) as caught:
        await inflow.take(lambda _: None, 1, 60)
    assert caught.value.kind is ErrorKind.CLOSED
    inflow.close()


async def test_a_daemon_that_refuses_the_channel_is_left(daemon: Daemon) -> None:
    daemon.failure = ControlError(ErrorKind.UNKNOWN_NETWORK, "unknown network")
    with pytest.raises(ControlError, match="unknown network"):
        await opened(daemon)
    assert daemon.connection is not None
    assert daemon.connection.recv(1) == b"", "the connection is closed"
