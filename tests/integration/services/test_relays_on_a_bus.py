"""Two relays on a real Redis, each in a process of its own."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import time
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import psutil
import pytest
import trio

from myownmesh.protocol.signals import PeerAnnounced, PeerLeft
from myownmesh.relay.client import Limits
from myownmesh.relay_worker.messages import Job, read_said
from myownmesh.relay_worker.redis_server import ANSWER_BYTES, connected
from myownmesh.relay_worker.worker import NO_CLUSTER, missing_for
from myownmesh.services.worker_process import worker
from support.ports import free_port
from support.relay_workers import Redis
from support.signaling import new_device, running
from support.tls import self_signed
from support.tools import needs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.relay_worker.messages import Report
    from myownmesh.relay_worker.redis_server import Wire
    from support.signaling import Device


class Relay:
    def __init__(self, port: int, worker: psutil.Process) -> None:
        self.kill, self.stop, self.go_on = worker.kill, worker.suspend, worker.resume
        self.url = f"ws://127.0.0.1:{port}"
        self.report: Report | None = None

    def take(self, report: Report) -> None:
        self.report = report

    @property
    def problem(self) -> str:
        return (self.report and self.report.problem) or ""

    @property
    def is_joined(self) -> bool:
        return self.report is not None and self.report.problem is None


@asynccontextmanager
async def relay_on(url: str) -> AsyncIterator[Relay]:
    job = Job("127.0.0.1", 0, Limits(), bus=url)
    before = psutil.Process().children()
    async with worker("relay-worker", job, read_said) as process, trio.open_nursery() as nursery:
        (started,) = (each for each in psutil.Process().children() if each not in before)
        relay = Relay((await process.listens()).port, started)
        nursery.start_soon(partial(process.listen, relay.take))
        yield relay
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def two_on_a_bus(folder: Path) -> AsyncIterator[tuple[Redis, Relay, Relay]]:
    redis = Redis(folder)
    try:
        async with relay_on(redis.url) as a, relay_on(redis.url) as b:
            await within(60, lambda: a.is_joined and b.is_joined)
            yield redis, a, b
    finally:
        redis.kill()


async def hears(device: Device, other: Device) -> None:
    await within(60, lambda: any(isinstance(each, PeerAnnounced) and each.peer == other.id for each in device.heard))


async def unreadable(times: int, *relays: Relay) -> None:
    said = f"somebody else speaks among the relays: {times} words"
    await within(60, lambda: all(said in each.problem for each in relays))


def _peer(heard: InboundSignal) -> str | None:
    return heard.peer if isinstance(heard, PeerLeft) else None


async def within(seconds: float, condition: Callable[[], bool]) -> None:
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.05)


@needs("redis-server", "redis-server", "relays on a bus were not tried")
@pytest.mark.slow
async def test_two_relays_are_one_also_when_their_bus_is_killed_and_when_one_of_them_is(tmp_path: Path) -> None:
    async with two_on_a_bus(tmp_path) as (redis, a, b):
        one, two, three = new_device(1, a.url), new_device(2, b.url), new_device(3, b.url)
        async with running(one, two):
            await hears(one, two)
            await hears(two, one)
            redis.kill()
            await within(60, lambda: not a.is_joined and not b.is_joined)
            async with running(three):
                await hears(two, three)
                redis.start()
                await hears(one, three)
                await within(60, lambda: a.is_joined and b.is_joined)
                assert not [each for each in one.heard if isinstance(each, PeerLeft)]
                b.kill()
                await within(60, lambda: two.id in map(_peer, one.heard))


@needs("redis-server", "redis-server", "relays on a bus were not tried")
@pytest.mark.slow
async def test_whatever_happens_to_the_bus_rooms_go_on_and_are_one_again_afterwards(tmp_path: Path) -> None:
    async with two_on_a_bus(tmp_path) as (redis, a, b):
        one, two = new_device(1, a.url), new_device(2, b.url)
        others = [new_device(number, b.url) for number in range(3, 6)]
        async with running(one, two), trio.open_nursery() as nursery:

            async def comes(device: Device) -> None:
                async with running(device):
                    await trio.sleep_forever()

            await hears(one, two)
            await hears(two, one)

            # Something that nobody can read, and something that is longer than all that is read at once.
            redis.told("PUBLISH", "myownmesh:relay:somebody", "garbage")
            await unreadable(1, a, b)
            # They read on in the stream, for nothing was confirmed to stand behind it in between.
            added = f"redis.call('XADD', 'myownmesh:relay', '*', 'b', string.rep('x', {ANSWER_BYTES + 1}))"
            together = f'MULTI\nEVAL "return {added}" 0\nCLIENT KILL TYPE pubsub\nEXEC\n'
            redis.told(stdin=together.encode())
            await unreadable(2, a, b)
            redis.told("-x", "PUBLISH", "myownmesh:relay:somebody", stdin=bytes(ANSWER_BYTES + 1))
            await unreadable(3, a, b)
            nursery.start_soon(comes, others[0])
            await hears(one, others[0])

            # It takes nothing any more.
            redis.told("CONFIG", "SET", "maxmemory", "1")
            await within(60, lambda: "takes nothing" in a.problem and "takes nothing" in b.problem)
            nursery.start_soon(comes, others[1])
            await hears(two, others[1])
            redis.told("CONFIG", "SET", "maxmemory", "0")
            await hears(one, others[1])

            # It stands still.
            redis.process.send_signal(signal.SIGSTOP)
            await within(60, lambda: "has not answered" in a.problem and "has not answered" in b.problem)
            nursery.start_soon(comes, others[2])
            await hears(two, others[2])
            redis.process.send_signal(signal.SIGCONT)
            await hears(one, others[2])
            nursery.cancel_scope.cancel()


@needs("redis-server", "redis-server", "relays on a bus were not tried")
@pytest.mark.slow
async def test_one_that_stands_still_learns_afterwards_also_what_has_been_deleted(tmp_path: Path) -> None:
    async with two_on_a_bus(tmp_path) as (redis, a, b):
        one, two, three = new_device(1, a.url), new_device(2, b.url), new_device(3, b.url)
        async with running(one, two):
            await hears(two, one)
            a.stop()
            await within(60, lambda: one.id in map(_peer, two.heard))
            two.heard.clear()
            async with running(three):
                await hears(two, three)
                redis.told("XTRIM", "myownmesh:relay", "MAXLEN", "0")
                a.go_on()
                await hears(two, one)
                await hears(one, three)


@needs("redis-server", "redis-server", "relays on a bus were not tried")
async def test_an_account_that_may_use_the_key_and_the_channels_of_relays_is_enough(tmp_path: Path) -> None:
    redis = Redis(tmp_path)
    try:
        await within(60, lambda: (tmp_path / "redis.sock").exists())
        allowed = ("~myownmesh:relay", "&myownmesh:relay:*", "+@all")
        redis.told("ACL", "SETUSER", "relays", "reset", "on", ">secret", *allowed)
        url = f"unix://relays:secret@{tmp_path}/redis.sock"
        async with relay_on(url) as a, relay_on(url) as b:
            one, two = new_device(1, a.url), new_device(2, b.url)
            async with running(one, two):
                await hears(one, two)
                await hears(two, one)
            assert not a.problem
            assert not b.problem
    finally:
        redis.kill()


@needs("redis-server", "redis-server", "relays on a bus were not tried")
def test_a_bus_with_tls_and_a_password_lets_in_whoever_knows_it(tmp_path: Path) -> None:
    certificate, port = self_signed(tmp_path), free_port()
    files = {name: str(certificate) for name in ("--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file")}
    words = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no", "--requirepass", "secret"]
    words += [word for pair in files.items() for word in pair] + ["--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
    try:
        place = f"127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        until = time.monotonic() + 60
        while (wire := _connected_or_not(f"rediss://:secret@{place}")) is None:
            assert time.monotonic() < until
            time.sleep(0.05)
        with pytest.raises(ExceptionGroup):
            connected(f"rediss://:wrong@{place}")
    finally:
        process.kill()
        process.wait()
    wire.socket.close()


def _connected_or_not(url: str) -> Wire | None:
    with suppress(ExceptionGroup):
        return connected(url)
    return None


async def test_a_bus_without_the_package_that_it_needs_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert missing_for(Job("127.0.0.1", 0, Limits(), bus="redis://127.0.0.1")) == NO_CLUSTER
    assert missing_for(Job("127.0.0.1", 0, Limits())) is None
    assert "myownllm-mesh[cluster]" in NO_CLUSTER


async def test_a_bus_that_is_not_there_is_said_and_rooms_go_on(tmp_path: Path) -> None:
    async with relay_on(f"unix://{tmp_path}/nobody.sock") as relay:
        one, two = new_device(1, relay.url), new_device(2, relay.url)
        async with running(one, two):
            await hears(one, two)
            await within(60, lambda: "cannot be reached" in relay.problem)
