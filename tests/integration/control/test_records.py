"""Records and running networks of a real daemon, whatever a client or an editor does to them."""

from __future__ import annotations

import fcntl
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from support.daemons import Refused, daemon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from support.daemons import Daemon

PEER = "hgpxars2n37g75fc7jgrllgwznfdrlzxsrnlv5azuzbv4bu3fsoa"


def record(config_id: str, network_id: str, **more: Any) -> dict[str, Any]:
    return {
        "id": config_id,
        "network_id": network_id,
        "signaling": {"strategy": "none", "mdns": False},
        "stun_servers": [],
        "turn_servers": [],
        **more,
    }


@asynccontextmanager
async def configured(home: Path, *networks: dict[str, Any]) -> AsyncIterator[Daemon]:
    write(home, networks)
    async with daemon(home) as running:
        yield running


def write(home: Path, networks: Sequence[dict[str, Any]]) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.json").write_text(json.dumps({"networks": networks}))


def on_disk(running: Daemon) -> list[dict[str, Any]]:
    networks: list[dict[str, Any]] = json.loads((running.home / "config.json").read_text())["networks"]
    return networks


async def test_one_network_is_not_joined_twice_under_two_spellings(tmp_path: Path) -> None:
    async with configured(tmp_path / "home", record("a", "home"), record("b", " HOME ")) as node:
        assert (await node.ask("status"))["joined_networks"] == ["home"]
        with pytest.raises(Refused, match=r"network id ' Home' already joined under a different config"):
            await node.ask("network_add", config=record("c", " Home"))
        await node.ask("network_add", config=record("d", "other"))
        with pytest.raises(Refused, match=r"network id 'HOME' already joined under a different config"):
            await node.ask("network_update", config=record("d", "HOME"))
        assert (await node.ask("status"))["joined_networks"] == ["home", "other"]


async def test_pins_and_shapes_leave_order_and_hand_edits_alone(tmp_path: Path) -> None:
    async with configured(tmp_path / "home", record("a", "aaa"), record("b", "bbb")) as node:
        networks = on_disk(node)
        networks[0]["label"] = "by hand"
        write(node.home, networks)
        await node.ask("network_connect_peer", network="aaa", peer=PEER, pin=True)
        await node.ask("topology_set", network="a", topology="full_mesh")
        a, b = on_disk(node)
        assert (a["id"], a["label"], a["pinned_peers"]) == ("a", "by hand", [PEER])
        assert b["id"] == "b"


async def test_a_label_that_waits_for_the_files_lock_holds_nobody_else_up(tmp_path: Path) -> None:
    async with configured(tmp_path / "home") as node:
        slow, quick = await node.control(), await node.control()
        with (node.home / "config.json.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            await slow.send(b'{"op":"identity_set_label","label":"new"}\n')
            with trio.fail_after(1):
                await quick.ask("status")
                assert (await quick.ask("identity_show"))["label"] == ""
        assert json.loads(await slow.receive())["data"]["label"] == "new"


async def test_services_set_joins_what_is_missing_and_says_nothing_of_the_rest(tmp_path: Path) -> None:
    async with configured(tmp_path / "home", record("a", "aaa")) as node:
        write(node.home, [record("a", "aaa"), record("b", "bbb")])
        await node.ask("services_set", services={})
        assert (await node.ask("status"))["joined_networks"] == ["aaa", "bbb"]
        assert "skipped" not in node.log


async def test_a_purge_of_a_record_that_never_joined_stays_among_the_rosters(tmp_path: Path) -> None:
    async with configured(tmp_path / "home", record("a", "../../.secrets/identity")) as node:
        assert await node.ask("network_remove", network="a", purge=True) == {"removed": "a"}
        assert (node.home / ".secrets" / "identity.json").exists()
        assert on_disk(node) == []
