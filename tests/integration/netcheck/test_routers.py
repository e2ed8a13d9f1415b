"""Two devices behind real routers that translate addresses: only TURN links them, and what a person is told of it."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from integration.netcheck.test_netcheck import look
from integration.netcheck.test_ping import app, ping
from support.daemons import daemon, network_record
from support.namespaces import machines_apart, machines_around, needs_namespaces, plug_in
from support.nat import let_no_udp_pass, needs_nft, passes_on, symmetric
from support.tls import self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.namespaces import Machine

pytestmark = [needs_namespaces, needs_nft]

NETWORK: Final = "apart"
PUBLIC: Final = "203.0.113.1"
SECOND: Final = "203.0.113.2"
TLS_PORT: Final = 5349
PASSWORD: Final = {"username": "guest", "credential": "theguestpassword"}


@contextmanager
def behind_routers() -> Iterator[tuple[Machine, list[Machine], list[Machine]]]:
    """A machine on the internet, which hands everything on; two routers at it, and a device behind each."""
    with machines_around(PUBLIC) as (host, *routers), machines_apart(2) as devices:
        passes_on(host)
        host.ip("addr", "add", f"{SECOND}/32", "dev", "lo")
        for number, (router, device) in enumerate(zip(routers, devices, strict=True)):
            # What is relayed comes from the address that is lent, as it does on the internet.
            host.ip("route", "replace", f"198.51.{number}.0/24", "dev", f"to{number}", "src", PUBLIC)
            plug_in(router, device)
            router.add_address("lan0", f"192.168.{number}.1/24")
            device.add_address("lan0", f"192.168.{number}.2/24")
            device.ip("route", "add", "default", "via", f"192.168.{number}.1")
            symmetric(router)
        yield host, routers, devices


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mesh") as name:
        yield Path(name)


async def test_symmetric_routers_and_then_no_udp_at_both_ends(folder: Path) -> None:
    certificate = self_signed(folder, address=PUBLIC)
    trusting = {"SSL_CERT_FILE": str(certificate)}
    with behind_routers() as (host, routers, devices):
        async with (
            daemon(folder / "host", run_in=host.enter) as middle,
            daemon(folder / "second", run_in=host.enter) as second,
            daemon(folder / "a", run_in=devices[0].enter, environ=trusting) as a,
            daemon(folder / "b", run_in=devices[1].enter, environ=trusting) as b,
        ):
            turn = {"enabled": True, "bind": PUBLIC, "public_ip": PUBLIC, "port": 0, "tcp_enabled": True}
            turn["tls"] = {"cert_file": str(certificate), "key_file": str(certificate), "port": TLS_PORT}
            relay = {"enabled": True, "bind": PUBLIC, "port": 0}
            report = (await middle.ask("services_set", services={"signaling": relay, "turn": turn}))["status"]
            stun = {"enabled": True, "bind": SECOND, "port": 0}
            other = (await second.ask("services_set", services={"stun": stun}))["status"]["stun"]
            url, server = f"ws://{report['signaling']['listen']}", report["turn"]["listen"]
            record: dict[str, Any] = network_record(
                NETWORK,
                url,
                auto_approve=True,
                stun_servers=[{"urls": [f"stun:{server}", f"stun:{other['listen']}"]}],
                turn_servers=[{"urls": [f"turn:{server}", f"turn:{server}?transport=tcp"], **PASSWORD}],
            )
            for device in (a, b):
                await device.ask("network_add", config=record)
            await a.wait_for_peer(NETWORK, b.device_id)
            status, answer = await look(a.home, devices[0], code="symmetric_nat")
            assert (status, answer["verdict"], answer["nat"]["state"]) == (0, "works", "dependent"), answer
            assert len(set(answer["nat"]["seen_as"])) == 2, "another port for each destination"
            assert {seen.split(":")[0] for seen in answer["nat"]["seen_as"]} == {"198.51.0.2"}
            assert "TURN" in answer["sentence"]
            for one, machine, peer in ((a, devices[0], b), (b, devices[1], a)):
                status, said = await app(one, machine, *ping(peer, "--count", "1", "--wait", "0"))
                assert (status, said["outcome"], said["path"]) == (4, "relayed", "TURN"), said

            # And now no datagram passes any more.
            for router in routers:
                let_no_udp_pass(router)
            for device in (a, b):
                await device.ask("network_remove", network=NETWORK)
            for device in (a, b):
                await device.ask("network_add", config=record)
            await a.wait_for_peer(NETWORK, b.device_id)
            status, answer = await look(a.home, devices[0], code="udp_blocked")
            assert (status, answer["verdict"], answer["udp"]["state"]) == (0, "works", "blocked"), answer
            assert "let UDP out" in answer["sentence"]
            status, by_the_app = await app(a, devices[0], "netcheck")
            assert (status, by_the_app["code"]) == (0, "udp_blocked"), by_the_app
            assert by_the_app["sentence"] == answer["sentence"]
            ways = []
            for one, machine, peer in ((a, devices[0], b), (b, devices[1], a)):
                status, said = await app(one, machine, *ping(peer, "--count", "1", "--wait", "0"))
                assert (status, said["outcome"], said["path"]) == (4, "relayed", "TURN"), said
                ways.append(said["way"])
            assert f"over TURN by TCP: {server}, configured here" in ways, ways

            # The server's own port is what many offices stop as well; TLS to it looks like anything else.
            by_tls = f"turns:{PUBLIC}:{TLS_PORT}?transport=tcp"
            record |= {"turn_servers": [{"urls": [by_tls], **PASSWORD}]}
            for device in (a, b):
                await device.ask("network_remove", network=NETWORK)
            for device in (a, b):
                await device.ask("network_add", config=record)
            await a.wait_for_peer(NETWORK, b.device_id)
            status, answer = await look(a.home, devices[0], code="udp_blocked", **trusting)
            assert (status, answer["verdict"], answer["udp"]["state"]) == (0, "works", "blocked"), answer
            assert "over TURN by TLS, which is slower, because UDP is blocked here" in answer["sentence"], answer
            [row] = [row for row in answer["servers"] if row["kind"] == "turn"]
            assert (row["url"], row["over"], row["ok"]) == (by_tls, "tls", True), row
            ways = []
            for one, machine, peer in ((a, devices[0], b), (b, devices[1], a)):
                status, said = await app(one, machine, *ping(peer, "--count", "1", "--wait", "0"))
                assert (status, said["outcome"], said["path"]) == (4, "relayed", "TURN"), said
                ways.append(said["way"])
            assert f"over TURN by TLS: {PUBLIC}:{TLS_PORT}, configured here" in ways, ways
