"""A whole daemon whose relay has several processes: devices meet, and a process or the daemon itself is killed."""

from __future__ import annotations

import json
import signal
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import trio

from myownmesh.protocol.signals import PeerAnnounced, PeerLeft
from myownmesh.signaling.nostr import NostrKey
from support.daemons import daemon, network_record
from support.signaling import bare_client, new_device, running, ws_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.daemons import Daemon
    from support.signaling import BareSocket, Device

WORKERS = 3
MOST_CLIENTS = 40
MOST = 6
"""Connections of one address."""
REQ = b'["REQ","s",{"#r":["room"]}]'
PATIENCE_S = 60


async def within(condition: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not condition():
            await trio.sleep(0.05)


def workers_of(host: Daemon) -> list[psutil.Process]:
    assert host.process is not None
    found = []
    for each in psutil.Process(host.process.pid).children(recursive=True):
        try:
            if "relay-worker" in each.cmdline():
                found.append(each)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue  # it ends right now
    return found


def is_over(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def clients(process: psutil.Process) -> int:
    try:
        return sum(each.status == psutil.CONN_ESTABLISHED for each in process.net_connections("tcp"))
    except psutil.NoSuchProcess:
        return 0


async def set_workers(host: Daemon, workers: Any, **members: Any) -> dict[str, Any]:
    block = {"enabled": True, "bind": "127.0.0.1", "port": 0, "workers": workers, **members}
    answer: dict[str, Any] = (await host.ask("services_set", services={"signaling": block}))["status"]["signaling"]
    assert answer["running"], answer
    return answer


async def is_whole(host: Daemon, connections: int) -> bool:
    status = (await host.ask("services_status"))["status"]["signaling"]
    assert status["running"], status
    return (status["activity"]["connections"], status["problem"], status["processes"]) == (connections, None, WORKERS)


def knows(device: Device, others: list[Device]) -> bool:
    heard = {each.peer for each in device.heard if isinstance(each, PeerAnnounced)}
    return heard >= {each.id for each in others if each is not device}


def left(device: Device) -> list[str]:
    return [each.peer for each in device.heard if isinstance(each, PeerLeft)]


async def call_over_the_link(host: Daemon, guest: Daemon) -> None:
    """One call, of the guest's method, over the link that the processes brought about."""
    events = await guest.control()
    client_id = (await events.ask("events_subscribe"))["client_id"]
    await guest.ask("rpc_register", client_id=client_id, network="home", method="echo", streaming=False)
    async with trio.open_nursery() as nursery:

        async def calls() -> None:
            asked = {"network": "home", "peer": guest.device_id, "method": "echo", "payload": {"n": 1}}
            answer = await host.ask("rpc_call", **asked)
            assert {"n": 1} in answer.values(), answer

        nursery.start_soon(calls)
        while (frame := await events.frame())["kind"] != "rpc_inbound":
            pass
        await guest.ask("rpc_respond", request_id=frame["request_id"], ok=frame["payload"])


@pytest.mark.slow
async def test_devices_meet_at_several_processes_and_who_moves_to_another_one_has_not_left(tmp_path: Path) -> None:
    async with daemon(tmp_path / "host") as host, daemon(tmp_path / "guest") as guest, trio.open_nursery() as nursery:
        url = f"ws://{(await set_workers(host, WORKERS))['listen']}"
        await within(lambda: len(workers_of(host)) == WORKERS)
        found = workers_of(host)
        for each in (host, guest):
            await each.ask("network_add", config=network_record("home", url, auto_approve=True))
        await host.wait_for_peer("home", guest.device_id)
        await guest.wait_for_peer("home", host.device_id)

        await call_over_the_link(host, guest)

        devices: list[Device] = []
        scopes: dict[str, trio.CancelScope] = {}
        at: dict[str, psutil.Process] = {}

        async def comes(device: Device) -> None:
            with trio.CancelScope() as scopes[device.id]:
                async with running(device):
                    await trio.sleep_forever()

        def members(process: psutil.Process) -> list[Device]:
            return [each for each in devices if at[each.id] == process]

        while sum(len(members(each)) > 1 for each in found) < 2:
            assert len(devices) < MOST_CLIENTS
            counts = {each: clients(each) for each in found}
            devices.append(made := new_device(len(devices) + 1, url))
            nursery.start_soon(comes, made)
            await within(lambda: any(clients(each) > counts[each] for each in found))  # noqa: B023
            at[made.id] = next(each for each in found if clients(each) > counts[each])
        await within(lambda: all(knows(each, devices) for each in devices))
        assert not any(left(each) for each in devices)

        victim = max(found, key=lambda each: len(members(each)))
        lost, *_ = members(victim)
        victim.kill()
        scopes[lost.id].cancel()
        rest = [each for each in devices if each is not lost]
        await within(lambda: all(left(each) for each in rest))  # after fifteen seconds, in which the others came back
        assert [left(each) for each in rest] == [[lost.id]] * len(rest)
        await within(lambda: len(workers_of(host)) == WORKERS)
        with trio.fail_after(PATIENCE_S):
            while not await is_whole(host, len(rest) + 2):
                await trio.sleep(0.05)

        gone = rest.pop()
        scopes[gone.id].cancel()
        await within(lambda: all(gone.id in left(each) for each in rest))
        assert [left(each) for each in rest] == [[lost.id, gone.id]] * len(rest)
        await guest.wait_for_peer("home", host.device_id)
        last = workers_of(host)
        await host.stop(signal.SIGKILL)
        await within(lambda: all(map(is_over, last)))
        nursery.cancel_scope.cancel()


async def hears(client: BareSocket) -> Any:
    return json.loads((await client.read_frame())[1])


async def test_the_number_of_processes_changes_while_it_runs_and_all_of_them_count_together(tmp_path: Path) -> None:
    async with daemon(tmp_path / "host") as host:
        await set_workers(host, "x")  # one, as without it
        (first,) = workers_of(host)
        port = int(
            (await set_workers(host, WORKERS, limits={"max_connections_per_ip": MOST}))["listen"].rpartition(":")[2]
        )
        await within(lambda: len(workers_of(host)) == WORKERS)
        found = workers_of(host)
        assert is_over(first)

        key = NostrKey(b"\x07" * 32)
        said = key.sign(created_at=time.time_ns() // 10**9, kind=21077, tags=(("r", "room"),), content="hello")
        publishing = ws_frame(f'["EVENT",{said.json()}]'.encode(), masked=True)
        async with AsyncExitStack() as stack:
            several = [await stack.enter_async_context(bare_client(port)) for _ in range(MOST)]
            with trio.fail_after(PATIENCE_S):
                for each in several:
                    await each.send(ws_frame(REQ, masked=True))
                    assert await hears(each) == ["EOSE", "s"]
                while not await is_refused(port):  # until all processes have heard how many are at the others
                    await trio.sleep(0.05)
                for each in several:
                    await each.send(publishing)
                for each in several:
                    heard = [await hears(each), await hears(each)]
                    assert sorted(words[0] for words in heard) == ["EVENT", "OK"]
                for each in several:  # and nothing of what all the others said again
                    await each.send(ws_frame(b"", 9, masked=True))
                    assert (await each.read_frame())[0] == 10
        await host.stop()
        assert all(map(is_over, found))


async def is_refused(port: int) -> bool:
    async with bare_client(port) as more:
        await more.send(ws_frame(REQ, masked=True))
        return (await hears(more))[0] == "NOTICE"
