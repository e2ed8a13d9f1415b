"""`myownmesh netcheck` on machines of their own: what is measured there, by a daemon and without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import trio

from myownmesh.services.coturn import coturn_config
from myownmesh.store.services_config import ServicesConfig
from support.daemons import daemon, host_relay
from support.namespaces import LAN_HOST, lan, needs_namespaces
from support.tls import self_signed
from support.tools import needs
from support.warm import MACHINE, words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.namespaces import Machine

pytestmark = needs_namespaces

NETWORK: Final = "home"
PUBLIC, SECOND, NOBODY = "203.0.113.1", "203.0.113.2", "203.0.113.9"
GUEST: Final = {"username": "guest", "credential": "theguestpassword"}
PATIENCE_S: Final = 40


@contextmanager
def machines(count: int = 1) -> Iterator[tuple[Machine, list[Machine]]]:
    """A host with two addresses beyond the local network, and devices beside it for which it is the way out."""
    with lan(count) as (host, devices):
        for address in (PUBLIC, SECOND):
            host.ip("addr", "add", f"{address}/32", "dev", "lo")
        for device in devices:
            device.ip("route", "add", "default", "via", LAN_HOST)
        yield host, devices


def record(**members: Any) -> dict[str, Any]:
    signaling = {"servers": members.pop("relays", []), "mdns": members.pop("mdns", False), "public_fallback": False}
    if not signaling["servers"]:
        signaling["strategy"] = "none"
    return {
        "id": NETWORK,
        "network_id": NETWORK,
        "signaling": signaling,
        "stun_servers": [],
        "turn_servers": [],
        **members,
    }


def turn(*urls: str) -> list[dict[str, Any]]:
    return [{"urls": list(urls), **GUEST}]


def configure(home: Path, *networks: dict[str, Any]) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.json").write_text(json.dumps({"networks": networks}))


@contextmanager
def program(*command: str, log: Path) -> Iterator[None]:
    """A program of the host for the length of the block, once it has said something."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as running:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not log.stat().st_size:
                assert time.monotonic() < deadline, "it says nothing"
                time.sleep(0.01)
            yield
        finally:
            running.kill()


