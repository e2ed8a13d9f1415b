"""The control server: listens, admits clients, and lets the mesh speak to them (spec 05)."""

from __future__ import annotations

import errno
import logging
from collections import Counter
from typing import TYPE_CHECKING

import trio

from myownmesh.control import answers
from myownmesh.control.connection import Connection
from myownmesh.control.control import About, Control
from myownmesh.control.framing import Budget
from myownmesh.control.peer_check import PeerPolicy, peer_uid
from myownmesh.control.readiness import TrioReadiness
from myownmesh.control.socket_file import ControlSocketError, bind

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from myownmesh.control.readiness import Readiness
    from myownmesh.control.socket_file import BoundSocket
    from myownmesh.mesh.mesh import Mesh
    from myownmesh.updates.service import Updates

log = logging.getLogger(__name__)

MAX_CONNECTIONS_PER_USER = 512
"""Programs keep one to a handful open; this leaves descriptors for the mesh."""

ACCEPTS_PER_TURN = 64

SWEEP_SECONDS = 5.0

ACCEPT_PAUSE_SECONDS = 0.1
"""After running out of descriptors."""


class ControlServer:
    """Serves one mesh on one socket path.

    `readiness` is the daemon's host loop; without one the server watches its sockets through trio. `serve` must run on
    the mesh's thread.
    """

    def __init__(
        self,
        mesh: Mesh,
        path: Path,
        *,
        version: str,
        instance: str,
        home: Path,
        updates: Updates | None = None,
        policy: PeerPolicy | None = None,
        readiness: Readiness | None = None,
        max_connections_per_user: int = MAX_CONNECTIONS_PER_USER,
        begin_anew: Callable[[], None] | None = None,
    ) -> None:
        """`begin_anew` has the daemon start anew in a moment; None where that is not ours to do."""
        self.path = path
        about = About(version=version, instance=instance, home=home)
        self._control = Control(mesh, about, updates=updates, begin_anew=begin_anew)
        self._policy = policy if policy is not None else PeerPolicy()
        self._given_readiness = readiness
        self._max_connections = max_connections_per_user
        self._bound: BoundSocket | None = None
        self._readiness: Readiness | None = None
        self._nursery: trio.Nursery | None = None
        self._connections: dict[Connection, int | None] = {}
        self._budget = Budget()
        self._per_user: Counter[int | None] = Counter()

    async def serve(self, *, task_status: trio.TaskStatus[Path] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, report started with the path once clients can connect, and serve until cancelled.

        Raises `ControlSocketError` when there can be no socket. At the end the file is removed and every connection
        closed.
        """
        self._bound = await bind(self.path, self._policy)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._readiness = self._given_readiness or TrioReadiness(nursery)
                self._control.attach()
                try:
                    self._readiness.add_reader(self._bound.socket.fileno(), self._acceptable)
                    task_status.started(self.path)
                    log.info("control socket at %s", self.path)
                    while True:
                        await trio.sleep(SWEEP_SECONDS)
                        self._sweep()
                        await self._restore_file(self._readiness)
                finally:
                    self.stop_accepting()
                    self._control.detach()
                    for connection in tuple(self._connections):
                        connection.close()
        finally:
            self.stop_accepting()

    async def _restore_file(self, readiness: Readiness) -> None:
        """Make the file anew when somebody has removed it: until then no client finds this daemon."""
        if self._bound is None or not self._bound.is_gone():
            return
        try:
            bound = await bind(self.path, self._policy)
        except ControlSocketError as error:
            log.warning("the file of the control socket is gone and cannot be made anew yet: %s", error)
            return
        if self._bound is None:  # stopped meanwhile
            bound.close()
            return
        readiness.remove_reader(self._bound.socket.fileno())
        self._bound.socket.close()
        self._bound = bound
        readiness.add_reader(bound.socket.fileno(), self._acceptable)
        log.warning("the file of the control socket was gone; made anew at %s", self.path)

    def stop_accepting(self) -> None:
        """Close the door and remove the socket file; clients that are in stay served. Harmless when repeated."""
        bound, self._bound = self._bound, None
        if bound is not None:
            if self._readiness is not None:
                self._readiness.remove_reader(bound.socket.fileno())
            bound.close()

    async def serve_metrics(self, bind: object) -> None:
        """Tell monitors on this machine how the daemon does, over HTTP, until cancelled; `bind`: `daemon.metrics_bind`.

        What cannot be served is one line in the log, and the daemon goes on without it.
        """
        from myownmesh.control.metrics import exposition
        from myownmesh.control.metrics_bind import BadBind, read_bind
        from myownmesh.control.metrics_http import serve

        try:
            address = read_bind(bind)
        except BadBind as error:
            log.error("%s; metrics are not served", error)
            return
        await serve(address, lambda: exposition(self._control))

    def take_back_streams(self) -> None:
        """Tell hosts that nobody will wait for the streams of local programs any more."""
        self._control.take_back_streams()

    def _acceptable(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            if self._bound is None:
                return
            try:
                sock, _ = self._bound.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("control socket: a client could not be accepted: %s", error)
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._pause_accepting()
                return
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        assert self._readiness is not None
        assert self._nursery is not None
        sock.setblocking(False)
        uid = peer_uid(sock)
        refusal = None
        if not self._policy.admits(uid):
            refusal = self._policy.refusal(uid)
        elif self._per_user[uid] >= self._max_connections:
            refusal = f"too many connections (at most {self._max_connections} for one user); close some"
        if refusal is not None:
            log.warning("control socket: refused a client of user %s: %s", uid, refusal)
            _turn_away(sock, refusal)
            return
        connection = Connection(sock, self._control, self._readiness, self._nursery, self._budget, self._closed)
        self._connections[connection] = uid
        self._per_user[uid] += 1
        connection.start()

    def _closed(self, connection: Connection) -> None:
        uid = self._connections.pop(connection)
        self._per_user[uid] -= 1
        if not self._per_user[uid]:
            del self._per_user[uid]

    def _pause_accepting(self) -> None:
        """Without a free descriptor the listener would stay ready and cost a whole core."""
        assert self._readiness is not None
        assert self._nursery is not None
        assert self._bound is not None
        self._readiness.remove_reader(self._bound.socket.fileno())
        self._nursery.start_soon(self._resume_accepting)

    async def _resume_accepting(self) -> None:
        await trio.sleep(ACCEPT_PAUSE_SECONDS)
        if self._bound is not None and self._readiness is not None:
            self._readiness.add_reader(self._bound.socket.fileno(), self._acceptable)

    def _sweep(self) -> None:
        self._control.calls.expire()
        for connection in tuple(self._connections):
            connection.sweep()


def _turn_away(sock: socket.socket, text: str) -> None:
    try:
        sock.send(answers.failure(text))
    except OSError as error:
        log.debug("control socket: %s", error)
    sock.close()
