"""The running app: supervisor, bridge, client and catalog wired together, in one visible place (spec 08 §2).

`run_app` is what `myownllm up` runs. It ends in the order of spec 08 FE-2.4: client, connection, own daemon, lock.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import attrs
import trio

from mesh_common.client.address import user_home
from mesh_common.client.errors import ControlError
from mesh_common.client.session import open_session, probe
from mesh_common.files import remove_leftovers
from mesh_common.groups import unwrapped
from mesh_common.locks import FileLock
from myownllm.beat import beat
from myownllm.catalog.file import CatalogFile, wall_ms
from myownllm.catalog.live import LiveCatalog
from myownllm.client import MeshClient, Offer, Operations
from myownllm.client.owned import OwnedNetworks
from myownllm.door.server import Door
from myownllm.errors import FAILURES, AlreadyRunningError, UnwritableHomeError
from myownllm.features import doorway, hardware, screens, transcribe
from myownllm.features.daemon_update import DaemonUpdate
from myownllm.features.files import Files
from myownllm.features.files import install as install_files
from myownllm.features.models import Models
from myownllm.features.recordings import Recordings
from myownllm.features.sharing import Sharing
from myownllm.files import lock_holder_note, read_json, try_lock
from myownllm.home import find_pin
from myownllm.peers import CONNECTED
from myownllm.runtimes.speech import SpeechSettings
from myownllm.sightings import Sightings
from myownllm.supervisor import Supervisor, migration
from myownllm.supervisor.log import DaemonLog, TroubleLimit
from myownllm.supervisor.world import make_ports
from myownllm.transfer_files.notes import Notes
from myownllm.transfer_files.settings import FileSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from myownllm.client import ClientState
    from myownllm.client.registry import Release
    from myownllm.coerce import Json
    from myownllm.home import AppHome
    from myownllm.supervisor import Connection

BRIDGE_RETRY_S: Final = 1.0
"""After a refused subscription; doubled each time."""
BRIDGE_RETRY_MAX_S: Final = 30.0
STOP_BUDGET_S: Final = 4.0
SIGHTING_S: Final = 600.0
"""So exact is the moment of a device's leaving that this app did not see."""
READ_ONLY_TEXT: Final = (
    "This app reads what is saved, changes nothing and starts no mesh daemon; start it again when that is mended"
)
DOOR_RETRY_S: Final = 5.0
GLANCE_S: Final = 1.0
"""How often the file is looked at, for edits by hand: commands knock at the door."""


@attrs.frozen
class App:
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
    here: set[str] = set()
    network, due = "", 0.0
    try:
        while True:
            state = client.state
            if state.network != network:  # left for another one, or for good: these were here until now
                await _note(sightings, network, here)
                here, network = set(), state.network
            now_here = {p.device_pubkey for p in state.peers if p.status in CONNECTED}
            moved = now_here ^ here
            if trio.current_time() >= due:
                moved, due = moved | now_here, trio.current_time() + SIGHTING_S
            await _note(sightings, network, moved)
            here = now_here
            with trio.move_on_at(due):
                await client.watch.until(partial(_moved, state))
    finally:
        if here and network:
            sightings.note(network, dict.fromkeys(here, wall_ms()))


async def _note(sightings: Sightings, network: str, devices: set[str]) -> None:
    if network and devices:
        await trio.to_thread.run_sync(sightings.note, network, dict.fromkeys(devices, wall_ms()))


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
    home: AppHome,
    install: Callable[[MeshClient], Release],
    *,
    app_version: str,
    report: Callable[[str], None],
) -> AsyncIterator[App]:
    """The app for the time of the block, booting in the background. `install` adds what its caller answers to peers.

    In a home where nothing can be written it reads what is there, and starts no daemon (spec 08 §12 row 52).
    Raises HomeError, AlreadyRunningError; what the block or a part of the app raises comes out as itself.
    """
    unwritable, older_layout = "", list[str]()
    try:
        home.prepare()
        lock = await _app_lock(home)
    except UnwritableHomeError as error:
        lock, unwritable = None, str(error)
        if (holder := lock_holder_note(home.app_lock)) is not None:
            raise _already_running(holder) from None
    else:
        for folder in (home.root, home.own_daemon):
            remove_leftovers(folder, wall_ms() / 1000)
        older_layout = await _older_layout(home)
    pin = find_pin(Path(__file__).parent)
    file: CatalogFile = CatalogFile(home.config_file, in_use=lambda: catalog.is_in_use)
    catalog = LiveCatalog(file)
    try:
        async with trio.open_nursery() as outer:  # keeps the tasks that watch the own daemon until it has ended
            offer = Offer(pin=pin, app_version=app_version)
            client = MeshClient(catalog, OwnedNetworks(home.owned_networks_file), offer, now_ms=wall_ms)
            door = Door()
            doorway.install(door, client)
            hardware.install(client)
            install(client)
            catalog.on_notice.append(client.note)
            for text in older_layout:
                client.note("warn", text)
            if unwritable:
                client.note("error", f"{unwritable}. {READ_ONLY_TEXT}")
            trouble = TroubleLimit(trio.current_time, lambda level, text: client.note(level, f"daemon: {text}"))
            log = DaemonLog(home.daemon_log, trouble)
            ports = make_ports(
                home, pin, outer, log, no_start=f"no mesh daemon is started: {unwritable}" if unwritable else ""
            )
            supervisor = Supervisor(ports, report=report)
            daemon_update = DaemonUpdate(client, supervisor, ports.candidates, home.own_daemon)
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
            async with trio.open_nursery() as daemon_side:
                daemon_side.start_soon(supervisor.run)
                async with trio.open_nursery() as app_side:
                    app_side.start_soon(keep_door, home, door, client)
                    app_side.start_soon(keep_bridge, supervisor, client)
                    await app_side.start(client.run)
                    app_side.start_soon(follow_edits, catalog, client)
                    app_side.start_soon(keep_sightings, Sightings(home.sightings_file), client)
                    await client.preview()
                    app_side.start_soon(models.run)
                    app_side.start_soon(client.boot)
                    app_side.start_soon(files.go_on)
                    app_side.start_soon(transcribing.run)
                    app_side.start_soon(daemon_update.run)
                    try:
                        yield App(
                            home, pin, supervisor, client, file, catalog, operations, models, sharing, files, door
                        )
                    finally:
                        with trio.move_on_after(STOP_BUDGET_S, shield=True):
                            await files.close()
                            await client.stop()
                        app_side.cancel_scope.cancel()
                daemon_side.cancel_scope.cancel()
            outer.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if (cause := unwrapped(group, FAILURES)) is group:
            raise
        raise cause from None
    finally:
        if lock is not None:
            lock.release()


async def _older_layout(home: AppHome) -> list[str]:
    """Take over the daemon's data of an older layout (spec 08 §3.8); returns what to say about it."""
    if not migration.is_due(home):
        return []
    if home.seed_era_socket.exists() and await probe(home.seed_era_socket) is not None:
        return [f"a daemon of an older layout runs at {home.seed_era_socket}: its data is moved when it has ended"]
    return await trio.to_thread.run_sync(migration.migrate, home)


async def _app_lock(home: AppHome) -> FileLock:
    lock = FileLock(home.app_lock)
    for _ in range(5):  # a command that looks whether we run holds it for an instant
        if try_lock(lock):
            return lock
        await trio.sleep(0.05)
    raise _already_running(read_json(home.app_lock))


def _already_running(holder: Json) -> AlreadyRunningError:
    pid = holder.get("pid") if isinstance(holder, dict) else None
    return AlreadyRunningError(pid if isinstance(pid, int) else None)
