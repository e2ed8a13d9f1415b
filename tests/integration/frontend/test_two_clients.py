"""Two clients of the app over two real daemons and a real data channel: calls, cancels, large payloads, order."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from mesh_common.client.errors import ControlError
from mesh_common.client.session import open_session
from myownllm.catalog.model import Catalog
from myownllm.catalog.network import SavedNetwork
from myownllm.client import Limit, MeshClient, Method, Offer, Operations
from myownllm.client.owned import OwnedNetworks
from myownllm.supervisor import Connection
from support.daemons import MYOWNMESH
from support.devices import NETWORK, RECORD_ID, two_devices
from support.reference import REFERENCE, needs_reference
from unit.frontend.test_client import MemoryCatalog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from myownllm.client import InboundCall
    from myownllm.peers import PeerEntry
    from support.devices import Device, Pair

PATIENCE_S = 20.0


@pytest.fixture(scope="module", params=["ours", pytest.param("mixed", marks=needs_reference)])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """The first daemon hosts the relay, so it is ours; the second one may be the reference's."""
    programs = () if request.param == "ours" else (MYOWNMESH, Path(REFERENCE))
    with two_devices(*programs) as made:
        yield made


@attrs.frozen
class App:
    client: MeshClient
    do: Operations
    key: str


@asynccontextmanager
async def app(pair: Pair, device: Device, folder: Path) -> AsyncIterator[App]:
    """A client bound to one of the daemons, online and with the other device in sight."""
    record = pair.record()
    network = SavedNetwork(
        RECORD_ID,
        NETWORK,
        signaling_servers=(f"ws://127.0.0.1:{pair.port}",),
        stun_servers=(),
        auto_approve=record["auto_approve"],
    )
    catalog = MemoryCatalog(Catalog((network,), network.id))
    client = MeshClient(catalog, OwnedNetworks(folder / f"{device.key}.json"), Offer(), now_ms=lambda: 1)
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        async with open_session(device.socket, 1) as bridge:
            client.connected(bridge, Connection(1, "own_llm", device.socket, False, "v0", device.key, None))
            await client.start()
            with trio.fail_after(PATIENCE_S):
                await client.watch.until(lambda s: any(p.status == "active" for p in s.peers))
            yield App(client, Operations(client), device.key)
            await client.stop()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def two_apps(pair: Pair, folder: Path) -> AsyncIterator[tuple[App, App]]:
    async with app(pair, pair.a, folder) as a, app(pair, pair.b, folder) as b:
        for one, other in ((a, b), (b, a)):  # each knows what the other can do
            with trio.fail_after(PATIENCE_S):
                await one.client.watch.until(
                    lambda s, k=other.key: any(k == p.device_pubkey and p.capabilities.features for p in s.peers)  # type: ignore[misc]  # mypy knows no default of a lambda
                )
        yield a, b


async def test_five_hundred_messages_arrive_in_order(pair: Pair, tmp_path: Path) -> None:
    async with two_apps(pair, tmp_path) as (_, b):
        heard: list[Any] = []

        async def hear(_peer: PeerEntry, payload: Any) -> None:
            heard.append(payload)

        wire = pair.a.wire()

        def send_at_once(numbers: range) -> None:
            for n in numbers:
                wire.post("channel_send_to", network=NETWORK, peer=b.key, channel="many", payload=n)
            assert all(wire.answer()["ok"] for _ in numbers)

        await b.client.subscribe("many", hear)
        # Of more than 256 at once, a subscriber that does not keep up loses the oldest (spec 05 §10.4).
        for first in range(0, 500, 125):
            with trio.move_on_after(PATIENCE_S):
                await trio.to_thread.run_sync(send_at_once, range(first, first + 125))
                while len(heard) < first + 125:
                    await trio.sleep(0.01)
            assert heard == list(range(first + 125))


@pytest.mark.parametrize("pieces", [0, 3])
async def test_a_cancel_reaches_the_host_before_the_first_piece_and_in_the_middle(
    pair: Pair, tmp_path: Path, pieces: int
) -> None:
    async with two_apps(pair, tmp_path) as (a, b):
        begun, ended = trio.Event(), trio.Event()

        async def talk(_: InboundCall) -> AsyncIterator[Any]:
            begun.set()
            try:
                for n in range(pieces):
                    yield {"delta": str(n)}
                await trio.sleep_forever()
            finally:
                ended.set()

        b.client.serve(Method("talk", stream=talk))
        heard: list[Any] = []
        scope = trio.CancelScope()

        async def ask() -> None:
            with scope:
                async with aclosing(a.do.call_stream(b.key, "talk", {})) as stream:  # type: ignore[type-var]  # generators have what it closes
                    async for piece in stream:
                        heard.append(piece)  # noqa: PERF401 - what came before the cancel counts

        await _serves(b, "talk")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            with trio.fail_after(PATIENCE_S):
                await begun.wait()
                while len(heard) < pieces:
                    await trio.sleep(0.01)
            scope.cancel()
        with trio.fail_after(1):
            await ended.wait()
        assert heard == [{"delta": str(n)} for n in range(pieces)]


async def test_a_large_payload_goes_there_and_comes_back(pair: Pair, tmp_path: Path) -> None:
    async with two_apps(pair, tmp_path) as (a, b):

        async def echo(call: InboundCall) -> Any:
            await trio.lowlevel.checkpoint()
            return call.payload

        b.client.serve(Method("large_echo", answer=echo))
        await _serves(b, "large_echo")
        payload = {"text": "grüße " * 60_000}
        with trio.fail_after(PATIENCE_S):
            assert await a.do.call(b.key, "large_echo", payload) == payload


async def test_a_host_that_is_busy_says_so_and_serves_again(pair: Pair, tmp_path: Path) -> None:
    async with two_apps(pair, tmp_path) as (a, b):

        async def slow(_: InboundCall) -> AsyncIterator[Any]:
            yield {"delta": "x"}
            await trio.sleep_forever()

        b.client.serve(Method("one", stream=slow, limit=Limit("one", 1)))
        await _serves(b, "one")
        async with aclosing(a.do.call_stream(b.key, "one", {})) as first:  # type: ignore[type-var]  # generators have what it closes
            assert await anext(first) == {"delta": "x"}
            with pytest.raises(ControlError, match="host busy"):
                async for _ in a.do.call_stream(b.key, "one", {}):
                    pass
        with trio.fail_after(PATIENCE_S):
            while True:
                try:
                    async with aclosing(a.do.call_stream(b.key, "one", {})) as again:  # type: ignore[type-var]  # generators have what it closes
                        assert await anext(again) == {"delta": "x"}
                        return
                except ControlError as error:
                    assert "host busy" in error.text  # noqa: PT017 - until the cancel has arrived
                    await trio.sleep(0.02)


async def _serves(app: App, method: str) -> None:
    """Wait until the daemon knows the method."""
    with trio.fail_after(PATIENCE_S):
        release = await app.client.subscribe(f"behind/{method}", _deaf)  # channels are claimed behind methods
        release()


async def _deaf(_: PeerEntry, __: Any) -> None:
    await trio.lowlevel.checkpoint()
