"""Devices, a relay of our own and relays that misbehave, over real sockets on the loopback interface."""

from __future__ import annotations

import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import trio
from attrs import Factory, define, field, frozen

from myownmesh.protocol import base32
from myownmesh.protocol.clock import Instant
from myownmesh.services.relay import RelayServer
from myownmesh.signaling.client import NostrSignaling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.services.relay_hub import Limits

PATIENCE_S = 5.0

Signal = TypeVar("Signal")


def wall_clock() -> Instant:
    return Instant(trio.current_time(), time.time_ns() // 1_000_000)


def device_id(number: int) -> str:
    return base32.encode(random.Random(number).randbytes(32))


@frozen
class Settings:
    servers: tuple[str, ...]
    redundancy: int = 5
    denylist: tuple[str, ...] = ()
    public_fallback: bool = False
    listen_only: bool = False


@define(eq=False)
class Device:
    """A signaling client and what it heard."""

    id: str
    signaling: NostrSignaling
    heard: list[InboundSignal] = field(factory=list)
    _news: trio.Event = Factory(trio.Event)

    def deliver(self, signal: InboundSignal) -> None:
        self.heard.append(signal)
        self._news.set()
        self._news = trio.Event()

    async def hears(self, wanted: type[Signal], where: Callable[[Signal], bool] = lambda _: True) -> Signal:
        """The first signal of that kind, waiting for it if need be."""
        with trio.fail_after(PATIENCE_S):
            while True:
                for signal in self.heard:
                    if isinstance(signal, wanted) and where(signal):
                        return signal
                await self._news.wait()

    async def admitted_by(self, relay: str) -> None:
        await eventually(lambda: relay in self.signaling.admitted)


async def eventually(condition: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not condition():
            await trio.sleep(0.005)


def new_device(number: int, *relays: str, listen_only: bool = False, network: str = "office-mesh") -> Device:
    identifier = device_id(number)
    return Device(
        identifier,
        NostrSignaling(
            device_id=identifier,
            network_id=network,
            app_id="myownmesh-test",
            settings=Settings(relays, listen_only=listen_only),
            now=wall_clock,
            rng=random.Random(number),
        ),
    )


@asynccontextmanager
async def running(*devices: Device) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for device in devices:
            await nursery.start(device.signaling.run, device.deliver)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def relay_server(port: int = 0, limits: Limits | None = None) -> AsyncIterator[RelayServer]:
    server = RelayServer("127.0.0.1", port, limits, now=wall_clock, rng=random.Random(99))
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, server)
        yield server
        nursery.cancel_scope.cancel()


async def serve(server: RelayServer, *, task_status: trio.TaskStatus[None]) -> None:
    await server.serve(task_status=task_status)


def url_of(server: RelayServer) -> str:
    return f"ws://127.0.0.1:{server.port}"
