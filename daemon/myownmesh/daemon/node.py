"""One running daemon: its parts wired together, from the first task to the last (spec 07 §10.1, §10.2)."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
import threading
from typing import TYPE_CHECKING

import trio

from mesh_common.version import VERSION
from myownmesh.control.peer_check import PeerPolicy
from myownmesh.control.server import ControlServer
from myownmesh.control.socket_file import ControlSocketError
from myownmesh.daemon import conn_trace, logs
from myownmesh.daemon.anew import begin_anew
from myownmesh.daemon.descriptors import WANTED, share_for_clients
from myownmesh.daemon.lifeline import wait_for_end
from myownmesh.daemon.webrtc import WebRtc
from myownmesh.mesh import clock
from myownmesh.mesh.addresses import address_problems
from myownmesh.mesh.channels import SERVICES
from myownmesh.mesh.mesh import Mesh
from myownmesh.mesh.rooms import rooms
from myownmesh.services.host import Services
from myownmesh.services.roles import hosted_roles
from myownmesh.signaling.lan_access import lan_access
from myownmesh.signaling.room import app_id_of
from myownmesh.signaling.sources import RelaySources
from myownmesh.signaling.timepiece import Timepiece
from myownmesh.transport.guest import host_loop
from myownmesh.updates.service import Updates
from myownmesh.worker.descriptors import raise_limit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import msgspec

    from myownmesh.daemon.default_link import DefaultLink
    from myownmesh.daemon.supervision import Supervision
    from myownmesh.daemon.updating import Updating
    from myownmesh.identity import Identity
    from myownmesh.mesh.network import Network
    from myownmesh.services.forwarding import Forwarding
    from myownmesh.services.turn_desk import TurnDesk
    from myownmesh.store import Store
    from myownmesh.store.config import MeshConfig

STOP_LIMIT_S = 1.6
"""From the first signal to the end, whatever hangs; supervisors kill after 2 s (spec 07 §11)."""

ANSWER_S = 0.1
"""Between the answer that this daemon starts anew and the end of the connections, which would lose it."""

AGAIN_S = 5.0
"""After an import for which there was no descriptor left."""

PRELOAD_DELAY_S = 0.3
"""After readiness; leaves the processor to the first requests of a client."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)


