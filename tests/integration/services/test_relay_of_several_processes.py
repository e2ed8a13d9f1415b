"""One relay in several processes, on a real listening socket: one that stands still, one that is killed."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import trio

from mesh_common.views import RelayActivity, WaitingServer
from myownmesh.protocol.signals import PeerAnnounced, PeerLeft
from myownmesh.relay.client import Limits
from myownmesh.relay_worker.messages import Job, Report
from myownmesh.services import relay_processes
from myownmesh.services.host import Services
from myownmesh.services.relay_processes import RelayProcesses, together
from myownmesh.services.roles import hosted_roles
from myownmesh.services.service import CannotServe
from myownmesh.store.services_config import ServicesConfig
from support.signaling import new_device, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from myownmesh.services.worker_process import WorkerProcess
    from support.signaling import Device

PROCESSES = 2
MOST_DEVICES = 24
"""All of them at one of two processes: once in eight million."""


async def within(seconds: float, condition: Callable[[], bool]) -> None:
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.05)


def knows(device: Device, others: list[Device]) -> bool:
    heard = {each.peer for each in device.heard if isinstance(each, PeerAnnounced)}
    return heard >= {each.id for each in others if each is not device}


def left(device: Device) -> set[str]:
    return {each.peer for each in device.heard if isinstance(each, PeerLeft)}


def clients(process: psutil.Process) -> int:
    return sum(each.status == psutil.CONN_ESTABLISHED for each in process.net_connections("tcp"))


@pytest.mark.slow
async def test_processes_are_one_relay_also_when_one_stands_still_and_when_one_is_killed() -> None:
    reports: list[Report] = []
    processes = RelayProcesses(Job("127.0.0.1", 0, Limits()), PROCESSES, reports.append)
    before = psutil.Process().children()
    async with trio.open_nursery() as nursery:
        listening = await nursery.start(processes.serve)
        await within(60, lambda: len(psutil.Process().children()) == len(before) + PROCESSES)
        one, other = (each for each in psutil.Process().children() if each not in before)
        devices: list[Device] = []

        async def comes(device: Device) -> None:
            async with running(device):
                await trio.sleep_forever()

        while not (clients(one) and clients(other)):
            assert len(devices) < MOST_DEVICES
            devices.append(new_device(len(devices) + 1, f"ws://127.0.0.1:{listening.port}"))
            nursery.start_soon(comes, devices[-1])
            await within(60, lambda: clients(one) + clients(other) == len(devices))
        await within(60, lambda: all(knows(each, devices) for each in devices))
        assert reports[-1].activity.connections <= len(devices)

        one.suspend()
        gone = clients(one)
        await within(60, lambda: sum(len(left(each)) == gone for each in devices) >= clients(other))
        newcomer = new_device(MOST_DEVICES + 1, f"ws://127.0.0.1:{listening.port}")
        nursery.start_soon(comes, newcomer)
        await within(60, lambda: clients(other) > len(devices) - gone)  # nobody waits for the one that hangs
        one.resume()
        await within(60, lambda: knows(newcomer, devices))

        one.kill()
        await within(60, lambda: any("starting again" in (each.problem or "") for each in reports))
        await within(60, lambda: reports[-1].problem is None)
        await within(60, lambda: reports[-1].activity.connections == len(devices) + 1)
        nursery.cancel_scope.cancel()


async def test_an_address_that_is_taken_is_refused_with_its_name() -> None:
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        processes = RelayProcesses(Job("127.0.0.1", port), PROCESSES, lambda _report: None)
        with pytest.raises(CannotServe, match=f"cannot listen on TCP 127.0.0.1:{port}"):
            await processes.serve(task_status=trio.TASK_STATUS_IGNORED)


async def test_one_that_does_not_come_up_keeps_no_other_one_from_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    real, reports = relay_processes.worker, list[Report]()

    @asynccontextmanager
    async def without_the_second(
        word: str, job: Job, read: Callable[[bytes], Any], descriptors: Sequence[int]
    ) -> AsyncIterator[WorkerProcess[Report]]:
        if job.siblings is not None and job.siblings.own == 1:
            raise CannotServe("cannot start its process: Cannot allocate memory")
        async with real(word, job, read, descriptors) as process:
            yield process

    monkeypatch.setattr(relay_processes, "worker", without_the_second)
    processes = RelayProcesses(Job("127.0.0.1", 0, Limits()), 3, reports.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(processes.serve)
        await within(60, lambda: processes.serving == 2)
        assert reports[-1].problem == (
            "1 of 3 processes are starting again: cannot start its process: Cannot allocate memory"
        )
        nursery.cancel_scope.cancel()


async def test_without_a_folder_to_meet_in_it_does_not_serve_and_the_daemon_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "of a disk that is away"))
    block = {"enabled": True, "bind": "127.0.0.1", "port": 0, "workers": PROCESSES}
    services = Services(version="0.3.8", roles=hosted_roles(compat=dict))
    async with trio.open_nursery() as nursery:
        await nursery.start(services.run)
        await services.apply(ServicesConfig.from_json({"signaling": block}))
        report = services.report(joined=0).signaling
        assert isinstance(report, WaitingServer)
        assert "no folder to meet in: No such file or directory" in report.error
        nursery.cancel_scope.cancel()


def test_what_processes_do_is_told_as_what_one_relay_does() -> None:
    before, each = RelayActivity(0, 5, 0, 7), (RelayActivity(1, 2, 3, 4), RelayActivity(10, 20, 2, 40))
    assert together(before, each) == RelayActivity(11, 27, 3, 51)
    assert together(before, ()) == RelayActivity(0, 5, 0, 7)
