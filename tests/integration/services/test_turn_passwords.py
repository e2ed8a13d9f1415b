"""Members of a network get TURN passwords from the device that hosts TURN, for as long as they are members (06 M)."""

from __future__ import annotations

import itertools
import json
import socket
import stat
from typing import TYPE_CHECKING, Any

import pytest
import trio

from support.daemons import PATIENCE_S, daemon, host_relay, network_record
from support.turn_client import TurnClient

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemons import Control, Daemon

HERE = "127.0.0.1"
NAME = "club"
CHANNEL = "__services__/v1"
QUESTION = {"v": 1, "want": "turn"}
PROMISED_S = 5.0
"""From the moment at which the host knows it."""


async def hosting(host: Daemon) -> str:
    """Relay and TURN; returns the relay's URL."""
    relay = await host_relay(host)
    services = (await host.ask("services_status"))["config"]
    services["turn"] |= {"enabled": True, "bind": HERE, "port": 0, "public_ip": HERE, "tcp_enabled": True}
    made = (await host.ask("services_set", services=services))["status"]
    assert made["turn"]["running"], made
    return relay


async def allocations(host: Daemon) -> int:
    relayed = (await host.ask("services_status"))["status"]["turn"]["relayed"]
    count: int = relayed["allocations"]
    return count


async def until_it_has_one(host: Daemon) -> None:
    with trio.fail_after(PATIENCE_S):
        while not await allocations(host):
            await trio.sleep(0.05)


async def handed_out(events: Control, member: Daemon, host: Daemon) -> dict[str, Any]:
    """Asks as any program of the member may, until there is an answer: one that comes too soon gets none."""
    with trio.fail_after(PATIENCE_S):
        while True:
            await member.ask("channel_send_to", network=NAME, peer=host.device_id, channel=CHANNEL, payload=QUESTION)
            with trio.move_on_after(2.0):
                while True:
                    frame = await events.frame()
                    if frame.get("kind") == "channel_inbound":
                        payload: dict[str, Any] = frame["payload"]
                        return payload


async def subscribed(member: Daemon) -> Control:
    events = await member.control()
    client_id = (await events.ask("events_subscribe"))["client_id"]
    await member.ask("channel_subscribe", client_id=client_id, network=NAME, channel=CHANNEL)
    return events


def allocate(credential: dict[str, Any]) -> tuple[socket.socket, int | None]:
    """A socket, and what the server says of the password: no code is an allocation."""
    host, _, port = credential["urls"][0].removeprefix("turn:").rpartition(":")
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect((host, int(port)))
    return client, TurnClient(client, credential["username"], credential["credential"]).allocate()


async def test_a_member_gets_a_password_and_loses_what_it_has_when_it_is_removed(tmp_path: Path) -> None:
    async with daemon(tmp_path / "host") as host, daemon(tmp_path / "member") as member:
        relay = await hosting(host)
        for device in (host, member):
            await device.ask("network_add", config=network_record(NAME, relay, auto_approve=True))
        await member.wait_for_peer(NAME, host.device_id)
        await host.wait_for_peer(NAME, member.device_id)
        seen = await member.peer(NAME, host.device_id)
        assert seen is not None
        assert "service:turn" in seen["capabilities"]["tags"]
        events = await subscribed(member)
        answer = await handed_out(events, member, host)
        assert answer["v"] == 1
        (credential,) = answer["turn"]
        assert credential["ttl_s"] == 12 * 3600
        assert credential["username"].partition(":")[2] == member.device_id
        assert [url.partition("?")[2] for url in credential["urls"]] == ["", "transport=tcp"]
        assert seen["capabilities"]["extra"]["services"]["turn_urls"] == credential["urls"]

        # Once in ten seconds: the next question, at once, is met with silence.
        await member.ask("channel_send_to", network=NAME, peer=host.device_id, channel=CHANNEL, payload=QUESTION)
        with trio.move_on_after(1.0) as silent:
            while (await events.frame()).get("kind") != "channel_inbound":
                pass
        assert silent.cancelled_caught

        kept = host.home / ".secrets" / "turn.json"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert [each["device_id"] for each in json.loads(kept.read_text())["holders"]] == [member.device_id]

        client, refused = await trio.to_thread.run_sync(allocate, credential)
        with client:
            assert refused is None
            await until_it_has_one(host)
            await host.ask("roster_remove", network=NAME, device_id=member.device_id)
            with trio.fail_after(PATIENCE_S):
                while await allocations(host):
                    await trio.sleep(0.05)
        client, refused = await trio.to_thread.run_sync(allocate, credential)
        with client:
            assert refused == 401
        with trio.fail_after(PATIENCE_S):
            while json.loads(kept.read_text())["holders"]:
                await trio.sleep(0.05)


async def granted(owner: Daemon, *members: Daemon) -> None:
    """The owner signs them in, and all know it."""
    for member in members:
        await owner.ask("governance_propose_role_grant", network=NAME, target=member.device_id, role="member")
    wanted = {owner.device_id: "owner", **{member.device_id: "member" for member in members}}
    with trio.fail_after(PATIENCE_S):
        for device in (owner, *members):
            while (await device.ask("governance_state", network=NAME))["state"]["roles"] != wanted:
                await trio.sleep(0.05)


@pytest.mark.slow
async def test_whoever_an_owner_puts_out_of_a_closed_network_loses_what_it_has_at_another_members_server(
    tmp_path: Path,
) -> None:
    async with (
        daemon(tmp_path / "owner") as owner,
        daemon(tmp_path / "host") as host,
        daemon(tmp_path / "member") as member,
    ):
        relay = await hosting(host)
        everybody = (owner, host, member)
        for device in everybody:
            await device.ask("network_add", config=network_record(NAME, relay, auto_approve=True))
        for one, other in itertools.permutations(everybody, 2):
            await one.wait_for_peer(NAME, other.device_id)
        await owner.ask("governance_propose_kind_change", network=NAME, to="closed")
        for device in (host, member):
            with trio.fail_after(PATIENCE_S):
                while not (claims := (await device.ask("governance_state", network=NAME))["state"]["pending"]):
                    await trio.sleep(0.05)
            await device.ask("governance_sign", network=NAME, proposal_id=claims[0]["id"])
        await granted(owner, host, member)
        await member.wait_for_peer(NAME, host.device_id)

        (credential,) = (await handed_out(await subscribed(member), member, host))["turn"]
        client, refused = await trio.to_thread.run_sync(allocate, credential)
        with client:
            assert refused is None
            await until_it_has_one(host)
            await owner.ask("governance_propose_evict", network=NAME, target=member.device_id)
            with trio.fail_after(PATIENCE_S):
                while member.device_id not in (await host.ask("governance_state", network=NAME))["evicted"]:
                    await trio.sleep(0.01)
            with trio.fail_after(PROMISED_S):
                while await allocations(host):
                    await trio.sleep(0.05)
        client, refused = await trio.to_thread.run_sync(allocate, credential)
        with client:
            assert refused == 401