async def look(
    home: Path, device: Machine, *networks: dict[str, Any], code: str | None = None, **environ: str
) -> tuple[int, dict[str, Any]]:
    """The status and the answer of the command; with `networks` no daemon runs there and these are configured.

    `code`: what is to come of it. Servers that are busy for so long are taken for dead, so it looks again.
    """
    if networks:
        configure(home, *networks)
    deadline = trio.current_time() + PATIENCE_S
    while True:
        done = await trio.run_process(
            [*words("myownmesh"), "netcheck", "--json"],
            env={**os.environ, "MYOWNMESH_MDNS": "on", **environ, "MYOWNMESH_HOME": str(home), MACHINE: device.name},
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        assert done.stderr == b"", done.stderr.decode()
        answer: dict[str, Any] = json.loads(done.stdout)
        if code in (None, answer["code"]) or trio.current_time() > deadline:
            return done.returncode, answer


def row(answer: dict[str, Any], url: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in answer["servers"] if each["url"] == url)
    return found


@asynccontextmanager
async def hosting(home: Path, host: Machine, address: str = PUBLIC) -> AsyncIterator[tuple[str, str]]:
    """A daemon on the host that serves relay and TURN; the relay's URL, and TURN's without a transport."""
    async with daemon(home, run_in=host.enter) as running:
        relay = {"enabled": True, "bind": address, "port": 0}
        serving = {"enabled": True, "bind": address, "public_ip": address, "port": 0, "tcp_enabled": True}
        status = (await running.ask("services_set", services={"signaling": relay, "turn": serving}))["status"]
        assert status["signaling"]["running"], status
        assert status["turn"]["running"], status
        yield f"ws://{status['signaling']['listen']}", f"turn:{status['turn']['listen']}"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mesh") as name:
        yield Path(name)


async def test_a_dead_server_costs_its_own_row_and_blocked_udp_leaves_tcp(folder: Path) -> None:
    dead_relay, dead_turn = f"ws://{NOBODY}:4848", f"turn:{NOBODY}:3478"
    with machines() as (host, [device]):
        host.ip("route", "add", "blackhole", f"{NOBODY}/32")  # what goes there is never heard of again
        async with hosting(folder / "host", host) as (relay, address):
            servers = turn(address, f"{address}?transport=tcp", dead_turn)
            stun = [{"urls": [address.replace("turn:", "stun:")]}]
            home = record(relays=[relay, dead_relay], turn_servers=servers, stun_servers=stun)
            status, answer = await look(folder / "device", device, home, code="turn_alone")
            assert (status, answer["verdict"], answer["code"]) == (0, "works", "turn_alone")
            assert answer["sentence"].endswith(f"mend or remove {dead_relay} and {dead_turn}, which do not answer.")
            assert {each["url"] for each in answer["servers"] if not each["ok"]} == {dead_relay, dead_turn}
            assert row(answer, dead_turn)["ms"] is None
            assert all(each["ms"] >= 0 and each["reason"] is None for each in answer["servers"] if each["ok"])
            assert (answer["udp"]["state"], answer["nat"]["state"]) == ("open", "none")
            assert answer["networks"] == row(answer, relay)["networks"] == [NETWORK]
            assert abs(answer["clock"]["ahead_ms"]) <= 2_000, "the relay says the time, and it is of this machine"

            # With a daemon it is the daemon that looks, at the networks that it is in.
            async with daemon(folder / "running", run_in=device.enter) as running:
                await running.ask("network_add", config={**home, "id": "other"})
                status, answer = await look(running.home, device, code="turn_alone")
                assert (status, answer["networks"]) == (0, ["other"])

            host.ip("rule", "add", "pref", "100", "lookup", "local")
            host.ip("rule", "add", "pref", "10", "iif", "br0", "ipproto", "udp", "blackhole")
            host.ip("rule", "del", "pref", "0")
            status, answer = await look(folder / "device", device, code="udp_blocked")
            assert (status, answer["code"], answer["udp"]["state"]) == (0, "udp_blocked", "blocked")
            assert row(answer, f"{address}?transport=tcp")["ok"]
            assert "connect over TURN by TCP" in answer["sentence"]
            assert "let UDP out" in answer["sentence"]


async def test_where_no_way_leads_out(folder: Path) -> None:
    with lan(2) as (_, [device, cut_off]):
        far = record(relays=[f"ws://{PUBLIC}:4848"], mdns=True, turn_servers=turn(f"turn:{PUBLIC}:3478"))
        status, answer = await look(folder / "a", device, far, code="lan_only")
        assert (status, answer["code"]) == (4, "lan_only")
        assert answer["multicast"]["state"] == "possible"
        assert "Network is unreachable" in row(answer, f"turn:{PUBLIC}:3478")["reason"]

        async with daemon(folder / "beside", run_in=cut_off.enter, environ={"MYOWNMESH_MDNS": "on"}) as beside:
            await beside.ask("network_add", config=record(mdns=True))
            with trio.fail_after(PATIENCE_S):  # its responder asks for a second and a half whether its name is free
                while (found := await look(folder / "b", device, record(mdns=True)))[1]["multicast"][
                    "state"
                ] != "heard":
                    pass
        assert (found[0], found[1]["code"], found[1]["multicast"]["answers"]) == (0, "lan", 1)
        status, answer = await look(folder / "b", device, MYOWNMESH_MDNS="off")
        assert (status, answer["code"], answer["multicast"]["state"]) == (5, "no_way", "off")

        cut_off.ip("link", "set", "lan0", "down")
        cut_off.ip("addr", "flush", "dev", "lan0")
        status, answer = await look(folder / "c", cut_off, far)
        assert (status, answer["code"], answer["addresses"]) == (5, "no_network", [])


async def test_a_router_that_uses_another_port_for_each_destination(folder: Path) -> None:
    router = [sys.executable, str(Path(__file__).with_name("strange_router.py")), PUBLIC, SECOND]
    with machines() as (host, [device]), program(*host.enter, *router, log=folder / "log"):
        async with daemon(folder / "host", run_in=host.enter) as running:
            relay = await host_relay(running, bind=PUBLIC)
            stun = [{"urls": [f"stun:{address}" for address in (PUBLIC, SECOND)]}]
            status, answer = await look(
                folder / "device", device, record(relays=[relay], stun_servers=stun), code="symmetric_nat_no_turn"
            )
        assert (status, answer["code"], answer["nat"]["state"]) == (4, "symmetric_nat_no_turn", "dependent")
        assert answer["nat"]["seen_as"] == ["198.51.100.9:40000", "198.51.100.9:40001"]
        assert answer["sentence"].endswith("name a TURN server.")


@needs("turnserver", "coturn", "netcheck is not tried on coturn")
async def test_every_way_over_coturn(folder: Path) -> None:
    certificate = self_signed(folder, address=PUBLIC)
    tls = {"cert_file": str(certificate), "key_file": str(certificate), "port": 5349}
    members = {"bind": PUBLIC, "public_ip": PUBLIC, "tcp_enabled": True, "tls": tls}
    block = ServicesConfig.from_json({"turn": {"enabled": True, **members}}).turn
    (folder / "turnserver.conf").write_text(coturn_config(block, private_peers=False))
    ways = [f"turn:{PUBLIC}", f"turn:{PUBLIC}?transport=tcp", f"turns:{PUBLIC}"]
    told = ["-c", str(folder / "turnserver.conf"), "--log-file", "stdout", "--pidfile", str(folder / "pid")]
    command = ["turnserver", *told, "-b", str(folder / "db")]
    with machines() as (host, [device]), program(*host.enter, *command, log=folder / "log"):
        home = record(turn_servers=[*turn(*ways), {"urls": [ways[0]], "username": "guest", "credential": "no"}])
        with trio.fail_after(PATIENCE_S):  # coturn listens some time after its first words
            while True:
                _, answer = await look(folder / "device", device, home, SSL_CERT_FILE=str(certificate))
                if all(row(answer, way)["ok"] for way in ways) and "(401)" in answer["servers"][3]["reason"]:
                    break
        assert [each["ok"] for each in answer["servers"]] == [True, True, True, False], answer["servers"]
        assert answer["servers"][3]["reason"] == "it does not know this user name and password (401)"
        with trio.fail_after(PATIENCE_S):
            while not (reason := row((await look(folder / "device", device))[1], ways[2])["reason"]).startswith("TLS"):
                pass
        assert reason.startswith("TLS failed: ")  # nobody vouches for it here
