"""Our TURN server as a process, and clients that others wrote: aioice's, and coturn's where it is installed."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import subprocess
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import trio
from aioice.turn import create_turn_endpoint
from msgspec import to_builtins

from myownmesh.services.coturn import coturn_config
from myownmesh.services.host import Services
from myownmesh.services.roles import hosted_roles
from myownmesh.store.services_config import ServicesConfig
from myownmesh.turn import stun
from support.daemons import daemon, host_relay, network_record
from support.namespaces import machines_around, needs_namespaces
from support.tls import self_signed
from support.tools import needs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


HERE = "127.0.0.1"
GUEST = {"username": "guest", "password": "theguestpassword"}
PATIENCE_S = 20.0
BINDING = stun.encode(stun.BINDING, bytes(range(12)), [])


@asynccontextmanager
async def manager() -> AsyncIterator[Services]:
    services = Services(version="0.3.8", roles=hosted_roles(compat=dict))
    with trio.fail_after(100):
        async with trio.open_nursery() as nursery:
            await nursery.start(services.run)
            yield services
            nursery.cancel_scope.cancel()


def turn(port: int = 0, **members: Any) -> dict[str, Any]:
    return {"enabled": True, "bind": HERE, "port": port, "public_ip": HERE, **members}


async def apply(services: Services, **members: Any) -> Any:
    await services.apply(ServicesConfig.from_json(members))
    return report(services)


def report(services: Services) -> Any:
    return to_builtins(services.report(joined=0))


def port_of(one: dict[str, Any]) -> int:
    return int(one["listen"].rpartition(":")[2])


async def until(condition: Callable[[], object], what: str) -> None:
    with trio.move_on_after(PATIENCE_S):
        while not condition():
            await trio.sleep(0.02)
        return
    raise AssertionError(what)


def free_port() -> int:
    with socket.socket() as one:
        one.bind((HERE, 0))
        return int(one.getsockname()[1])


async def answers_stun(port: int) -> bool:
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        await client.connect((HERE, port))
        with trio.move_on_after(1.0), suppress(OSError):
            await client.send(BINDING)
            message = stun.decode(await client.recv(1500))
            return message is not None and message.kind == stun.BINDING | stun.SUCCESS
    return False


def workers() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "turn-worker" in each.cmdline()]


class Heard(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.datagrams: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.datagrams.put_nowait((data, addr))


async def exchanged(address: tuple[str, int], **how: Any) -> int:
    """Two aioice clients send each other datagrams through their allocations; how many came."""
    async with asyncio.timeout(PATIENCE_S):
        ends = [await create_turn_endpoint(Heard, address, lifetime=60, **GUEST, **how) for _ in range(2)]
        relayed = [transport.get_extra_info("sockname") for transport, _ in ends]
        count = 0
        for size in (1, 3, 1000, 1400):
            for at in (0, 1):
                ends[at][0].sendto(bytes([at]) * size, relayed[1 - at])
            for at in (0, 1):
                # The first to an address that the other has not permitted yet is lost, as on any such path.
                try:
                    async with asyncio.timeout(0.3 if size == 1 else PATIENCE_S):
                        assert await ends[at][1].datagrams.get() == (bytes([1 - at]) * size, relayed[1 - at])
                except TimeoutError:
                    assert size == 1
                else:
                    count += size > 1
        for transport, _ in ends:
            transport.close()
        await asyncio.sleep(0.1)
        return count


async def test_clients_of_others_relay_over_udp_tcp_and_tls(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    trusting = ssl.create_default_context(cafile=certificate)
    async with manager() as services:
        tls_port = free_port()
        tls = {"cert_file": str(certificate), "key_file": str(certificate), "port": tls_port}
        made = await apply(services, stun={"enabled": True}, turn=turn(tcp_enabled=True, tls=tls))
        port = port_of(made["turn"])
        assert made["stun"]["running"]
        assert made["stun"]["listen"] == made["turn"]["listen"], "TURN answers for STUN"
        assert await answers_stun(port)
        for where, how in (
            (port, {"transport": "udp"}),
            (port, {"transport": "tcp"}),
            (tls_port, {"transport": "tcp", "ssl": trusting}),
        ):
            assert await trio.to_thread.run_sync(lambda w=where, h=how: asyncio.run(exchanged((HERE, w), **h))) == 6, (
                how
            )

        def relayed() -> dict[str, int]:
            told: dict[str, int] = report(services)["turn"]["relayed"]
            return told

        await until(lambda: relayed()["allocations_total"] == 6 and not relayed()["allocations"], "not all ended")
        assert relayed()["packets_up"] >= 24
        (worker,) = workers()
        environ = worker.environ()
        assert not [name for name in environ if name.startswith("MYOWN") or name == "HOME"]
        assert worker.memory_info().rss < 30 << 20

        # A certificate that is renewed is seen by whoever comes next; one that is broken leaves the old one in use.
        before = await trio.to_thread.run_sync(ssl.get_server_certificate, (HERE, tls_port))
        self_signed(tmp_path)

        async def shown() -> str:
            return await trio.to_thread.run_sync(ssl.get_server_certificate, (HERE, tls_port))

        with trio.fail_after(PATIENCE_S):
            while (renewed := await shown()) == before:
                await trio.sleep(0.2)
        certificate.write_text("nonsense")
        await until(lambda: report(services)["turn"]["problem"], "nobody is told of a broken certificate")
        assert await shown() == renewed


@needs("turnutils_uclient", "coturn", "coturn's client is not tried on our TURN server")
@pytest.mark.parametrize("how", [[], ["-t"]], ids=["UDP", "TCP"])
async def test_coturns_own_client_loses_nothing(how: list[str]) -> None:
    async with manager() as services:
        made = await apply(services, turn=turn(tcp_enabled=True))
        words = [
            "-y",
            "-c",
            *how,
            "-m",
            "2",
            "-n",
            "50",
            "-l",
            "1000",
            "-z",
            "2",
            "-u",
            "guest",
            "-w",
            GUEST["password"],
        ]
        done = await trio.run_process(
            ["turnutils_uclient", *words, "-p", str(port_of(made["turn"])), HERE],
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
        said = done.stdout.decode()
        assert "Total lost packets 0 (0.000000%), total send dropped 0" in said, said
        assert "tot_send_msgs=100, tot_recv_msgs=100" in said, said


@needs("turnserver", "coturn", "what we write for coturn is not tested")
async def test_coturn_takes_the_configuration_that_we_write_for_it(tmp_path: Path) -> None:
    port = free_port()
    block = ServicesConfig.from_json(
        {"turn": turn(port, tcp_enabled=True, relay_port_min=50000, relay_port_max=50099)}
    ).turn
    written = tmp_path / "turnserver.conf"
    written.write_text(coturn_config(block, private_peers=False))
    words = ["-c", str(written), "--log-file", "stdout", "--pidfile", str(tmp_path / "pid"), "-b", str(tmp_path / "db")]
    with (tmp_path / "log").open("wb") as log:
        process = await trio.lowlevel.open_process(["turnserver", *words], stdout=log, stderr=log)
    try:
        with trio.fail_after(PATIENCE_S):
            while not await answers_stun(port):
                await trio.sleep(0.1)

        async def allocates() -> tuple[str, int]:
            transport, _ = await create_turn_endpoint(Heard, (HERE, port), **GUEST)
            name: tuple[str, int] = transport.get_extra_info("sockname")
            transport.close()
            await asyncio.sleep(0.1)
            return name

        relayed = await trio.to_thread.run_sync(lambda: asyncio.run(allocates()))
        assert relayed[0] == HERE
        assert 50000 <= relayed[1] <= 50099
    finally:
        process.kill()
        await process.wait()
    said = (tmp_path / "log").read_text()
    assert "Bad configuration" not in said, said


async def test_a_worker_that_dies_is_told_and_comes_back() -> None:
    async with manager() as services:
        port = port_of((await apply(services, turn=turn(free_port())))["turn"])
        changes: list[bool] = []
        services.on_change(lambda: changes.append(report(services)["turn"]["running"]))
        (worker,) = workers()
        worker.kill()
        await until(lambda: changes, "nobody noticed")
        down = report(services)["turn"]
        assert not down["running"]
        assert down["error"] == "its process has ended (signal 9)"
        assert services.advert().tags == ()
        await until(lambda: changes[-1], "it stays away")
        assert changes == [False, True]
        assert services.advert().tags == ("service:turn",)
        assert await answers_stun(port)
    assert not workers()


async def test_any_order_of_edits_on_one_port_ends_in_what_is_configured() -> None:
    port = free_port()
    on, off = {"enabled": True, "bind": HERE, "port": port}, {"enabled": False}
    async with manager() as services:
        for stun_block, turn_block in (
            (on, off),
            (off, turn(port)),
            (on, turn(port, realm="other")),
            (on, off),
            (on, turn(port)),
            (off, off),
        ):
            made = await apply(services, stun=stun_block, turn=turn_block)
            wanted = stun_block["enabled"], turn_block["enabled"]
            assert (made["stun"]["running"], made["turn"]["running"]) == wanted, made
            assert await answers_stun(port) is any(wanted)
            assert len(workers()) == any(wanted)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind((HERE, port))
            made = await apply(services, stun=on, turn=turn(port))
            for role in ("stun", "turn"):
                assert f"cannot listen on UDP {HERE}:{port}" in made[role]["error"]
            assert services.advert().tags == ()


async def test_streams_that_speak_no_turn_are_closed_and_cost_others_nothing() -> None:
    async with manager() as services, AsyncExitStack() as streams:
        port = port_of((await apply(services, turn=turn(tcp_enabled=True)))["turn"])

        async def connected() -> trio.SocketStream:
            return await streams.enter_async_context(await trio.open_tcp_stream(HERE, port))

        half = await connected()
        await half.send_all(BINDING[:10])
        for noise in (b"\xff" * 100, b"\x16\x03\x01" + bytes(200) + b"\x80" * 70000):
            async with await trio.open_tcp_stream(HERE, port) as stream:
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(noise)
                with trio.fail_after(PATIENCE_S), suppress(trio.BrokenResourceError):
                    while await stream.receive_some():
                        pass
        # 30 MB of questions whose answers nobody reads: they are dropped, and the memory stays.
        deaf = await connected()
        (worker,) = workers()
        before = worker.memory_info().rss
        with trio.move_on_after(3.0):
            for _ in range(300):
                await deaf.send_all(BINDING * 5000)
        assert worker.memory_info().rss - before < 4 << 20
        await half.send_all(BINDING[10:])
        message = stun.decode(await half.receive_some())
        assert message is not None
        assert message.kind == stun.BINDING | stun.SUCCESS
        assert await answers_stun(port)


@needs_namespaces
@needs("turnserver", "coturn", "our client is not tried on coturn")
async def test_devices_meet_through_coturn_over_udp_tcp_and_tls(tmp_path: Path) -> None:
    """With the configuration that we print for it, and nothing but its relays between the two devices."""
    public = "203.0.113.1"
    certificate = self_signed(tmp_path, address=public)
    tls = {"cert_file": str(certificate), "key_file": str(certificate), "port": 5349}
    members = {"bind": public, "public_ip": public, "tcp_enabled": True, "tls": tls}
    block = ServicesConfig.from_json({"turn": {"enabled": True, **members}}).turn
    written = tmp_path / "turnserver.conf"
    written.write_text(coturn_config(block, private_peers=False))
    trusting = {"SSL_CERT_FILE": str(certificate)}
    with machines_around(public) as (host, *outer):
        words = ["-c", str(written), "--log-file", "stdout", "--pidfile", str(tmp_path / "pid")]
        with (tmp_path / "log").open("wb") as log:
            coturn = await trio.lowlevel.open_process(
                [*host.enter, "turnserver", *words, "-b", str(tmp_path / "db")], stdout=log, stderr=log
            )
        try:
            async with (
                daemon(tmp_path / "host", run_in=host.enter) as middle,
                daemon(tmp_path / "a", run_in=outer[0].enter, environ=trusting) as a,
                daemon(tmp_path / "b", run_in=outer[1].enter, environ=trusting) as b,
            ):
                url = await host_relay(middle, bind=public)
                ways = {
                    "by-udp": f"turn:{public}:3478",
                    "by-tcp": f"turn:{public}:3478?transport=tcp",
                    "by-tls": f"turns:{public}:5349?transport=tcp",
                }
                for name, address in ways.items():
                    servers = [{"urls": [address], "username": "guest", "credential": GUEST["password"]}]
                    record = network_record(name, url, auto_approve=True, stun_servers=[], turn_servers=servers)
                    for device in (a, b):
                        await device.ask("network_add", config=record)
                for name in ways:
                    for one, other in ((a, b), (b, a)):
                        pair = (await one.wait_for_peer(name, other.device_id, patience=3 * PATIENCE_S))[
                            "selected_pair"
                        ]
                        assert pair != {"local": "host", "remote": "host"}, name
        finally:
            coturn.kill()
            await coturn.wait()


@needs_namespaces
async def test_devices_that_reach_only_the_host_meet_through_its_turn(tmp_path: Path) -> None:
    """Three machines, no route between the outer two: relay and TURN of the one in the middle are all there is."""
    public = "203.0.113.1"
    with machines_around(public) as (host, *outer):
        async with (
            daemon(tmp_path / "host", run_in=host.enter) as middle,
            daemon(tmp_path / "a", run_in=outer[0].enter) as a,
            daemon(tmp_path / "b", run_in=outer[1].enter) as b,
        ):
            url = await host_relay(middle, bind=public)
            services = (await middle.ask("services_status"))["config"]
            services["turn"] |= {"enabled": True, "tcp_enabled": True, "public_ip": public}
            made = (await middle.ask("services_set", services=services))["status"]
            assert made["turn"]["running"], made
            for name, query in (("by-udp", ""), ("by-tcp", "?transport=tcp")):
                urls = [f"turn:{public}:3478{query}"]
                servers = [{"urls": urls, "username": "guest", "credential": GUEST["password"]}]
                record = network_record(name, url, auto_approve=True, stun_servers=[], turn_servers=servers)
                for device in (a, b):
                    await device.ask("network_add", config=record)
            for name in ("by-udp", "by-tcp"):
                for one, other in ((a, b), (b, a)):
                    pair = (await one.wait_for_peer(name, other.device_id))["selected_pair"]
                    # Each end may send from its own socket to the other's allocation, but never from socket to socket.
                    assert pair != {"local": "host", "remote": "host"}
            with trio.fail_after(PATIENCE_S):
                while (await middle.ask("services_status"))["status"]["turn"]["relayed"]["packets_up"] < 10:
                    await trio.sleep(0.1)
            children = psutil.Process(middle.process.pid).children(recursive=True) if middle.process else []
            (worker,) = [each for each in children if "turn-worker" in each.cmdline()]
            await middle.stop(signal.SIGKILL)
            with trio.fail_after(5.0):
                while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
                    await trio.sleep(0.02)
