"""One daemon per module, one network, relay and reference peer per test."""

from __future__ import annotations

import inspect
import itertools
import json
import os
import random
from contextlib import asynccontextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Literal

import trio
from attrs import define, field

from mesh_common.client.errors import ControlError
from mesh_common.client.protocol import parse_object
from myownmesh.transport import run_guest
from support.daemons import Control, Daemon, network_record
from support.reference_peer import ReferencePeer, room_of, seed_for
from support.reference_relay import reference_relay
from support.warm import Forked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from support.reference_relay import ReferenceRelay

TEST_S = 100.0
Side = Literal["lower", "higher"]
SIDES: tuple[Side, ...] = ("lower", "higher")
"""Where the reference peer's id stands: the lower side offers."""

_numbers = itertools.count(random.randrange(1 << 30))


def on_the_loop(async_fn: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A trio test that runs as a guest of the loop that the stock WebRTC stack needs."""

    @wraps(async_fn)
    def test(**fixtures: Any) -> None:
        async def main() -> None:
            with trio.fail_after(TEST_S):
                await async_fn(**fixtures)

        run_guest(main)

    test.__signature__ = inspect.signature(async_fn)  # type: ignore[attr-defined]  # pytest reads it
    return test


def on_both_sides(async_fn: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Like `on_the_loop`, for both id orders at the same time: the test gets `side`, which is the peer's."""

    async def both(**fixtures: Any) -> None:
        async with trio.open_nursery() as nursery:
            for side in SIDES:
                nursery.start_soon(
                    noted, f"the reference peer's id is the {side} one", partial(async_fn, side=side, **fixtures)
                )

    test = on_the_loop(both)
    signature = inspect.signature(async_fn)
    test.__signature__ = signature.replace(  # type: ignore[attr-defined]  # pytest reads it
        parameters=[each for each in signature.parameters.values() if each.name != "side"]
    )
    test.__name__, test.__doc__ = async_fn.__name__, async_fn.__doc__
    return test


async def noted(note: str, async_fn: Callable[[], Awaitable[None]]) -> None:
    """Run it; its failure says which of several it was."""
    try:
        await async_fn()
    except Exception as error:
        error.add_note(note)
        raise


def started(home: Path, **environ: str) -> Iterator[Daemon]:
    """A daemon outside of any event loop, so that the tests of a module can share it."""
    home.mkdir(parents=True, exist_ok=True)
    readable, writable = os.pipe()
    settings = {"MYOWNMESH_HOME": str(home), "MYOWNMESH_LOG_EXTRA": "debug", **environ}
    with (home / "log.txt").open("ab") as log:
        process = Forked({**os.environ, **settings}, log, writable)
    os.close(writable)
    try:
        with os.fdopen(readable, "rb") as ready:
            told = json.loads(ready.read())
        assert told["ready"], told
        running = Daemon(home)
        running.device_id = trio.run(_identity, running)
        yield running
        assert process.poll() is None, f"the daemon ended by itself:\n{running.log[-4000:]}"
        assert "Traceback" not in running.log, running.log[-6000:]
    finally:
        process.terminate()
        process.wait(10)


async def _identity(running: Daemon) -> str:
    shown: str = (await running.ask("identity_show"))["pubkey"]
    return shown


@define(eq=False)
class Stage:
    """Everything that a test of one pair needs."""

    daemon: Daemon
    relay: ReferenceRelay
    network: str
    peer: ReferencePeer
    control: Control
    """A connection for requests."""
    events: list[dict[str, Any]] = field(factory=list)
    """Peer events of this network and everything inbound, in order."""
    client_id: int = 0
    _news: trio.Event = field(factory=trio.Event)

    async def watch(self, events: Control) -> None:
        with trio.CancelScope():
            while True:
                try:
                    frame = parse_object(await events.receive())
                except ControlError:
                    return
                self.events.append(frame)
                self._news.set()
                self._news = trio.Event()

    async def ask(self, op: str, **members: Any) -> Any:
        return await self.control.ask(op, network=self.network, **members)

    async def status(self) -> str | None:
        row = await self.row()
        return None if row is None else row["status"]

    async def row(self) -> dict[str, Any] | None:
        return await self.daemon.peer(self.network, self.peer.device_id)

    async def wait_for(self, status: str = "active") -> dict[str, Any]:
        return await self.daemon.wait_for_peer(self.network, self.peer.device_id, status)

    def peer_events(self, kind: str | None = None) -> list[dict[str, Any]]:
        found = [each["event"] for each in self.events if "event" in each and each["event"].get("event_kind") == "peer"]
        mine = [each for each in found if each.get("device_id") == self.peer.device_id]
        return [each for each in mine if kind is None or each["kind"] == kind]

    async def event(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The n-th peer event of that kind."""
        with trio.move_on_after(12):
            while len(self.peer_events(kind)) < count:
                await self._news.wait()
        assert len(self.peer_events(kind)) >= count, f"no {kind} event: {self.peer_events()}"
        return self.peer_events(kind)[count - 1]

    async def inbound(self, kind: str, count: int = 1, seconds: float = 12) -> dict[str, Any]:
        """The n-th line of that kind on the event connection, such as `channel_inbound`."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.events if each.get("kind") == kind]

        with trio.move_on_after(seconds):
            while len(found()) < count:
                await self._news.wait()
        assert len(found()) >= count, f"no {kind}: {self.events[-5:]}"
        return found()[count - 1]

    async def both_active(self) -> None:
        await self.peer.becomes_active()
        await self.wait_for("active")


@asynccontextmanager
async def meeting(
    daemon: Daemon,
    side: Side = "lower",
    *,
    auto_approve: bool = True,
    join: bool = True,
    relay: dict[str, Any] | None = None,
    record: dict[str, Any] | None = None,
    sealed: str | None = None,
    **switches: Any,
) -> AsyncIterator[Stage]:
    """The daemon in a fresh network with a reference peer of the wanted id order.

    The network stays until the daemon ends: a departure takes a quarter of a second, and the next join waits for it.
    """
    number = next(_numbers)
    network = f"interop-{number}"
    seed = seed_for(number, **({"below": daemon.device_id} if side == "lower" else {"above": daemon.device_id}))
    async with reference_relay(room=room_of(network), **(relay or {})) as the_relay, trio.open_nursery() as nursery:
        peer = ReferencePeer(seed, network, the_relay, daemon.device_id, **switches)
        control, events = await Control.open(daemon.socket), await Control.open(daemon.socket)
        stage = Stage(daemon, the_relay, network, peer, control)
        try:
            stage.client_id = (await events.ask("events_subscribe"))["client_id"]
            nursery.start_soon(stage.watch, events)
            config = network_record(network, the_relay.url, auto_approve=auto_approve, **(record or {}))
            if sealed is not None:
                config["signaling"]["sealed"] = sealed
            await daemon.ask("network_add", config=config)
            await the_relay.until(lambda: the_relay.presence, "an announce of the daemon")
            if join:
                peer.join()
            yield stage
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(5):
                await peer.stop()
                await events.aclose()
                await control.aclose()
        nursery.cancel_scope.cancel()
