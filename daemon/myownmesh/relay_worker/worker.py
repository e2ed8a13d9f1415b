"""The process that faces strangers for the signaling relay: one loop, one hub, a socket for each client.

`myownmesh relay-worker` is started by the daemon, reads its job from stdin, says what becomes of it on stdout, and ends
when stdin is closed, so that it never outlives the daemon. Any client may come; plain WebSockets only, since TLS is the
business of a proxy in front.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import random
import secrets
import socket
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from myownmesh.cluster.cluster import Cluster
from myownmesh.relay.hub import Hub
from myownmesh.relay_worker.connections import Connections
from myownmesh.relay_worker.messages import Report, read_job
from myownmesh.relay_worker.siblings import Siblings
from myownmesh.signaling.nostr import NostrKey
from myownmesh.worker.descriptors import raise_limit
from myownmesh.worker.listeners import ACCEPTS, Listeners
from myownmesh.worker.loop import Loop
from myownmesh.worker.messages import Listening, Refused, first_line, leave_signals_to_the_daemon, say
from myownmesh.worker.sockets import open_stream_listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.protocol.clock import Instant
    from myownmesh.relay_worker.messages import Job, Said
    from myownmesh.relay_worker.on_bus import Bus

SHARED_ACCEPTS: Final = 1
"""Connections that are taken in one turn where other processes wait for them, too."""
MOST: Final = 16384
"""Connections, if the system gives that many descriptors."""
OWN_DESCRIPTORS: Final = 32
BUSY_TICK_S: Final = 0.25
IDLE_TICK_S: Final = 60.0
NO_CLUSTER: Final = (
    "services.signaling.bus needs a package that this installation lacks: pip install 'myownllm-mesh[cluster]' (the "
    "single-file program does not carry it)"
)
LAST_WORDS_S: Final = 0.5
"""For clients to hear that the relay is going away."""


class Worker:
    """Everything between the job and the end of one process."""

    def __init__(self, job: Job, report: Callable[[Said], None]) -> None:
        """Raises OSError with a sentence when it cannot listen."""
        self._report = report
        self._loop = Loop()
        shared = job.siblings
        self._listener = (
            open_stream_listener(job.bind, job.port) if shared is None else socket.socket(fileno=shared.listener)
        )
        self._at_once = ACCEPTS if shared is None else SHARED_ACCEPTS
        address = self._listener.getsockname()
        self.listening = Listening(str(address[0]), int(address[1]))
        key = NostrKey.generate(random.SystemRandom())
        self.hub = Hub(job.limits, key, any_filter=job.any_filter)
        self._connections = Connections(self.hub, self._loop, time.monotonic, most_connections())
        self._listeners = Listeners(self._loop)
        self._clusters: list[Cluster] = []
        self._ways: list[Bus | Siblings] = []
        group = "" if shared is None else shared.group
        name = group + secrets.token_hex(8)
        if shared is not None:
            local = Cluster(name, self.hub, time.monotonic())
            self._clusters.append(local)
            self._ways.append(Siblings(shared, local, self._loop, time.monotonic))
        if job.bus is not None:
            from myownmesh.relay_worker.on_bus import Bus  # trio and coredis: nobody else needs them

            far = Cluster(name, self.hub, time.monotonic(), group or None)
            self._clusters.append(far)
            self._ways.append(Bus(job.bus, far, self._loop, name, group or None))
        self._timers = [each.next_timer for each in (self.hub, *self._clusters, *self._ways)]
        self._said: Report | None = None
        self._ticked = time.monotonic()
        self._last_tick: float | None = None

    def run(self, commands: int) -> None:
        """Serve until the pipe `commands` is closed; then every client gets Close 1001."""
        self._loop.watch(commands, partial(self._on_commands, commands))
        self._listeners.listen(self._listener, self._connections.add, self._at_once)
        self._report(self.listening)
        self._loop.run(self._tick, self._pause_s)
        for way in self._ways:
            way.close()
        self._loop.close()

    def _on_commands(self, commands: int, _events: int) -> None:
        if os.read(commands, 1):
            return  # there is nothing to be told
        self._loop.forget(commands)
        self._listener.close()
        self._connections.part_with_all()
        self._last_tick = time.monotonic() + LAST_WORDS_S

    def _pause_s(self) -> float:
        if self._last_tick is not None:
            return 0.02
        said = self._said
        pause = BUSY_TICK_S if self._connections or said is None or said.activity.connections else IDLE_TICK_S
        due = self._ticked + pause
        for next_timer in self._timers:  # after each callback of the loop, so it is short
            if (at := next_timer()) is not None and at < due:
                due = at
        return max(0.0, due - self._ticked)

    def _tick(self, now: Instant) -> None:
        self._ticked = now.mono
        self._listeners.resume()
        self.hub.handle_timer(now.mono, now.wall_ms // 1000)
        self._connections.tick()
        for cluster in self._clusters:
            cluster.handle_timer(now.mono, now.wall_ms // 1000)
        for way in self._ways:
            way.tick(now.mono)
        problems = (each.problem(now.mono) for each in self._clusters)
        report = Report(self.hub.activity, next(filter(None, problems), None))
        if report != self._said:
            self._said = report
            self._report(report)
        if self._last_tick is not None and (not self._connections or now.mono >= self._last_tick):
            self._connections.close_all()
            self._loop.end()


def missing_for(job: Job) -> str | None:
    """Why this installation cannot do it."""
    return NO_CLUSTER if job.bus is not None and importlib.util.find_spec("coredis") is None else None


def main() -> int:
    """The command `relay-worker`."""
    leave_signals_to_the_daemon()
    commands, reports = sys.stdin.fileno(), sys.stdout.fileno()
    text, _ = first_line(commands)
    os.set_blocking(reports, False)
    job = read_job(text)
    if (missing := missing_for(job)) is not None:
        say(reports, Refused(missing))
        return 1
    try:
        worker = Worker(job, partial(say, reports))
    except OSError as error:
        say(reports, Refused(error.strerror or str(error)))
        return 1
    # What clients leave behind is no rubbish but what the hub remembers, and nothing here forms circles for long.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    worker.run(commands)
    return 0


def most_connections() -> int:
    """As many as the system lets this process have."""
    return max(1, min(MOST, raise_limit(MOST + OWN_DESCRIPTORS) - OWN_DESCRIPTORS))
