"""The lists of STUN and TURN servers at real daemons: what is wrong in them, and what an edit does (spec 06 §9.2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import trio

from support.daemons import PATIENCE_S, daemon, host_relay, network_record
from support.namespaces import machines_around, needs_namespaces

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemons import Control

PUBLIC = "203.0.113.1"
NAME = "club"
PASSWORD = {"username": "guest", "credential": "theguestpassword"}
GOOD = {"urls": [f"turn:{PUBLIC}:3478"], **PASSWORD}
BAD = [
    {"urls": ["turn:host:34x78"], **PASSWORD},
    {"urls": [f"turn:{PUBLIC}:3478"]},
    {"urls": [f"turn:{PUBLIC}:3478"], **PASSWORD, "credential": "a wrong one"},
    {"urls": [f"http://{PUBLIC}"], **PASSWORD},
]
"""With the first or the second of them v0.3.8 makes no link at all."""
QUIET_S = 3.0


async def ends(events: Control) -> list[dict[str, Any]]:
    """What is told within a while of links that have ended."""
    found = []
    with trio.move_on_after(QUIET_S):
        while True:
            frame = await events.frame()
            if '"dropped"' in json.dumps(frame):
                found.append(frame)
    return found


@pytest.mark.slow
@needs_namespaces
async def test_a_bad_entry_costs_only_itself_and_an_edit_costs_no_link(tmp_path: Path) -> None:
    """Two devices that reach nothing but the TURN server of a third one."""
    with machines_around(PUBLIC) as (host, *outer):
        async with daemon(tmp_path / "host", run_in=host.enter) as middle:
            url = await host_relay(middle, bind=PUBLIC)
            services = (await middle.ask("services_status"))["config"]
            services["turn"] |= {"enabled": True, "tcp_enabled": True, "public_ip": PUBLIC}
            assert (await middle.ask("services_set", services=services))["status"]["turn"]["running"]
            record = network_record(
                NAME, url, auto_approve=True, stun_servers=[{"urls": ["stun://x", "stun:"]}], turn_servers=[*BAD, GOOD]
            )
            for name in ("a", "b"):
                (tmp_path / name).mkdir()
                (tmp_path / name / "config.json").write_text(json.dumps({"version": 3, "networks": [record]}))
            async with (
                daemon(tmp_path / "a", run_in=outer[0].enter) as a,
                daemon(tmp_path / "b", run_in=outer[1].enter) as b,
            ):
                await a.wait_for_peer(NAME, b.device_id, patience=3 * PATIENCE_S)
                before = await b.wait_for_peer(NAME, a.device_id)
                assert before["selected_pair"] != {"local": "host", "remote": "host"}

                events = [await each.control() for each in (a, b)]
                for each in events:
                    await each.ask("events_subscribe")
                edited = record | {
                    "stun_servers": [],
                    "turn_servers": [{**GOOD, "urls": [f"turn:{PUBLIC}:3478?transport=tcp"]}],
                }
                for device in (a, b):
                    await device.ask("network_update", config=edited)
                for each in events:
                    assert await ends(each) == []
                after = await b.peer(NAME, a.device_id)
                assert after is not None
                assert (after["status"], after["selected_pair"]) == ("active", before["selected_pair"])
                asked = (await b.ask("netcheck"))["servers"]
                assert [(row["url"], row["ok"]) for row in asked if row["kind"] == "turn"] == [
                    (f"turn:{PUBLIC}:3478?transport=tcp", True)
                ]
                # The next link goes the new way.
                await b.stop()
                await b.start()
                found = await b.wait_for_peer(NAME, a.device_id, patience=3 * PATIENCE_S)
                assert found["turn"]["over"] == "tcp" or found["turn"]["whose"] == "theirs"
