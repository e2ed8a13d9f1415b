"""The app tells its peers what it should, when it should, and takes from them what it may: on a clock that jumps."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from mesh_common.client.session import open_session
from myownllm.catalog.file import CatalogFile
from myownllm.catalog.live import LiveCatalog
from myownllm.catalog.network import SavedNetwork
from myownllm.client import MeshClient, Offer, Operations
from myownllm.client.owned import OwnedNetworks
from myownllm.errors import AppError
from myownllm.features import gossip
from myownllm.features.gossip import Gossip
from myownllm.gossip.wire import CATALOG, PERMISSIONS, PROMPTS
from myownllm.peers import CatalogEntry
from myownllm.policy import Gate, Permissions, Policy
from myownllm.prompts import Prompts
from myownllm.records import PolicyStore, PromptStore
from myownllm.supervisor import Connection
from support.vectors import suite
from unit.frontend.fakes import DEVICE_B, FakeDaemon, peer_info

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

NOW = 1_780_000_000_000
DEVICE_C = "c" * 51 + "q"
LARGE = {"tags": [], "app_version": None, "max_connections": None, "extra": {"features": ["large_payload_v1"]}}


@attrs.define
class Desk:
    """An app on a scripted daemon, with its file."""

    path: Path
    daemon: FakeDaemon
    client: MeshClient
    policy: PolicyStore
    prompts: PromptStore
    gossip: Gossip
    release: Callable[[], None]
    conversations: list[CatalogEntry] = attrs.field(factory=list)

    @property
    def told(self) -> list[tuple[str, str]]:
        """What was sent so far: to whom (`*` is everybody), on which channel."""
        sent = [r for r in self.daemon.log if r["op"] in ("channel_send_all", "channel_send_to")]
        return [(r.get("peer", "*"), r["channel"]) for r in sent]

    def payloads(self, channel: str) -> list[Any]:
        return [r["payload"] for r in self.daemon.log if r.get("channel") == channel and "payload" in r]

    @property
    def record(self) -> Any:
        return json.loads(self.path.read_text())["cloud_mesh"]["networks"][0]

    def change(self, **members: Any) -> None:
        CatalogFile(self.path).mutate(lambda c: c.update_network("net-1", **members))

    async def hear(self, channel: str, payload: Any, sender: str = DEVICE_B) -> None:
        frame = {"kind": "channel_inbound", "network": "home", "channel": channel, "from": sender, "payload": payload}
        await self.daemon.emit(frame)
        await trio.sleep(0.3)

    async def peers(self, *rows: dict[str, Any]) -> None:
        """The daemon sees these now, and says so."""
        self.daemon.peers = list(rows)
        await self.daemon.event(event_kind="peer", kind="sighted", device_id=DEVICE_B)
        await trio.sleep(0.3)

    def notes(self, level: str) -> list[str]:
        return [d.message for d in self.client.diag if d.level == level]


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of these tests jumps when all tasks wait, and does not know that a thread is at work."""

    async def inline(function: Callable[..., Any], *args: Any, **_: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", inline)


@asynccontextmanager
async def desk(tmp_path: Path, *peers: dict[str, Any], **members: Any) -> AsyncIterator[Desk]:
    path = tmp_path / "config.json"
    file = CatalogFile(path, now_ms=lambda: NOW)
    file.mutate(lambda c: c.add_network(SavedNetwork("net-1", "home", **members), activate=True))
    daemon = FakeDaemon()
    daemon.peers = list(peers)
    live = LiveCatalog(file)
    client = MeshClient(live, OwnedNetworks(tmp_path / "owned.json"), Offer(), now_ms=lambda: NOW)
    policy, prompts = PolicyStore(file, lambda: NOW), PromptStore(file, lambda: NOW)
    conversations: list[CatalogEntry] = []

    async def entries() -> tuple[CatalogEntry, ...]:
        await trio.lowlevel.checkpoint()
        return tuple(conversations)

    telling = Gossip(client, Operations(client), policy, prompts, entries, lambda: NOW)
    async with trio.open_nursery() as nursery:
        daemon.nursery = nursery
        await nursery.start(client.run)
        made = Desk(path, daemon, client, policy, prompts, telling, telling.install(), conversations)

        async def hold() -> None:
            connection = Connection(1, "own_llm", Path("daemon.sock"), False, "0.3.8", "me", None)
            async with open_session(connection.socket, 1, connect=daemon.connect) as bridge:
                client.connected(bridge, connection)
                await bridge.lost.wait()

        async def follow() -> None:
            while True:
                await trio.sleep(0.2)
                if live.changed():
                    await client.reconcile()

        nursery.start_soon(hold)
        nursery.start_soon(follow)
        await client.start()
        await trio.sleep(0.3)
        yield made
        nursery.cancel_scope.cancel()


def gate(mode: str, stamp: int, *allowed: str) -> dict[str, Any]:
    return {"mode": mode, "always_accept": list(allowed), "updated_at": stamp}


def snapshot(**gates: Any) -> dict[str, Any]:
    return {"tools": gates, "ts": NOW}


def prompt(prompt_id: str = "prm-1", stamp: int = 5, **members: Any) -> dict[str, Any]:
    texts = {"name": "N", "system_prompt": "s", "user_prompt": ""}
    return {"id": prompt_id, **texts, "tools": [], "updated_at": stamp, **members}


ALL = [("*", CATALOG), ("*", PERMISSIONS), ("*", PROMPTS)]


# ── telling ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@suite("gossip_gating")
async def test_gating(case: dict[str, Any], tmp_path: Path, autojump_clock: Any) -> None:
    """FE-7.4, FE-7.7, FE-7.8"""
    given, expected = case["input"], case["expect"]
    is_on = given["auto_gossip"] if not given["event"].startswith("toggle") else given["event"] == "toggle_from_on"
    async with desk(tmp_path, peer_info(), auto_gossip=is_on) as here:
        before = len(here.told)
        merged_before = here.record.get("agent_permissions")
        match given["event"]:
            case "local_permission_edit":
                here.policy.edit(lambda p, now_ms: p.set_mode("shell", "denied", now_ms))
            case "local_prompt_edit":
                here.prompts.edit(lambda p, now_ms: p.copy(p_of(prompt()), now_ms))
            case "inbound_permissions_newer":
                await here.hear(PERMISSIONS, snapshot(shell=gate("denied", 5)))
            case "inbound_permissions_older":
                await here.hear(PERMISSIONS, snapshot(shell=gate("denied", 0)))
            case "tick_60s":
                await trio.sleep(60)
            case "peer_newly_active":
                await here.peers(peer_info(), peer_info(DEVICE_C))
            case _:
                here.change(auto_gossip=not is_on)
        await trio.sleep(1)
        if "published" in expected:
            assert [channel for _, channel in here.told[before:]] == expected["published"]
        if "merged" in expected:
            assert (here.record.get("agent_permissions") != merged_before) is expected["merged"]
            assert len(here.notes("info")) == expected["diag"]
        if "persisted" in expected:
            assert here.record["auto_gossip"] is expected["persisted"]["auto_gossip"]


def p_of(raw: dict[str, Any]) -> Any:
    from myownllm.prompts import Prompt

    return Prompt.from_json(raw)


async def test_everything_is_told_at_the_start_and_every_minute(tmp_path: Path, autojump_clock: Any) -> None:
    """FE-7.9, FE-9.38"""
    async with desk(tmp_path, peer_info()) as here:
        assert here.told == ALL
        assert here.payloads(CATALOG)[0]["fresh"] is True
        await trio.sleep(59)
        assert here.told == ALL
        await trio.sleep(2)
        assert here.told == ALL * 2
        assert "fresh" not in here.payloads(CATALOG)[1]
        await here.client.stop()
        here.gossip.catalog_changed()
        await trio.sleep(100)
        assert here.told == ALL * 2, "nothing after a stop"


async def test_a_late_joiner_is_told_everything_and_nobody_else_again(tmp_path: Path, autojump_clock: Any) -> None:
    """FE-7.10, FE-7.12, FE-12.42"""
    async with desk(tmp_path, peer_info()) as here:
        here.conversations.append(CatalogEntry("m1-abc", "Plans"))
        await trio.sleep(30)
        await here.peers(peer_info(), peer_info(DEVICE_C))
        assert here.told[3:] == [(DEVICE_C, CATALOG), (DEVICE_C, PERMISSIONS), (DEVICE_C, PROMPTS)]
        assert here.payloads(CATALOG)[-1]["entries"][0]["guid"] == "m1-abc"
        shelved = peer_info(DEVICE_C, local_shelved=True, remote_shelved=True)
        await here.peers(peer_info(), shelved)
        await here.peers(peer_info(), peer_info(DEVICE_C))
        assert len(here.told) == 6, "not twice within five seconds"
        await trio.sleep(5)
        assert here.told[6:] == here.told[3:6], "and served again then"


async def test_who_has_told_nothing_yet_is_asked_when_it_comes(tmp_path: Path, autojump_clock: Any) -> None:
    """It may not have noticed that this app was away, and so owe it nothing (FE-7.10)."""
    async with desk(tmp_path) as here:
        await here.peers(peer_info())
        assert here.payloads(CATALOG)[-1]["fresh"] is True
        await here.hear(CATALOG, {"entries": [], "ts": 5})
        await here.peers()
        await trio.sleep(6)
        await here.peers(peer_info())
        assert "fresh" not in here.payloads(CATALOG)[-1]


async def test_a_peer_that_has_just_started_gets_an_answer(tmp_path: Path, autojump_clock: Any) -> None:
    """FE-7.13"""
    async with desk(tmp_path, peer_info()) as here:
        await here.hear(
            CATALOG, {"entries": [{"guid": "m9-abc", "title": "Theirs", "path": "Work"}], "ts": 5, "fresh": True}
        )
        assert here.told[3:] == [(DEVICE_B, CATALOG), (DEVICE_B, PERMISSIONS), (DEVICE_B, PROMPTS)]
        peer = here.client.state.peer(DEVICE_B)
        assert peer is not None
        assert [(e.guid, e.path) for e in peer.catalog] == [("m9-abc", "Work")]
        await here.hear(CATALOG, {"entries": [], "ts": 4})
        assert here.client.state.peer(DEVICE_B) == peer, "a late copy"
        await here.hear(CATALOG, {"entries": [], "ts": 6})
        cleared = here.client.state.peer(DEVICE_B)
        assert cleared is not None
        assert cleared.catalog == ()


async def test_twenty_changes_are_one_broadcast(tmp_path: Path, autojump_clock: Any) -> None:
    """FE-7.11, FE-12.37"""
    async with desk(tmp_path, peer_info()) as here:
        for number in range(20):
            here.conversations.append(CatalogEntry(f"m{number}-abc"))
            here.gossip.catalog_changed()
            await trio.sleep(0.1)
        await trio.sleep(3)
        assert here.told[3:] == [("*", CATALOG)]
        assert len(here.payloads(CATALOG)[-1]["entries"]) == 20


async def test_a_large_catalog_goes_whole_to_those_who_can_take_it(tmp_path: Path, autojump_clock: Any) -> None:
    """FE-9.49, FE-9.50"""
    able, old = peer_info(capabilities=LARGE), peer_info(DEVICE_C)
    async with desk(tmp_path, able, old) as here:
        here.conversations += [CatalogEntry(f"m{n}-abc", "t" * 100, updated_at=f"{n:05d}") for n in range(1000)]
        here.gossip.catalog_changed()
        await trio.sleep(1)
        assert set(here.told[3:]) == {(DEVICE_B, "blob/v1"), (DEVICE_B, CATALOG), (DEVICE_C, CATALOG)}
        whole, truncated = here.payloads(CATALOG)[1:]
        assert whole["__blob"]["size"] > 64_000
        assert truncated["truncated"] is True
        assert truncated["entries"][0]["guid"] == "m999-abc"


async def test_a_channel_that_fails_is_told_once_a_minute_and_tried_again(tmp_path: Path, autojump_clock: Any) -> None:
    """FE-9.43"""
    async with desk(tmp_path, peer_info()) as here:
        here.daemon.refuse["channel_send_all"] = []
        for _ in range(4):
            here.gossip.catalog_changed()
            await trio.sleep(2)
        assert here.notes("warn") == [f"{CATALOG} was not told: refused"]
        del here.daemon.refuse["channel_send_all"]
        await trio.sleep(60)
        assert here.told[-3:] == ALL


async def test_only_prompts_of_the_active_network_are_told(tmp_path: Path, autojump_clock: Any) -> None:
    """FE-9.38"""
    async with desk(tmp_path, peer_info()) as here:
        other = SavedNetwork("net-2", "work", prompts=Prompts((p_of(prompt("prm-work")),)))
        CatalogFile(here.path).mutate(lambda c: c.add_network(other))
        here.prompts.edit(lambda p, now_ms: p.copy(p_of(prompt("prm-home")), now_ms))
        await trio.sleep(61)
        told = {p["id"] for payload in here.payloads(PROMPTS) for p in payload["prompts"]}
        assert told == {"prm-home"}


async def test_what_cannot_be_told_is_a_warning(tmp_path: Path, autojump_clock: Any) -> None:
    async with desk(tmp_path, peer_info()) as here:
        here.change(permissions=Permissions(Policy(Gate("ask", tuple(str(n) * 2000 for n in range(10, 40)), 5))))
        await trio.sleep(61)
        assert any("more than peers can be told" in text for text in here.notes("warn"))


# ── hearing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_peers_edit_is_in_the_file_with_one_line_and_not_told_on(tmp_path: Path, autojump_clock: Any) -> None:
    async with desk(tmp_path, peer_info()) as here:
        stricter = gate("denied", 7)
        await here.hear(PERMISSIONS, snapshot(shell=stricter))
        await here.hear(PROMPTS, {"prompts": [prompt()], "ts": NOW})
        assert here.record["agent_permissions"]["shell"] == stricter
        assert here.record["prompts"] == [prompt()]
        assert here.notes("info") == [
            f"permissions of {DEVICE_B[:8]} taken over: shell",
            f"prompts of {DEVICE_B[:8]} taken over",
        ]
        await here.hear(PERMISSIONS, snapshot(shell=stricter))
        await here.hear(PROMPTS, {"prompts": [prompt()], "ts": NOW})
        assert len(here.notes("info")) == 2
        assert here.told == ALL


async def test_what_relaxes_waits_and_is_told(tmp_path: Path, autojump_clock: Any) -> None:
    """FE-9.42"""
    async with desk(tmp_path, peer_info()) as here:
        await here.hear(PERMISSIONS, snapshot(shell=gate("accept_all", 7)))
        assert here.record.get("agent_permissions", {}).get("shell", {}).get("mode") != "accept_all"
        (warning,) = here.notes("warn")
        code = here.policy.read().pending["shell"].code
        assert f"policy agree shell {code}" in warning
        here.policy.decide(lambda p: p.agree("shell", code))
        assert here.record["agent_permissions"]["shell"] == gate("accept_all", 7)
        here.policy.confirm_relaxing(False)
        await here.hear(PERMISSIONS, snapshot(write_file=gate("accept_all", 7)))
        assert here.record["agent_permissions"]["write_file"]["mode"] == "accept_all"
        assert "policy set write_file ask" in here.notes("warn")[-1]


async def test_stamps_of_the_future_and_malformed_records_are_told_once_in_a_while(
    tmp_path: Path, autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gossip.WARN_FUTURE_EVERY_S == 3600
    monkeypatch.setattr(gossip, "WARN_FUTURE_EVERY_S", 20)
    async with desk(tmp_path, peer_info(clock_skew_ms=400_000)) as here:
        for _ in range(3):
            await here.hear(PERMISSIONS, snapshot(shell=gate("denied", NOW + 300_001)))
            await here.hear(PROMPTS, {"prompts": [prompt(stamp=NOW + 300_001), {"id": 7}], "ts": NOW})
        warned = here.notes("warn")
        assert len(warned) == 3
        assert "+400 s from ours" in warned[0]
        assert "prompts" not in here.record
        await trio.sleep(20)
        await here.hear(PERMISSIONS, snapshot(shell=gate("denied", NOW + 300_001)))
        assert len(here.notes("warn")) == 4


@pytest.mark.parametrize("channel", [CATALOG, PERMISSIONS, PROMPTS])
@pytest.mark.parametrize("payload", [None, 7, "x", [], {}, {"entries": {}, "tools": [], "prompts": {}}])
async def test_payloads_of_another_shape_are_ignored(
    channel: str, payload: Any, tmp_path: Path, autojump_clock: Any
) -> None:
    async with desk(tmp_path, peer_info()) as here:
        before = here.path.read_text()
        await here.hear(channel, payload)
        assert here.path.read_text() == before
        assert here.notes("warn") == here.notes("info") == []


async def test_a_merge_into_a_network_that_is_gone_is_none(tmp_path: Path) -> None:
    """FE-9.35, FE-9.46, FE-12.46"""
    file = CatalogFile(tmp_path / "config.json")
    policy, prompts = PolicyStore(file, lambda: NOW), PromptStore(file, lambda: NOW)
    assert policy.merge("net-9", {"shell": gate("denied", 5)}, DEVICE_B) is None
    assert prompts.merge("net-9", [prompt()], None) is None
    with pytest.raises(AppError, match="No active network — permissions are network-scoped"):
        policy.edit(lambda p, now_ms: p.set_mode("shell", "denied", now_ms))
    with pytest.raises(AppError, match="No active network — prompts are network-scoped"):
        prompts.edit(lambda p, now_ms: p.remove("prm-1", now_ms))


async def test_nothing_is_left_when_it_is_taken_back(tmp_path: Path, autojump_clock: Any) -> None:
    async with desk(tmp_path, peer_info()) as here:
        here.release()
        await trio.sleep(100)
        assert here.told == ALL
        assert set(here.daemon.channels) & {CATALOG, PERMISSIONS, PROMPTS} == set()
        here.policy.edit(lambda p, now_ms: p.set_mode("shell", "denied", now_ms))