class Node:
    """Everything that lives between `serve` and the exit of the process."""

    def __init__(
        self, *, store: Store, config: MeshConfig, identity: Identity, supervision: Supervision, instance: str
    ) -> None:
        rng = random.SystemRandom()
        self.start_error: str | None = None
        """Why there was no start, once `run` has returned; None after an orderly life."""
        self.begins_anew = False
        """Another daemon is to follow in this process, once `run` has returned."""
        self._descriptors = raise_limit(WANTED)
        self._config = config
        self._supervision = supervision
        self._instance = instance
        sources = RelaySources()
        timepiece = Timepiece(clock.now, clock.steady)
        app_id = app_id_of(os.environ)
        self._webrtc = WebRtc(sources.addresses)
        self._lan = lan_access(os.environ)
        self._services = Services(
            version=VERSION,
            roles=hosted_roles(compat=lambda: config.compat, turn_desk=self._turn_desk),
        )
        self._forwarding: Forwarding | None = None
        """Carries frames between members, from the first network on."""
        self._store = store
        self._desk: TurnDesk | None = None
        """Hands out passwords once this device has hosted TURN."""
        self._mesh = Mesh(
            store=store,
            identity=identity,
            config=config,
            sessions=self._webrtc.get,
            signaling=rooms(identity, app_id, rng, sources, timepiece, self._lan),
            services=self._services,
            timepiece=timepiece,
            rng=rng,
            app_id=app_id,
        )
        self._mesh.on_network_added.append(self._serve_members)
        if conn_trace.is_wanted(os.environ):
            conn_trace.write_for(self._mesh)
        self._socket_path = store.home.socket(config.daemon.control_socket)
        self._home = store.home
        self._updates = Updates(store.home.root.absolute(), VERSION)
        self._updating: Updating | None = None
        """Of a packed daemon, once it is ready."""
        self._stop = trio.Event()
        self._mesh_scope = trio.CancelScope()
        self._mesh_left = trio.Event()

    async def run(self) -> None:
        """Live until a signal or the lifeline ends us, then leave in order."""
        self._warn_about_config()
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_signals, signals)
                await nursery.start(self._services.run)
                await nursery.start(self._run_mesh)
                server = ControlServer(
                    self._mesh,
                    self._socket_path,
                    version=VERSION,
                    instance=self._instance,
                    home=self._home.root.absolute(),  # a client may stand elsewhere
                    updates=self._updates,
                    policy=PeerPolicy(
                        any_local_user=self._config.compat_switch("any_local_user"),
                        group=self._config.daemon.socket_group,
                    ),
                    readiness=host_loop(),
                    max_connections_per_user=share_for_clients(self._descriptors),
                    begin_anew=self._begin_anew,
                )
                try:
                    await nursery.start(server.serve)
                except ControlSocketError as error:
                    self.start_error = str(error)
                else:
                    second_name = self._second_name()
                    if second_name is not None:
                        await nursery.start(second_name.run)
                    self._ready(nursery)
                    if (metrics := self._config.daemon.metrics_bind) is not None:
                        nursery.start_soon(server.serve_metrics, metrics)
                    await self._stop.wait()  # no deadline: this is the daemon's life
                    if second_name is not None:
                        second_name.stop()
                _after(STOP_LIMIT_S, self._leave_at_once)
                if not self.begins_anew:
                    self._supervision.stopping()
                if self._updating is not None:
                    self._updating.stopping()
                server.stop_accepting()
                server.take_back_streams()  # an app that was killed took us along, and may not have been missed yet
                # Networks are left while a hosted relay can still carry the farewell, and open connections are served.
                self._mesh_scope.cancel()
                await self._mesh_left.wait()  # bounded by STOP_LIMIT_S
                await self._webrtc.aclose()
                nursery.cancel_scope.cancel()

    def _ready(self, nursery: trio.Nursery) -> None:
        self._supervision.ready(version=VERSION, socket_path=str(self._socket_path.absolute()), instance=self._instance)
        # What exists now stays for the daemon's life; the collector need not walk through it again.
        gc.freeze()
        gc.enable()
        self._webrtc.allow()
        if self._lan is not None:
            self._lan.allow()
        nursery.start_soon(self._later)
        if (limit_s := self._supervision.watchdog_s) is not None:
            from myownmesh.daemon.watchdog import feed

            nursery.start_soon(feed, limit_s, self._socket_path, self._supervision.say, self._summary)
        if getattr(sys, "frozen", False):  # a release of its own
            from myownmesh.daemon.updating import Updating

            self._updating = Updating(self._updates, self._mesh, self._socket_path, random.random)
            nursery.start_soon(self._updating.run)
            from myownmesh.daemon.restarting import Restarting

            nursery.start_soon(Restarting(self._updates, self._mesh, self._begin_anew).run)
        if self._supervision.lifeline is not None:
            nursery.start_soon(self._watch_lifeline, self._supervision.lifeline)

    async def _run_mesh(self, *, task_status: trio.TaskStatus[None]) -> None:
        with self._mesh_scope:
            await self._mesh.run(task_status=task_status)
        self._mesh_left.set()

    async def _watch_signals(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if self.begins_anew:
                log.info("stopping on %s instead of starting anew", signal.Signals(number).name)
                self.begins_anew = False
                self._supervision.stopping()
            elif self._stop.is_set():
                log.warning("second signal: leaving at once")
                logs.flush()
                os._exit(128 + number)
            else:
                log.info("stopping on %s", signal.Signals(number).name)
            self._stop.set()

    def _begin_anew(self) -> None:
        """Stop once the answer that told of it is out, and have another daemon follow. Harmless when repeated."""
        if not self._stop.is_set():
            self.begins_anew = True
            host_loop().call_later(ANSWER_S, self._stop.set)

    def _leave_at_once(self) -> None:
        """In a thread: the loop hangs. Every file is whole at any moment, so nothing is lost by it."""
        log.warning("stopping took longer than %.1f s; leaving at once", STOP_LIMIT_S)
        if self.begins_anew:
            begin_anew(self._supervision)
        logs.flush()
        os._exit(0)

    def _summary(self) -> str:
        joined = len(self._mesh.networks())
        return f"in {joined} network{'' if joined == 1 else 's'}; control socket {self._socket_path}"

    async def _watch_lifeline(self, descriptor: int) -> None:
        if await wait_for_end(descriptor) and not self._stop.is_set():
            log.info("stopping: whoever started this daemon has closed the lifeline")
            self._stop.set()

    def _turn_desk(self) -> TurnDesk:
        from myownmesh.services.turn_desk import TurnDesk

        if self._desk is None:
            self._desk = TurnDesk(self._store, self._mesh.networks)
        return self._desk

    def _serve_members(self, network: Network) -> None:
        def heard(device_id: str, payload: msgspec.Raw) -> None:
            if self._desk is not None:
                self._desk.heard(network, device_id, payload)

        network.listen(SERVICES, heard)  # ends with the network
        if self._forwarding is None:
            from myownmesh.services.forwarding import Forwarding

            self._forwarding = Forwarding(lambda: self._services.config.relay)
        self._forwarding.serve(network)

    def _second_name(self) -> DefaultLink | None:
        if not self._config.daemon.also_default_socket:
            return None
        from myownmesh.daemon.default_link import DefaultLink

        return DefaultLink(self._socket_path, os.environ)

    async def _later(self) -> None:
        """What needs libraries and nobody waits for, one after the other."""
        await trio.sleep(PRELOAD_DELAY_S)
        await self._preload()
        await self._watch_network()

    async def _watch_network(self) -> None:
        while True:
            try:
                from myownmesh.netwatch.watch import NetWatch  # what it needs has been loaded with WebRTC
            except OSError as error:
                log.warning("the network cannot be watched yet: %s", error)
                await trio.sleep(AGAIN_S)
            else:
                await NetWatch(self._mesh.network_changed, self._mesh.woken, host_loop=host_loop()).run()

    async def _preload(self) -> None:
        """Have the engine, the relay client and WebRTC at hand before the first peer needs them."""
        try:
            await self._webrtc.get()
        except ImportError as error:
            log.error("WebRTC cannot be loaded, so no peer can be reached: %s", error)  # the daemon still answers
        except OSError as error:
            # Too many open files, for one. Whoever needs it next tries again.
            log.warning("WebRTC could not be loaded yet: %s", error)

    def _warn_about_config(self) -> None:
        config = self._config
        for name in config.unknown_switches():
            log.warning("configuration: compat has no switch %r; ignored", name)
        if config.identity_path is not None:
            log.warning("configuration: identity_path has no effect; set MYOWNMESH_HOME instead")
        if not config.daemon.enabled:
            log.warning("configuration: daemon.enabled has no effect; do not start the daemon instead")
        for network in config.networks:
            for problem in address_problems(network):
                log.warning("configuration: network %r: %s; left out", network.id, problem)
            if network.roster_path is not None:
                log.warning("configuration: roster_path of network %r has no effect", network.id)


def _after(seconds: float, end: Callable[[], None]) -> None:
    """Call `end` in a thread of its own, even if the loop hangs by then."""
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
