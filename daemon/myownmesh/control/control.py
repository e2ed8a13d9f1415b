"""The state behind the control socket: who is connected, who serves which method, who listens to which channel.

No I/O of its own: connections call in, and frames for event connections leave through their `Sink`. Everything here
runs on the mesh's thread.
"""

from __future__ import annotations

import os
import random
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING

import trio
from msgspec import Struct, field

from mesh_common.events import Diag
from myownmesh.control import answers
from myownmesh.control.claims import Claims
from myownmesh.control.clients import Clients
from myownmesh.control.departed import Departed
from myownmesh.control.inbound import InboundCalls
from myownmesh.control.subscriptions import Subscriptions
from myownmesh.control.traces import Traces
from myownmesh.mesh.errors import MeshError
from myownmesh.updates.service import Updates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mesh_common.events import MeshEvent
    from myownmesh.control.clients import Client, Sink
    from myownmesh.mesh.mesh import Mesh
    from myownmesh.mesh.network import Network
    from myownmesh.protocol.ids import Rng


class About(Struct, frozen=True, kw_only=True):
    """What `status` says about this process (spec 05 §7.1)."""

    version: str
    instance: str
    """16 hex digits, new at each start: tells a restarted daemon from the one that was."""
    home: Path
    pid: int = field(default_factory=os.getpid)


class Control:
    """Everything that ops work on."""

    def __init__(
        self,
        mesh: Mesh,
        about: About,
        *,
        updates: Updates | None = None,
        clock: Callable[[], float] = monotonic,
        rng: Rng | None = None,
        begin_anew: Callable[[], None] | None = None,
    ) -> None:
        """`begin_anew` has this daemon start anew in a moment; None where it is a part of another program."""
        self.mesh = mesh
        self._begin_anew = begin_anew
        self.about = about
        self.updates = Updates(about.home, about.version) if updates is None else updates
        self.rng: Rng = rng if rng is not None else random.SystemRandom()
        self.clients = Clients()
        self.calls = InboundCalls(clock)
        self.claims = Claims(self.calls.arrived)
        self.subscriptions = Subscriptions()
        self.traces = Traces()
        self.departed = Departed()
        self.looking = trio.Lock()
        """Held while the surroundings are looked at: a look takes a socket for each server."""
        self._streams_made = 0
        self._undo: list[Callable[[], None]] = []
        self._deafen: Callable[[], None] | None = None
        """Ends the subscription to the mesh's events."""

    def attach(self) -> None:
        """Follow the coming and going of networks until `detach`, and events while a client reads them."""
        mesh = self.mesh
        mesh.on_network_added.append(self._network_added)
        mesh.on_network_removed.append(self._network_removed)
        self.updates.on_progress = self._update_progress
        self._undo = [
            lambda: mesh.on_network_added.remove(self._network_added),
            lambda: mesh.on_network_removed.remove(self._network_removed),
        ]

    def detach(self) -> None:
        """Let go of the mesh; event connections hear nothing more."""
        self._listen(on=False)
        for undo in self._undo:
            undo()
        self._undo = []

    def connect(self, sink: Sink) -> Client:
        """Register an event connection; from now on it hears of every event."""
        client = self.clients.add(sink)
        self._listen(on=True)
        return client

    def disconnect(self, client: Client) -> None:
        """Forget an event connection: its claims, its subscriptions and what it has been asked (spec 05 W7, W9)."""
        if client.gone:
            return
        client.gone = True
        self.clients.remove(client)
        self._listen(on=bool(self.clients))
        self.claims.release_all(client)
        self.subscriptions.drop_client(client)
        self.calls.client_gone(client)
        for cancel in tuple(client.streams.values()):
            cancel()
        client.streams.clear()

    def take_back_streams(self) -> None:
        """Before the networks are left: nobody will wait for what was asked of peers (spec 08 FE-9.7)."""
        for client in self.clients:
            streams, client.streams = client.streams, {}
            for leave in streams.values():
                leave()

    @contextmanager
    def beginning_anew(self) -> Iterator[None]:
        """For a block behind which this daemon starts anew, unless that was refused. Raises `MeshError`."""
        if self._begin_anew is None:
            raise MeshError("this daemon is a part of another program, which has to end it; nothing was changed")
        try:
            yield
        finally:
            if self.mesh.danger.has_begun:  # also when it failed: there is no way back
                self._begin_anew()

    def new_stream_id(self) -> str:
        """The request id of an outgoing stream call; unique in this process."""
        number = self._streams_made
        self._streams_made += 1
        return f"ipc-stream-{number}"

    def find(self, alias: str) -> Network:
        """The network of this name. Raises `MeshError`."""
        return self.mesh.find(alias)

    def find_joined(self, alias: str) -> Network | None:
        """The network of this name, if it is joined."""
        return self.mesh.get(alias)

    def _network_added(self, network: Network) -> None:
        self.claims.network_added(network)
        self.subscriptions.network_added(network)

    def _network_removed(self, network: Network) -> None:
        self.claims.network_removed(network)
        self.subscriptions.network_removed(network)
        self.traces.network_removed(network)
        self.departed.add(network)

    def _listen(self, *, on: bool) -> None:
        """Follow the mesh's events while there is a client that reads them: diagnostics are only made then."""
        if on and self._deafen is None:
            self._deafen = self.mesh.subscribe(self._on_event)
        elif not on and self._deafen is not None:
            self._deafen()
            self._deafen = None

    def _update_progress(self, told: Mapping[str, object]) -> None:
        """How far the download of an update is; it belongs to no network."""
        done, total = told.get("done"), told.get("total")
        message = f"fetching {told.get('progress')}: {done} of {total} bytes"
        self._on_event(
            Diag(
                ts=round(time() * 1000),
                network_id="",
                level="info",
                category="update",
                message=message,
                detail={**told},
            )
        )

    def _on_event(self, event: MeshEvent) -> None:
        line = answers.event(event)
        for client in self.clients:
            client.sink.event(line)
