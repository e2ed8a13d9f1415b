"""A session: commands, the event connection, and what the end of the latter does to the former."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.frames import ChannelInbound, Lagged, StreamEnd
from mesh_common.client.session import EARLY_FRAMES, MAX_COMMANDS, command, open_session, probe
from support.backends import under_both
from unit.client.fake_daemon import FakeDaemon, HangUp, Silence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

MESSAGE = {"kind": "channel_inbound", "network": "home", "from": "peer", "channel": "c"}


@asynccontextmanager
async def fake_daemon(**answers: Any) -> AsyncIterator[FakeDaemon]:
    async with anyio.create_task_group() as tasks:
        yield FakeDaemon(tasks, answers)
        tasks.cancel_scope.cancel()


async def kind_of(awaitable: Awaitable[object]) -> ErrorKind:
    with pytest.raises(ControlError) as caught:
        await awaitable
    return caught.value.kind


@under_both
async def test_a_command_has_a_connection_of_its_own() -> None:
    async with fake_daemon(status={"version": "1"}) as daemon:
        assert await command("socket", "status", connect=daemon.connect, extra=1) == {"version": "1"}
        assert daemon.asked == [{"op": "status", "extra": 1}]
        await anyio.wait_all_tasks_blocked()
        assert daemon.connections == 0


@under_both
async def test_a_daemon_whose_socket_file_is_gone_is_asked_when_it_is_there_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mesh_common.client.session.RENEWAL_POLL_S", 0.01)
    monkeypatch.setattr("mesh_common.client.session.RENEWAL_S", 0.1)
    async with (
        fake_daemon(status={"version": "1"}) as daemon,
        open_session("socket", connect=daemon.connect) as session,
    ):
        daemon.listening = False
        assert await kind_of(session.command("status")) is ErrorKind.CONNECT_FAILED, "not for ever"

        async def renew() -> None:
            await anyio.sleep(0.03)
            daemon.listening = True

        daemon.tasks.start_soon(renew)
        assert await session.command("status") == {"version": "1"}
        assert len(daemon.requests("status")) == 1


@under_both
async def test_what_can_become_of_a_command() -> None:
    refused = {"error": "unknown network: home"}
    async with fake_daemon(silent=Silence, gone=HangUp, refused=refused) as daemon:

        def ask(operation: str, *, timeout: float = 60.0, **members: Any) -> Awaitable[object]:
            return command("socket", operation, timeout=timeout, connect=daemon.connect, **members)

        assert await kind_of(ask("silent", timeout=0.01)) is ErrorKind.TIMEOUT
        assert await kind_of(ask("gone")) is ErrorKind.CLOSED
        assert await kind_of(ask("refused")) is ErrorKind.UNKNOWN_NETWORK
        assert await kind_of(ask("x", payload="x" * 70_000)) is ErrorKind.TOO_LARGE
        assert await kind_of(ask("x", value=object())) is ErrorKind.INVALID
        assert not daemon.requests("x"), "nothing is sent of what cannot be sent whole"
        daemon.listening = False
        assert await kind_of(ask("status")) is ErrorKind.CONNECT_FAILED
        assert await probe("socket", connect=daemon.connect) is None
        daemon.listening = True
        assert await probe("socket", connect=daemon.connect) == {}


@under_both
async def test_frames_wait_for_whoever_attaches() -> None:
    async with fake_daemon() as daemon, open_session("socket", 7, connect=daemon.connect) as session:
        assert (session.client_id, session.generation) == ("c0", 7)
        for number in range(EARLY_FRAMES + 3):
            await daemon.push(**MESSAGE, payload=number)
            await checkpoint()
        await daemon.push_bytes(b'not json\n{"kind":"of tomorrow"}\n[]\n')
        await daemon.push(kind="rpc_call_stream_end", request_id="r", error=None)
        await anyio.wait_all_tasks_blocked()
        frames: list[object] = []
        session.attach(frames.append)
        assert frames[0] == Lagged(4)
        assert frames[1] == ChannelInbound("home", "peer", "c", 4)
        assert frames[-1] == StreamEnd("r", None)
        assert len(frames) == EARLY_FRAMES + 1
        await daemon.push(**MESSAGE, payload="now")
        await anyio.wait_all_tasks_blocked()
        assert frames[-1] == ChannelInbound("home", "peer", "c", "now")


@pytest.mark.heavy
@under_both
async def test_the_end_of_the_event_connection_ends_every_command() -> None:
    async with fake_daemon(slow=Silence) as daemon, open_session("socket", connect=daemon.connect) as session:
        ended: list[ErrorKind] = []

        async def ask() -> None:
            ended.append(await kind_of(session.command("slow")))

        async with anyio.create_task_group() as tasks:
            for _ in range(MAX_COMMANDS + 8):
                tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert len(daemon.requests("slow")) == MAX_COMMANDS, "the others wait for their turn"
            assert session.waits_for == "slow"
            await daemon.die()
        assert ended == [ErrorKind.CONNECTION_LOST] * (MAX_COMMANDS + 8)
        assert session.lost.is_set()
        assert session.waits_for is None
        assert await kind_of(session.command("status")) is ErrorKind.CONNECTION_LOST


@under_both
async def test_a_daemon_that_dies_may_close_the_command_first() -> None:
    asked = anyio.Event()

    def hang_up(_request: dict[str, Any]) -> object:
        asked.set()
        return HangUp

    async with fake_daemon(last=hang_up) as daemon, open_session("socket", connect=daemon.connect) as session:
        ended: list[ErrorKind] = []

        async def ask() -> None:
            ended.append(await kind_of(session.command("last")))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await asked.wait()
            await daemon.die()
        assert ended == [ErrorKind.CONNECTION_LOST]


@under_both
async def test_only_a_daemon_can_be_subscribed_to() -> None:
    for answer, kind in (
        ({"error": "parse: unknown variant"}, ErrorKind.UNSUPPORTED),
        ({"subscribed": True}, ErrorKind.PROTOCOL),
        (HangUp, ErrorKind.CLOSED),
    ):
        async with fake_daemon(events_subscribe=answer) as daemon:
            with pytest.raises(ControlError) as caught:
                async with open_session("socket", connect=daemon.connect):
                    pass
            assert caught.value.kind is kind


@under_both
async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    async with fake_daemon() as daemon:
        with pytest.raises(KeyError):
            async with open_session("socket", connect=daemon.connect):
                raise KeyError("mine")


@under_both
async def test_a_line_without_end_ends_the_session() -> None:
    async with fake_daemon() as daemon, open_session("socket", connect=daemon.connect) as session:
        for _ in range(33):
            await daemon.push_bytes(b"x" * 2**20)
        with anyio.fail_after(10):
            await session.lost.wait()
