"""Who asks a hosted TURN server for more than anybody may have: 486, at a real worker with the limits it ships with.

The worker is the daemon's own, and the daemon has a link of its own all the while.
"""

from __future__ import annotations

import itertools
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import psutil
import pytest
import trio

from myownmesh.turn import stun
from myownmesh.turn.limits import Limits
from support.daemons import PATIENCE_S, daemon, host_relay, network_record
from support.lan_stranger import inside
from support.namespaces import machines_around, needs_namespaces
from support.turn_client import UDP, TurnClient, allocate_all

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemons import Daemon
    from support.namespaces import Machine

pytestmark = [needs_namespaces, pytest.mark.slow]

NETWORK: Final = "flooded"
PUBLIC: Final = "203.0.113.1"
PORT: Final = 3478
LIMITS: Final = Limits()
OVER_QUOTA: Final = 486
USERS: Final = tuple(f"user{number}" for number in range(5))
PASSWORD: Final = "known to all"
REFUSED: Final = 500
"""Requests of each kind that come when everything is full."""
STRANGERS: Final = 20_000
"""Requests that nobody signed."""
ECHO: Final = "echo"


class Crowd:
    """TURN clients of one machine that has as many addresses as it likes, each a network of its own."""

    def __init__(self, machine: Machine, router: Machine, gateway: str) -> None:
        self._machine, self._router, self._gateway = machine, router, gateway
        self._numbers = itertools.count(1)
        self._ports = itertools.count(10_000)
        self._sockets: list[socket.socket] = []

    def address(self) -> str:
        """One more."""
        address = f"100.65.{next(self._numbers)}.1"
        self._machine.ip("addr", "add", f"{address}/32", "dev", "lo")
        self._router.ip("route", "add", f"{address}/32", "via", self._gateway)
        return address

    def sockets(self, address: str, count: int) -> list[socket.socket]:
        """Connected to the server, each from a port of its own: what an earlier one has allocated stays."""

        def make() -> list[socket.socket]:
            made = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
            for one in made:
                one.bind((address, next(self._ports)))
                one.connect((PUBLIC, PORT))
            return made

        sockets = inside(self._machine, make)
        self._sockets += sockets
        return sockets

    def close(self) -> None:
        """No socket is open any more; the server does not notice."""
        for one in self._sockets:
            one.close()
        self._sockets.clear()

    def client(self, address: str, user: str) -> TurnClient:
        """One that has asked nothing yet."""
        [made] = self.sockets(address, 1)
        return TurnClient(made, user, PASSWORD)

    def takes(self, address: str, user: str, most: int) -> int:
        """How many allocations it gets of one more than `most`; they stay when their sockets are closed."""
        sockets = self.sockets(address, most + 1)
        codes = allocate_all([TurnClient(each, user, PASSWORD) for each in sockets])
        for each in sockets:
            each.close()
        got = codes.count(None)
        assert codes == [None] * got + [OVER_QUOTA] * (len(codes) - got), "who came first was served"
        return got


async def relayed(host: Daemon) -> dict[str, int]:
    told: dict[str, int] = (await host.ask("services_status"))["status"]["turn"]["relayed"]
    return told


def worker_of(host: Daemon) -> psutil.Process:
    assert host.process is not None
    (worker,) = [each for each in psutil.Process(host.process.pid).children() if "turn-worker" in each.cmdline()]
    return worker


async def answer_calls(events: Any, callee: Daemon) -> None:
    while True:
        frame = await events.frame()
        if frame["kind"] == "rpc_inbound":
            await callee.ask("rpc_respond", request_id=frame["request_id"], ok=frame["payload"])


async def call_all_the_while(host: Daemon, peer: Daemon, answered: list[int]) -> None:
    """Calls over the host's own link, one behind the other."""
    control = await host.control()
    for number in itertools.count():
        answer = await control.ask("rpc_call", network=NETWORK, peer=peer.device_id, method=ECHO, payload={"n": number})
        assert {"n": number} in answer.values(), answer
        answered.append(number)
        await trio.sleep(0.02)


async def test_each_flood_ends_at_its_limit_and_costs_the_host_nothing(tmp_path: Path) -> None:
    with machines_around(PUBLIC) as (host_machine, outer, near):
        async with (
            daemon(tmp_path / "host", run_in=host_machine.enter) as host,
            daemon(tmp_path / "near", run_in=near.enter) as peer,
        ):
            record = network_record(NETWORK, await host_relay(host, bind=PUBLIC), auto_approve=True)
            services = (await host.ask("services_status"))["config"]
            credentials = [{"username": user, "password": PASSWORD} for user in USERS]
            services["turn"] |= {"enabled": True, "bind": PUBLIC, "public_ip": PUBLIC, "credentials": credentials}
            assert (await host.ask("services_set", services=services))["status"]["turn"]["running"]
            for device in (host, peer):
                await device.ask("network_add", config=record)
            await host.wait_for_peer(NETWORK, peer.device_id)
            events = await peer.control()
            client_id = (await events.ask("events_subscribe"))["client_id"]
            await peer.ask("rpc_register", client_id=client_id, network=NETWORK, method=ECHO, streaming=False)
            answered: list[int] = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer_calls, events, peer)
                nursery.start_soon(call_all_the_while, host, peer, answered)
                with closing(Crowd(outer, host_machine, "198.51.0.2")) as crowd:
                    memory = await trio.to_thread.run_sync(flood, crowd, worker_of(host))
                assert answered, "no call over the host's own link was answered meanwhile"
                meanwhile = len(answered)
                with trio.fail_after(PATIENCE_S):
                    while len(answered) == meanwhile or (await relayed(host))["over_quota"] < 3 * REFUSED:
                        await trio.sleep(0.02)
                nursery.cancel_scope.cancel()
            assert (await relayed(host))["allocations"] == LIMITS.allocations
            assert memory < 4 << 20, "what is refused costs memory"


def flood(crowd: Crowd, worker: psutil.Process) -> int:
    """Fill everything, then go on asking. Bytes that the going on cost the worker."""
    first, second = crowd.address(), crowd.address()
    guest = crowd.client(first, USERS[0])
    assert guest.allocate() is None
    assert crowd.takes(first, USERS[0], LIMITS.per_address) == LIMITS.per_address - 1
    assert crowd.takes(second, USERS[0], LIMITS.per_address) == LIMITS.per_user - LIMITS.per_address
    third = crowd.address()
    assert crowd.takes(third, USERS[0], 0) == 0, "one user has no more, wherever it is"
    taken = LIMITS.per_user
    for user in USERS[1:]:
        for address in (crowd.address(), crowd.address()):
            taken += crowd.takes(address, user, LIMITS.per_address)
    assert taken == LIMITS.allocations
    for number in range(LIMITS.permissions):
        assert guest.bind(0x4000 + number, (f"198.18.0.{number}", 9)) is None
    late = crowd.client(third, USERS[-1])
    assert late.allocate() == OVER_QUOTA
    before = worker.memory_info().rss
    for number in range(REFUSED):
        late.ask_for_an_allocation()
        assert late.take_the_allocation() == OVER_QUOTA
        assert guest.permit(f"198.19.{number >> 8}.{number & 255}") == OVER_QUOTA
        assert guest.bind(0x5000 + number, (f"198.18.{number >> 8}.1", 10 + number)) == OVER_QUOTA
    [stranger] = crowd.sockets(third, 1)
    for number in range(STRANGERS):
        stranger.send(stun.encode(stun.ALLOCATE, number.to_bytes(12), [UDP]))
    assert guest.permit("198.18.0.1") is None, "what is there is renewed"
    return int(worker.memory_info().rss - before)
