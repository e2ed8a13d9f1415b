"""What `services_set` does at a real daemon: the role `node`, a file that cannot be written, what switches change (spec
06 §2, §3; 10 §3)."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
import trio

from support.daemons import Refused, daemon, host_relay, network_record
from support.signaling import bare_client, ws_frame
from support.turn_client import TurnClient

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemons import Daemon

NAME = "club"
SOON_S = 15.0
"""Without a farewell others would show it for a minute and a half."""


async def switch(device: Daemon, *, on: bool) -> int:
    """How many networks it is in then."""
    services = (await device.ask("services_status"))["config"]
    services["node"]["enabled"] = on
    joined: int = (await device.ask("services_set", services=services))["status"]["node"]["joined"]
    return joined


async def test_a_device_that_is_no_node_any_more_has_said_so_hosts_on_and_is_back(tmp_path: Path) -> None:
    async with daemon(tmp_path / "box") as box, daemon(tmp_path / "a") as a, daemon(tmp_path / "b") as b:
        record = network_record(NAME, await host_relay(box), auto_approve=True)
        for device in (box, a, b):
            await device.ask("network_add", config=record)
        for device in (a, b):
            await device.wait_for_peer(NAME, box.device_id)
        await a.wait_for_peer(NAME, b.device_id)

        assert await switch(box, on=False) == 0
        with trio.fail_after(SOON_S):
            for device in (a, b):
                while (seen := await device.peer(NAME, box.device_id)) is not None and seen["status"] == "active":
                    await trio.sleep(0.05)
        assert (await box.ask("networks_list"))["networks"] == []
        kept = json.loads((box.home / "config.json").read_text())
        assert [each["id"] for each in kept["networks"]] == [NAME]
        served = (await box.ask("services_status"))["status"]["signaling"]
        assert served["running"]
        assert served["activity"]["rooms"] == 1, "the other two are still there"
        assert (await a.peer(NAME, b.device_id) or {})["status"] == "active"

        assert await switch(box, on=True) == 1
        for device in (a, b):
            await device.wait_for_peer(NAME, box.device_id)


async def test_what_cannot_be_saved_is_not_applied(tmp_path: Path) -> None:
    async with daemon(tmp_path / "home") as device:
        file = device.home / "config.json"
        file.unlink(missing_ok=True)
        file.mkdir()
        with pytest.raises(Refused, match="services config save failed: "):
            await host_relay(device)
        told = await device.ask("services_status")
        assert not told["config"]["signaling"]["enabled"]
        assert not told["status"]["signaling"]["running"]
        file.rmdir()
        await host_relay(device)


def permitted(listen: str, ip: str) -> int | None:
    """What a TURN server says to a client that wants to reach an address: the code of its refusal, or None."""
    host, _, port = listen.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, int(port)))
        client = TurnClient(sock)
        assert client.allocate() is None
        return client.permit(ip)


@pytest.mark.parametrize("on", [False, True])
async def test_switches_open_what_is_closed_and_no_more(tmp_path: Path, on: bool) -> None:
    home = tmp_path / "home"
    home.mkdir()
    compat = {"relay_any_filter": on, "turn_private_peers": on}
    (home / "config.json").write_text(json.dumps({"version": 3, "compat": compat}))
    async with daemon(home) as device:
        here = {"enabled": True, "bind": "127.0.0.1", "port": 0}
        hosted = {"signaling": here, "turn": {**here, "public_ip": "127.0.0.1"}}
        status = (await device.ask("services_set", services=hosted))["status"]
        async with bare_client(int(status["signaling"]["listen"].rpartition(":")[2])) as client:
            await client.send(ws_frame(b'["REQ","s",{}]', masked=True))
            said = json.loads((await client.read_frame())[1])
        assert said == (["EOSE", "s"] if on else ["CLOSED", "s", "restricted: a filter needs #r or ids"])
        for ip, refused in (("10.1.2.3", None if on else 403), ("169.254.169.254", 403), ("8.8.8.8", None)):
            assert await trio.to_thread.run_sync(permitted, status["turn"]["listen"], ip) == refused, ip
