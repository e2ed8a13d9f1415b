"""The app's client on a real daemon, inside the test's process: two are two devices that a test can look into."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio
from attrs import define

from mesh_common.client.session import open_session
from myownllm.catalog.model import Catalog
from myownllm.catalog.network import SavedNetwork
from myownllm.client import MeshClient, Offer
from myownllm.client.owned import OwnedNetworks
from myownllm.supervisor import Connection
from support.daemons import PATIENCE_S, daemon, host_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from myownllm.client.state import ClientState
    from support.daemons import Daemon

NETWORK = "office-mesh"


@define
class _OneNetwork:
    catalog: Catalog

    async def load(self) -> Catalog:
        await trio.lowlevel.checkpoint()
        return self.catalog


@define(eq=False)
class InProcessApp:
    """A client that is online."""

    home: Path
    daemon: Daemon
    client: MeshClient

    @property
    def key(self) -> str:
        return self.daemon.device_id

    async def until(self, condition: Callable[[ClientState], bool]) -> ClientState:
        with trio.fail_after(PATIENCE_S):
            return await self.client.watch.until(condition)

    async def sees(self, other: InProcessApp, *features: str) -> None:
        """Wait until it is connected to the other one, which offers the features."""

        def there(state: ClientState) -> bool:
            peer = state.peer(other.key)
            return peer is not None and peer.status == "active" and set(features) <= set(peer.capabilities["features"])

        await self.until(there)


@asynccontextmanager
async def app_on(running: Daemon, relay: str, install: Callable[[MeshClient], Any]) -> AsyncIterator[InProcessApp]:
    """The app's client on a daemon that runs, for the length of the block."""
    record = SavedNetwork("net-1", NETWORK, auto_approve=True, signaling_servers=(relay,), stun_servers=())
    catalog = _OneNetwork(Catalog().add_network(record, activate=True))
    client = MeshClient(
        catalog,
        OwnedNetworks(running.home / "owned.json"),
        Offer(app_version="1"),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    connection = Connection(1, "own_llm", running.socket, True, "0.3.8", running.device_id, None)
    async with open_session(running.socket, 1) as bridge, trio.open_nursery() as nursery:
        await nursery.start(client.run)
        install(client)
        client.connected(bridge, connection)
        await client.start()
        yield InProcessApp(running.home, running, client)
        await client.stop()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def two_daemons(folder: Path) -> AsyncIterator[tuple[Daemon, Daemon, str]]:
    """Two devices and the relay that the first one hosts."""
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(daemon(folder / "a"))
        b = await stack.enter_async_context(daemon(folder / "b"))
        yield a, b, await host_relay(a)
