"""The running app: supervisor, bridge, client and catalog wired together, in one visible place (spec 08 §2).

`running_app` stands on `supervisor.footing`, so that all ends in the order of spec 08 FE-2.4: client, connection, own
daemon, lock.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import trio

from mesh_common.client.address import user_home
from mesh_common.client.errors import ControlError
from mesh_common.client.session import open_session
from mesh_common.values import Value
from myownllm.beat import TICK_S, beat
from myownllm.catalog.file import CatalogFile, wall_ms
from myownllm.catalog.live import LiveCatalog
from myownllm.client import MeshClient, Offer, Operations
from myownllm.client.owned import OwnedNetworks
from myownllm.door.server import Door
from myownllm.features import doorway, hardware, screens, transcribe
from myownllm.features.daemon_update import DaemonUpdate
from myownllm.features.files import Files
from myownllm.features.files import install as install_files
from myownllm.features.models import Models
from myownllm.features.recordings import Recordings
from myownllm.features.sharing import Sharing
from myownllm.peers import CONNECTED
from myownllm.runtimes.speech import SpeechSettings
from myownllm.sightings import Sightings
from myownllm.transfer_files.notes import Notes
from myownllm.transfer_files.settings import FileSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from myownllm.client import ClientState
    from myownllm.client.registry import Release
    from myownllm.home import AppHome
    from myownllm.supervisor import Connection, Supervisor
    from myownllm.supervisor.footing import Footing

BRIDGE_RETRY_S: Final = 1.0
"""After a refused subscription; doubled each time."""
BRIDGE_RETRY_MAX_S: Final = 30.0
STOP_BUDGET_S: Final = 4.0
SIGHTING_S: Final = 600.0
"""So exact is the moment of a device's leaving that this app did not see."""
DOOR_RETRY_S: Final = 5.0
GLANCE_S: Final = TICK_S
"""How often the file is looked at, for edits by hand: commands knock at the door."""


class App(Value, frozen=True):
    """The parts of a running app, for whoever shows it."""

    home: AppHome
    pin: str | None
    supervisor: Supervisor
    client: MeshClient
    catalog: CatalogFile
    live: LiveCatalog
    operations: Operations
    models: Models
    sharing: Sharing
    files: Files
    door: Door


async def _newer_connection(supervisor: Supervisor, last: int) -> Connection:
    while True:
        state = await supervisor.watch.until(lambda s: s.connection is not None and s.connection.generation > last)
        if state.connection is not None:
            return state.connection


async def follow_edits(catalog: LiveCatalog, client: MeshClient) -> None:
    """Reconcile when the file has changed without a knock: somebody edited it by hand."""
    while True:
        await beat(GLANCE_S)
        if catalog.changed():
            await client.reconcile()


async def keep_door(home: AppHome, door: Door, client: MeshClient) -> None:
    """Let commands knock, until cancelled.

    An app whose door cannot be opened works as well: it sees changes of its file when it looks. It is tried again.
    """
    told = ""
    while True:
        try:
            await door.keep(home.app_socket)
        except OSError as error:
            reason = error.strerror or str(error)
            if reason != told:
                told = reason
                client.note("warn", f"commands cannot reach this app at {home.app_socket}: {reason}; it is tried again")
        await trio.sleep(DOOR_RETRY_S)


async def keep_sightings(sightings: Sightings, client: MeshClient) -> None:
    """Note when devices were here last: when they come, when they go, now and then while they stay, and at the end."""
    here: dict[str, str] = {}  # what each is called, also when it is gone
    network, due = "", 0.0
    try:
        while True:
            state = client.state
            if state.network != network:  # left for another one, or for good: these were here until now
                await _note(sightings, network, here)
                here, network = {}, state.network
            now_here = {p.device_pubkey: p.label for p in state.peers if p.status in CONNECTED}
            moved = {key: label for key, label in {**here, **now_here}.items() if here.get(key) != now_here.get(key)}
            if trio.current_time() >= due:
                moved, due = {**moved, **now_here}, trio.current_time() + SIGHTING_S
            await _note(sightings, network, moved)
            here = now_here
            with trio.move_on_at(due):
                await client.watch.until(partial(_moved, state))
    finally:
        if here and network:
            sightings.note(network, _now(here))


async def _note(sightings: Sightings, network: str, devices: dict[str, str]) -> None:
    if network and devices:
        await trio.to_thread.run_sync(sightings.note, network, _now(devices))


