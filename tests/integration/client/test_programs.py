"""What a program does with `connect`, under trio and asyncio, against real daemons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import pytest

from mesh_common.client import Connected, ControlError, Disconnected, ErrorKind, HandlerDisplaced, connect
from support.backends import under_both
from support.devices import NETWORK, RECORD_ID

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable

    from support.devices import Pair

T = TypeVar("T")

PATIENCE_S = 20.0


async def failure(awaitable: Awaitable[object]) -> ControlError:
    with pytest.raises(ControlError) as caught:
        await awaitable
    return caught.value


async def first(events: AsyncIterator[object], kind: type[T]) -> T:
    """The next event of this kind; others are skipped."""
    while not isinstance(event := await anext(events), kind):
        pass
    return event


@under_both
async def test_a_program_calls_and_is_called(pair: Pair) -> None:
    async def echo(peer: str, payload: Any) -> Any:
        return {"from": peer, "payload": payload}

    async def picky(_peer: str, _payload: Any) -> Any:
        raise ValueError("not today")

    with anyio.fail_after(PATIENCE_S):
        async with connect(pair.a.socket) as serving, connect(pair.b.socket) as calling:
            await serving.serve("echo", echo, network=RECORD_ID)
            await serving.serve("picky", picky, network=NETWORK)
            payload = {"text": "grüße", "list": [1, 2.5, None, True]}
            answer = await calling.call(pair.a.key, "echo", payload, network=NETWORK)
            assert answer == {"from": pair.b.key, "payload": payload}
            refused = await failure(calling.call(pair.a.key, "picky", network=NETWORK))
            assert refused.kind is ErrorKind.HANDLER_FAILED
            assert refused.text.endswith("not today")
            assert (await failure(calling.call(pair.a.key, "no-such", network=NETWORK))).kind is ErrorKind.NO_HANDLER
            assert (await failure(calling.call(pair.a.key, "echo", network="no"))).kind is ErrorKind.UNKNOWN_NETWORK
            stranger = "a" * 52
            assert (await failure(calling.call(stranger, "echo", network=NETWORK))).kind is ErrorKind.UNKNOWN_PEER
            await serving.unserve("echo", network=RECORD_ID)
            assert (await failure(calling.call(pair.a.key, "echo", network=NETWORK))).kind is ErrorKind.NO_HANDLER


@under_both
async def test_an_answer_that_does_not_fit_is_an_error_of_the_caller(pair: Pair) -> None:
    """0.3.8 by itself would say that it resolved the call, and the caller would wait for ever (spec 05 §12)."""

    async def too_much(_peer: str, _payload: Any) -> Any:
        return "x" * 70_000

    async def not_json(_peer: str, _payload: Any) -> Any:
        return object()

    with anyio.fail_after(PATIENCE_S):
        async with connect(pair.a.socket) as serving, connect(pair.b.socket) as calling:
            await serving.serve("much", too_much, network=NETWORK)
            await serving.serve("odd", not_json, network=NETWORK)
            much = await failure(calling.call(pair.a.key, "much", network=NETWORK))
            assert "too large for one mesh frame" in much.text
            assert "not JSON" in (await failure(calling.call(pair.a.key, "odd", network=NETWORK))).text
            mine = await failure(calling.call(pair.a.key, "much", "x" * 70_000, network=NETWORK))
            assert (mine.kind, mine.refused) == (ErrorKind.TOO_LARGE, False)


@under_both
async def test_streams(pair: Pair) -> None:
    async def count(_peer: str, limit: int) -> AsyncGenerator[int, None]:
        for number in range(limit):
            yield number

    with anyio.fail_after(PATIENCE_S):
        async with connect(pair.a.socket) as serving, connect(pair.b.socket) as calling:
            await serving.serve_stream("count", count, network=NETWORK)
            async with calling.stream(pair.a.key, "count", 20, network=NETWORK) as chunks:
                assert [chunk async for chunk in chunks] == list(range(20))
            async with calling.stream(pair.a.key, "count", 1000, network=NETWORK) as chunks:
                assert await anext(chunks) == 0  # the rest is given up
            async with calling.stream(pair.a.key, "count", 2, network=NETWORK) as chunks:
                assert [chunk async for chunk in chunks] == [0, 1]


@under_both
async def test_messages_reach_those_who_listen(pair: Pair) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with connect(pair.a.socket) as listening, connect(pair.b.socket) as sending:
            async with (
                listening.messages("news", network=NETWORK) as first,
                listening.messages("news", network=NETWORK) as second,
            ):
                await sending.send(pair.a.key, "news", {"n": 1}, network=NETWORK)
                assert await sending.broadcast("news", {"n": 2}, network=NETWORK) == 1
                for messages in (first, second):
                    assert [(await anext(messages)).payload, (await anext(messages)).payload] == [{"n": 1}, {"n": 2}]
            async with listening.messages("news", network=NETWORK) as again:
                await sending.send(pair.a.key, "news", 3, network=NETWORK)
                message = await anext(again)
                assert (message.network, message.peer, message.payload) == (NETWORK, pair.b.key, 3)


@under_both
async def test_whoever_loses_a_method_is_told(pair: Pair) -> None:
    async def mine(_peer: str, _payload: Any) -> str:
        return "mine"

    async def yours(_peer: str, _payload: Any) -> str:
        return "yours"

    with anyio.fail_after(PATIENCE_S):
        async with connect(pair.a.socket) as early, connect(pair.a.socket) as late, early.events() as events:
            await early.serve("contested", mine, network=NETWORK)
            await late.serve("contested", yours, network=NETWORK)
            told = await first(events, HandlerDisplaced)
            assert (told.network, told.method) == (NETWORK, "contested")
            async with connect(pair.b.socket) as calling:
                assert await calling.call(pair.a.key, "contested", network=NETWORK) == "yours"


@under_both
async def test_typed_answers(pair: Pair) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with connect(pair.a.socket) as mesh:
            status = await mesh.status()
            assert status.version.count(".") == 2
            assert NETWORK in status.joined_networks
            identity = await mesh.identity()
            assert identity.pubkey == pair.a.key
            assert identity.device_id == status.device_id
            assert (await mesh.set_label("Desk")).label == "Desk"
            assert len(await mesh.generate_network_id()) == 8
            assert await mesh.normalize_network_id("  Office-Mesh ") == NETWORK
            assert (await mesh.config())["networks"]
            services = await mesh.services()
            assert services.status.signaling is not None
            assert services.status.signaling.running
            (network,) = [each for each in await mesh.networks() if each.network_id == NETWORK]
            assert (network.config_id, network.phase, network.topology.kind) == (RECORD_ID, "active", "full_mesh")
            assert network.traffic.control_tx.frames > 0
            peer = await mesh.wait_for_peer(NETWORK, pair.b.key, timeout=PATIENCE_S)
            assert peer.authenticated
            assert peer.selected_pair is not None
            assert [entry.device_id for entry in await mesh.roster(NETWORK)] == [pair.b.key]
            await mesh.approve(NETWORK, pair.b.key, "Ben")
            assert [entry.label for entry in await mesh.roster(NETWORK)] == ["Ben"]
            await mesh.set_capabilities(NETWORK, {"tags": ["chat"]})
            assert await mesh.connect_peer(NETWORK, pair.b.key, wait_s=PATIENCE_S)
            await mesh.set_topology(NETWORK, "full_mesh")
            updated = await mesh.update_network(pair.record())
            assert (updated.updated, updated.restarted) == (RECORD_ID, False)


@under_both
async def test_an_invitation_is_given_looked_at_and_taken_back(pair: Pair) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with connect(pair.a.socket) as giving, connect(pair.b.socket) as taking:
            if (await giving.status()).home is None:  # the reference knows none
                assert (await failure(giving.invite(NETWORK))).kind is ErrorKind.UNSUPPORTED
                return
            made = await giving.invite(NETWORK, ttl_s=60, uses=2, note="for Ben")
            (row,) = await giving.invites(RECORD_ID)
            assert (row.id, row.exp, row.uses, row.by, row.note) == (made.id, made.exp, 2, (), "for Ben")
            if (await taking.status()).home is None:
                assert (await failure(taking.join_invite(made.text))).kind is ErrorKind.UNSUPPORTED
            else:
                shown = await taking.join_invite(made.text, dry_run=True)
                assert (shown.network_id, shown.exp, shown.present) == (NETWORK, made.exp, True)
                assert shown.sender == (await giving.identity()).device_id
                assert shown.settings is not None
                assert shown.settings["network_id"] == NETWORK
                taken = await taking.join_invite(made.text, approve_inviter=True)
                assert (taken.sender, taken.settings) == (shown.sender, None)
            await giving.revoke_invite(NETWORK, made.id)
            assert await giving.invites(NETWORK) == ()


@under_both
async def test_what_the_block_raises_comes_out_as_it_is(pair: Pair) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with connect(pair.a.socket):
            raise KeyError("mine")
    with pytest.raises(ControlError) as caught:
        async with connect(pair.a.home / "nobody.sock"):
            pass
    assert caught.value.kind is ErrorKind.CONNECT_FAILED


@under_both
async def test_the_daemon_of_this_device_is_found_by_itself(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYOWNMESH_HOME", str(pair.a.home))
    async with connect() as mesh:
        assert (await mesh.identity()).pubkey == pair.a.key


@under_both
async def test_a_daemon_that_restarts_is_found_again_with_everything_that_was_registered(pair: Pair) -> None:
    async def echo(_peer: str, payload: Any) -> Any:
        return payload

    with anyio.fail_after(3 * PATIENCE_S):
        async with (
            connect(pair.b.socket) as mesh,
            connect(pair.a.socket) as calling,
            mesh.events() as events,
            mesh.messages("news", network=NETWORK) as messages,
        ):
            await mesh.serve("echo", echo, network=NETWORK)
            await anyio.to_thread.run_sync(pair.b.stop)
            assert await first(events, Disconnected) == Disconnected(1)
            assert not mesh.connected
            assert (await failure(mesh.status())).kind is ErrorKind.NOT_CONNECTED
            await anyio.to_thread.run_sync(pair.b.start)
            back = await first(events, Connected)
            assert (back.generation, back.refused) == (2, ())
            await calling.wait_for_peer(NETWORK, pair.b.key, timeout=PATIENCE_S)
            await mesh.wait_for_peer(NETWORK, pair.a.key, timeout=PATIENCE_S)
            assert await calling.call(pair.b.key, "echo", "still here", network=NETWORK) == "still here"
            await calling.send(pair.b.key, "news", "too", network=NETWORK)
            assert (await anext(messages)).payload == "too"


@under_both
async def test_calls_under_way_end_when_the_daemon_dies(pair: Pair) -> None:
    called = anyio.Event()

    async def slow(_peer: str, _payload: Any) -> None:
        called.set()
        await anyio.sleep_forever()

    with anyio.fail_after(3 * PATIENCE_S):
        async with connect(pair.a.socket) as serving, connect(pair.b.socket) as mesh:
            await serving.serve("slow", slow, network=NETWORK)
            ended: list[ControlError] = []

            async def call() -> None:
                ended.append(await failure(mesh.call(pair.a.key, "slow", network=NETWORK)))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await called.wait()
                assert pair.b.process is not None
                pair.b.process.kill()
            assert [error.kind for error in ended] == [ErrorKind.CONNECTION_LOST]
            await anyio.to_thread.run_sync(pair.b.process.wait)
            await anyio.to_thread.run_sync(pair.b.start)
            await serving.wait_for_peer(NETWORK, pair.b.key, timeout=PATIENCE_S)
    await anyio.to_thread.run_sync(pair.wait_active)
