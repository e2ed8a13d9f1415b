"""Two devices whose path carries little, one address family, or no UDP: they meet, and a big message arrives.

Each machine is a network namespace. A path of 1,280 bytes is the least that IPv6 allows, and what tunnels leave.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from myownmesh.transport.dtls import PATH_MTU_BYTES
from support.daemons import daemon, host_relay, network_record
from support.namespaces import needs_namespaces, plug_in, two_machines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.daemons import Daemon
    from support.namespaces import Machine

pytestmark = needs_namespaces

ROOT = Path(__file__).parents[3]

LEAST_MTU_BYTES = 1280
IPV6_AND_UDP_BYTES = 40 + 8
TURN_CHANNEL_BYTES = 4
BIG = "x" * 60_000
"""Fifty packets as large as they come."""

V4, V6 = "10.9.0", "fd00:9::"


def addresses(machine: Machine, number: int, families: str) -> None:
    if "4" in families:
        machine.add_address("lan0", f"{V4}.{number}/24")
    if "6" in families:
        machine.add_address("lan0", f"{V6}{number}/64")


@pytest.mark.parametrize("mtu", [1500, LEAST_MTU_BYTES])
@pytest.mark.parametrize(
    ("first", "second", "relay_at"),
    [
        pytest.param("4", "4", f"{V4}.1", id="IPv4"),
        pytest.param("6", "6", f"[{V6}1]", id="IPv6"),
        pytest.param("46", "6", f"[{V6}1]", id="both and IPv6"),
        pytest.param("46", "4", f"{V4}.1", id="both and IPv4"),
    ],
)
async def test_they_meet_and_a_big_message_arrives(
    tmp_path: Path, first: str, second: str, relay_at: str, mtu: int
) -> None:
    with two_machines() as machines:
        plug_in(*machines)
        for number, (machine, families) in enumerate(zip(machines, (first, second), strict=True), 1):
            addresses(machine, number, families)
            machine.ip("link", "set", "lan0", "mtu", str(mtu))
        async with AsyncExitStack() as stack:
            host, guest = [
                await stack.enter_async_context(daemon(tmp_path / str(number), run_in=machine.enter))
                for number, machine in enumerate(machines)
            ]
            relay = await host_relay(host, bind=relay_at)
            record = network_record("cable", relay, auto_approve=True)
            for one in (host, guest):
                await one.ask("network_add", config=record)
            await guest.wait_for_peer("cable", host.device_id)
            await send_big(guest, host)


async def send_big(sender: Daemon, receiver: Daemon) -> None:
    """A message of many packets arrives whole."""
    await receiver.wait_for_peer("cable", sender.device_id)
    events = await receiver.control()
    client = (await events.ask("events_subscribe"))["client_id"]
    await receiver.ask("channel_subscribe", client_id=client, network="cable", channel="big")
    await sender.ask("channel_send_to", network="cable", peer=receiver.device_id, channel="big", payload=BIG)
    while (frame := await events.frame()).get("kind") != "channel_inbound":
        pass
    assert frame["payload"] == BIG


def test_a_full_packet_fits_into_the_least_path_also_behind_a_relay() -> None:
    """What is too large for its path is lost without a word, again and again, so nothing is (RFC 8261 §5)."""
    assert PATH_MTU_BYTES + TURN_CHANNEL_BYTES + IPV6_AND_UDP_BYTES <= LEAST_MTU_BYTES


@contextmanager
def turn_over_tcp(machine: Machine, host: str, port: int) -> Iterator[None]:
    """A TURN server on that machine."""
    program = ROOT / "tests" / "integration" / "transport" / "turn_over_tcp.py"
    with subprocess.Popen(
        [*machine.enter, sys.executable, program, host, str(port)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        stdout=subprocess.PIPE,
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            yield
        finally:
            server.kill()


async def test_with_all_udp_blocked_they_meet_over_turn_on_a_tcp_port(tmp_path: Path) -> None:
    with two_machines() as machines:
        plug_in(*machines)
        for number, machine in enumerate(machines, 1):
            addresses(machine, number, "4")
            machine.ip(
                "rule", "add", "pref", "100", "ipproto", "udp", "prohibit"
            )  # behind the table of its own addresses
        with turn_over_tcp(machines[0], f"{V4}.1", 3478):
            server = {"urls": [f"turn:{V4}.1:3478?transport=tcp"], "username": "user", "credential": "secret"}
            async with AsyncExitStack() as stack:
                host, guest = [
                    await stack.enter_async_context(daemon(tmp_path / str(number), run_in=machine.enter))
                    for number, machine in enumerate(machines)
                ]
                relay = await host_relay(host, bind=f"{V4}.1")
                record = network_record("cable", relay, auto_approve=True, turn_servers=[server])
                for one in (host, guest):
                    await one.ask("network_add", config=record)
                peer = await guest.wait_for_peer("cable", host.device_id)
                assert "relay" in str(peer["selected_pair"]), peer
                await send_big(guest, host)