def _now(devices: dict[str, str]) -> dict[str, tuple[int, str]]:
    at = wall_ms()
    return {key: (at, label) for key, label in devices.items()}


def _moved(before: ClientState, state: ClientState) -> bool:
    return state.peers is not before.peers or state.network != before.network


async def keep_bridge(supervisor: Supervisor, client: MeshClient) -> None:
    """For every connection that the supervisor publishes: subscribe, hand over, and report its end."""
    last = refusals = 0
    while True:
        connection = await _newer_connection(supervisor, last)
        last = connection.generation
        try:
            async with open_session(connection.socket, connection.generation) as bridge:
                refusals = 0
                client.connected(bridge, connection)
                await _until_over(bridge.lost, supervisor, connection.generation)
        except ControlError as error:
            said = f"subscribe rejected: {error}" if error.refused else str(error)
            client.not_subscribed(f"events of the daemon: {said}")
            with trio.move_on_after(min(BRIDGE_RETRY_S * 2**refusals, BRIDGE_RETRY_MAX_S)):
                await _until_over(trio.Event(), supervisor, connection.generation)
            refusals += 1
        client.disconnected(connection.generation)
        supervisor.report_lost(connection.generation)


class Lost(Protocol):
    """Set when a connection has ended."""

    async def wait(self) -> None: ...


async def _until_over(lost: Lost, supervisor: Supervisor, generation: int) -> None:
    """Return when the connection is lost, or the supervisor has given it up."""

    async def watch_supervisor() -> None:
        await supervisor.watch.until(lambda s: s.connection is None or s.connection.generation != generation)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_supervisor)
        await lost.wait()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def running_app(
    footing: Footing, install: Callable[[MeshClient], Release], *, app_version: str
) -> AsyncIterator[App]:
    """The app for the time of the block, booting in the background. `install` adds what its caller answers to peers."""
    home, supervisor = footing.home, footing.supervisor
    file: CatalogFile = CatalogFile(home.config_file, in_use=lambda: catalog.is_in_use)
    catalog = LiveCatalog(file)
    offer = Offer(pin=footing.pin, app_version=app_version)
    client = MeshClient(catalog, OwnedNetworks(home.owned_networks_file), offer, now_ms=wall_ms)
    door = Door()
    doorway.install(door, client)
    hardware.install(client)
    install(client)
    catalog.on_notice.append(client.note)
    footing.notices.pass_on(client.note)
    daemon_update = DaemonUpdate(client, supervisor, footing.ports.candidates, home.own_daemon)
    daemon_update.install(door)
    client.on_stuck.append(supervisor.report_stuck)
    operations = Operations(client)
    sharing = Sharing(client, operations, file, catalog, home.root, wall_ms)
    sharing.install(door)
    models = Models(client, operations, sharing.policy, home.pins_file, wall_ms)
    models.install(door)
    catalog.on_sections.append(models.use)
    login = user_home() or home.root
    files = Files(client, operations, Notes(home.transfers), FileSettings.read({}, login))
    install_files(client, files, door)
    catalog.on_sections.append(lambda sections: files.use(FileSettings.read(sections, login)))
    transcribing = transcribe.Transcribing(client)
    transcribe.install(client, transcribing)
    door.operation("transcribe", Recordings(client, operations, transcribing, models.asking.pins).transcribe)
    catalog.on_sections.append(lambda sections: transcribing.use(SpeechSettings.read(sections)))
    screens.install(door, client, supervisor, models.runtimes.watch, models.api.watch)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_door, home, door, client)
        nursery.start_soon(keep_bridge, supervisor, client)
        await nursery.start(client.run)
        nursery.start_soon(follow_edits, catalog, client)
        nursery.start_soon(keep_sightings, Sightings(home.sightings_file), client)
        await client.preview()
        nursery.start_soon(models.run)
        nursery.start_soon(client.boot)
        nursery.start_soon(files.go_on)
        nursery.start_soon(transcribing.run)
        nursery.start_soon(daemon_update.run)
        try:
            yield App(home, footing.pin, supervisor, client, file, catalog, operations, models, sharing, files, door)
        finally:
            with trio.move_on_after(STOP_BUDGET_S, shield=True):
                await files.close()
                await client.stop()
            nursery.cancel_scope.cancel()
