"""`connect` against a daemon in memory: what is registered anew, what is bounded, who is told what."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from mesh_common.client import Connected, ControlError, Disconnected, ErrorKind, HandlerDisplaced, Lagged, connect
from mesh_common.client.mesh import EVENTS_KEPT, MESSAGES_KEPT
from mesh_common.client.serving import MAX_INBOUND
from mesh_common.client.streams import STREAM_FRAMES
from mesh_common.events import PhaseChanged
from support.backends import under_both
from unit.client.fake_daemon import FakeDaemon

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from mesh_common.client import Mesh

PHASE = {"event_kind": "phase", "kind": "changed", "network_id": "home", "prev": "alone", "next": "active"}


@asynccontextmanager
async def connected(**answers: Any) -> AsyncIterator[tuple[FakeDaemon, Mesh]]:
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            daemon = FakeDaemon(tasks, answers)
            async with connect("socket", opener=daemon.connect) as mesh:
                yield daemon, mesh
            tasks.cancel_scope.cancel()


async def calls(daemon: FakeDaemon, method: str, *, request_id: str = "r", streaming: bool = False) -> None:
    await daemon.push(
        kind="rpc_inbound", network="home", **{"from": "peer"}, request_id=request_id, method=method, payload=1,
        streaming=streaming,
    )  # fmt: skip


async def doubled(_peer: str, payload: int) -> int:
    return payload * 2


@under_both
async def test_a_call_is_answered_by_the_handler_of_its_method() -> None:
    async with connected() as (daemon, mesh):
        await mesh.serve("double", doubled, network="home")
        (claim,) = daemon.requests("rpc_register")
        assert claim == {
            "op": "rpc_register", "client_id": "c0", "network": "home", "method": "double", "streaming": False,
        }  # fmt: skip
        await calls(daemon, "double")
        await calls(daemon, "unknown", request_id="u")
        await anyio.wait_all_tasks_blocked()
        assert daemon.requests("rpc_respond") == [
            {"op": "rpc_respond", "request_id": "r", "ok": 2},
            {"op": "rpc_respond", "request_id": "u", "error": "no handler for 'unknown'"},
        ]
        await mesh.unserve("double", network="home")
        assert daemon.requests("rpc_unregister")[0]["method"] == "double"


@under_both
async def test_a_claim_that_is_refused_leaves_the_old_one() -> None:
    async def never(_peer: str, _payload: Any) -> None:
        raise AssertionError

    async with connected() as (daemon, mesh):
        await mesh.serve("double", doubled, network="home")
        daemon.answers["rpc_register"] = {"error": "unknown network: home"}
        for method in ("double", "other"):
            with pytest.raises(ControlError, match="unknown network"):
                await mesh.serve(method, never, network="home")
        await calls(daemon, "double")
        await calls(daemon, "other", request_id="o", streaming=True)
        await anyio.wait_all_tasks_blocked()
        assert daemon.requests("rpc_respond") == [{"op": "rpc_respond", "request_id": "r", "ok": 2}]
        assert daemon.requests("rpc_stream_end")[0]["error"] == "no handler for 'other'"


@under_both
async def test_a_stream_ends_with_the_words_of_its_handler_or_with_its_caller() -> None:
    closed: list[str] = []

    async def chunks(_peer: str, _payload: Any) -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
            raise ValueError("no more")
        finally:
            closed.append("closed")

    async with connected() as (daemon, mesh):
        await mesh.serve_stream("chunks", chunks, network="home")
        await calls(daemon, "chunks", streaming=True)
        await anyio.wait_all_tasks_blocked()
        assert [request["payload"] for request in daemon.requests("rpc_stream_chunk")] == [1, 2]
        assert daemon.requests("rpc_stream_end") == [{"op": "rpc_stream_end", "request_id": "r", "error": "no more"}]
        daemon.answers["rpc_stream_chunk"] = {"error": "no in-flight inbound stream for 's'"}
        await calls(daemon, "chunks", request_id="s", streaming=True)
        await anyio.wait_all_tasks_blocked()
        assert len(daemon.requests("rpc_stream_chunk")) == 3
        assert len(daemon.requests("rpc_stream_end")) == 1, "the caller is gone; there is nothing to end"
        assert closed == ["closed", "closed"]


@under_both
async def test_more_calls_than_can_run_are_refused() -> None:
    running = []

    async def endless(_peer: str, payload: Any) -> None:
        running.append(payload)
        await anyio.sleep_forever()

    async with connected() as (daemon, mesh):
        await mesh.serve("endless", endless, network="home")
        for number in range(MAX_INBOUND + 2):
            await calls(daemon, "endless", request_id=f"r{number}")
        await anyio.wait_all_tasks_blocked()
        assert len(running) == MAX_INBOUND
        assert [request["request_id"] for request in daemon.requests("rpc_respond")] == ["r256", "r257"]
        assert daemon.requests("rpc_respond")[0]["error"].startswith("busy")


@under_both
async def test_everything_is_registered_anew_after_a_loss() -> None:
    cancelled = anyio.Event()

    async def endless(_peer: str, _payload: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    def refuse_gone(request: dict[str, Any]) -> object:
        return {"error": "unknown network: gone"} if request["network"] == "gone" else {"registered": True}

    async with (
        connected() as (daemon, mesh),
        mesh.events() as events,
        mesh.messages("news", network="home") as messages,
    ):
        await mesh.serve("double", doubled, network="home")
        await mesh.serve("double", doubled, network="gone")
        await mesh.serve("lost", doubled, network="home")
        await mesh.serve("endless", endless, network="home")
        await daemon.push(kind="handler_displaced", network="home", method="lost", by="c9")
        await calls(daemon, "endless")
        daemon.answers["rpc_call_stream"] = {"request_id": "ipc-stream-0"}
        async with mesh.stream("peer", "m", network="home") as chunks:
            await anyio.wait_all_tasks_blocked()
            daemon.answers["rpc_register"] = refuse_gone
            daemon.asked.clear()
            await daemon.die()
            with pytest.raises(ControlError) as ended:
                await anext(chunks)
            assert ended.value.kind is ErrorKind.CONNECTION_LOST
        await cancelled.wait()
        assert await anext(events) == HandlerDisplaced("home", "lost", "c9")
        assert await anext(events) == Disconnected(1)
        assert not mesh.connected
        with pytest.raises(ControlError) as refused:
            await mesh.status()
        assert refused.value.kind is ErrorKind.NOT_CONNECTED
        back = await anext(events)
        assert isinstance(back, Connected)
        assert back.generation == 2
        assert [(each.network, each.name, each.error.kind) for each in back.refused] == [
            ("gone", "double", ErrorKind.UNKNOWN_NETWORK)
        ]
        assert {(request["network"], request["method"]) for request in daemon.requests("rpc_register")} == {
            ("home", "double"), ("gone", "double"), ("home", "endless"),
        }  # fmt: skip
        assert {request["client_id"] for request in daemon.requests("rpc_register")} == {"c1"}
        await daemon.push(kind="channel_inbound", network="home", **{"from": "peer"}, channel="news", payload=3)
        assert (await anext(messages)).payload == 3


@under_both
async def test_the_first_connection_must_work() -> None:
    async with anyio.create_task_group() as tasks:
        daemon = FakeDaemon(tasks, listening=False)
        with pytest.raises(ControlError) as caught:
            async with connect("socket", opener=daemon.connect):
                pass
        assert caught.value.kind is ErrorKind.CONNECT_FAILED
        tasks.cancel_scope.cancel()


@under_both
async def test_a_reader_of_events_that_is_too_slow_is_told_how_much_it_missed() -> None:
    async with connected() as (daemon, mesh), mesh.events() as events:
        await daemon.push(kind="lagged", skipped=5)
        for _ in range(EVENTS_KEPT + 1):
            await daemon.push(kind="event", event=PHASE)
        await daemon.push(kind="event", event={"event_kind": "peer", "kind": "of tomorrow"})
        await anyio.wait_all_tasks_blocked()
        assert await anext(events) == Lagged(2), "the frame of the daemon is among them"
        assert await anext(events) == PhaseChanged("home", "alone", "active")


@under_both
async def test_a_reader_of_messages_that_is_too_slow_keeps_the_newest() -> None:
    async with connected() as (daemon, mesh), mesh.messages("c", network="home") as messages:
        for number in range(MESSAGES_KEPT + 2):
            await daemon.push(kind="channel_inbound", network="home", **{"from": "p"}, channel="c", payload=number)
        await anyio.wait_all_tasks_blocked()
        assert (await anext(messages)).payload == 2


@under_both
async def test_subscriptions_end_with_their_last_reader() -> None:
    async with connected() as (daemon, mesh):
        async with mesh.messages("c", network="home"):
            async with mesh.messages("c", network="home"):
                pass
            assert not daemon.requests("channel_unsubscribe")
        assert len(daemon.requests("channel_unsubscribe")) == 1
        daemon.answers["channel_subscribe"] = {"error": "unknown network: home"}
        with pytest.raises(ControlError):
            async with mesh.messages("c", network="home"):
                pass


@under_both
async def test_chunks_that_overtake_the_answer_of_their_call_are_not_lost() -> None:
    async with connected(rpc_call_stream={"request_id": "s"}) as (daemon, mesh):
        await daemon.push(kind="rpc_call_stream_chunk", request_id="s", payload=1)
        await daemon.push(kind="rpc_call_stream_end", request_id="s", error=None)
        await anyio.wait_all_tasks_blocked()
        async with mesh.stream("peer", "m", network="home") as chunks:
            assert [chunk async for chunk in chunks] == [1]


@under_both
async def test_a_reader_of_a_stream_that_is_too_slow_loses_it() -> None:
    async with (
        connected(rpc_call_stream={"request_id": "s"}) as (daemon, mesh),
        mesh.stream("peer", "m", network="home") as chunks,
    ):
        for number in range(STREAM_FRAMES + 1):
            await daemon.push(kind="rpc_call_stream_chunk", request_id="s", payload=number)
        await anyio.wait_all_tasks_blocked()
        assert [await anext(chunks) for _ in range(STREAM_FRAMES)] == list(range(STREAM_FRAMES))
        with pytest.raises(ControlError) as ended:
            await anext(chunks)
        assert ended.value.kind is ErrorKind.TOO_SLOW


@under_both
async def test_display_ids_are_sent_as_bare_ones() -> None:
    async with connected(rpc_call={"response": 5}) as (daemon, mesh):
        assert await mesh.call("key-1A2B3", "m", network="home") == 5
        await mesh.approve("home", "key-1A2B3")
        await mesh.reconnect("home")
        assert daemon.requests("rpc_call")[0]["peer"] == "key"
        assert daemon.requests("roster_approve")[0]["device_id"] == "key"
        assert daemon.requests("network_reconnect")[0]["peer"] is None


@under_both
async def test_an_answer_without_its_members_is_no_answer() -> None:
    async with connected(status={"version": 5}) as (_, mesh):
        with pytest.raises(ControlError) as caught:
            await mesh.status()
        assert caught.value.kind is ErrorKind.PROTOCOL


@under_both
async def test_a_peer_that_does_not_come_is_not_waited_for_for_ever() -> None:
    async with connected(peers_list={"peers": []}) as (_, mesh):
        with pytest.raises(ControlError) as caught:
            await mesh.wait_for_peer("home", timeout=0.01)
        assert caught.value.kind is ErrorKind.TIMEOUT
