"""The commands against a scripted daemon on a real socket, as a person or a script would run them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from myownllm import capabilities
from myownllm.catalog.file import CatalogFile
from myownllm.catalog.network import SavedNetwork
from myownllm.ids import device_suffix
from support.examples import few
from support.warm import TrioForked, words
from unit.frontend.fakes import DEVICE_A, DEVICE_B, FakeDaemon, peer_info

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PROGRAM = [str(Path(sys.executable).parent / "myownllm")]
PENDING: dict[str, Any] = {"status": "pending_approval", "local_approve_sent": False, "remote_approve_seen": False}


def started(environment: dict[str, str], *arguments: str) -> Up:
    """`myownllm up --json`, without the second that its modules take."""
    printed, output = os.pipe()
    process = TrioForked(environment, output, command=("myownllm", "up", "--json", *arguments), errors=2)
    os.close(output)
    return Up(process, trio.lowlevel.FdStream(printed))


@attrs.define
class Desk:
    """A home with a scripted daemon at its socket."""

    home: Path
    daemon: FakeDaemon
    nursery: trio.Nursery
    running: list[TrioForked | trio.Process] = attrs.field(factory=list)

    @property
    def socket(self) -> Path:
        return self.home / ".myownllm" / ".myownmesh" / "daemon.sock"

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MYOWNMESH_", "MYOWNLLM_"))}
        return {**kept, "HOME": str(self.home), "MYOWNMESH_MDNS": "off"}

    async def run(self, *arguments: str, status: int = 0) -> str:
        """What a command prints (both streams); its exit status must be as told."""
        done = await trio.run_process(
            [*words("myownllm"), *arguments],
            env=self.environment,
            check=False,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
        )
        text = done.stdout.decode()
        assert done.returncode == status, text
        return text

    async def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads((await self.run(*arguments, "--json", status=status)).splitlines()[-1])

    def start(self, *arguments: str) -> Up:
        """The app, whose lines nobody reads yet."""
        running = started(self.environment, *arguments)
        self.running.append(running.process)
        return running

    async def up(self, *arguments: str) -> Up:
        running = self.start(*arguments)
        self.nursery.start_soon(running.read)
        return running


class Up:
    """A running `myownllm up --json`."""

    def __init__(self, process: TrioForked | trio.Process, printed: trio.abc.ReceiveStream) -> None:
        self.process = process
        self._printed = printed
        self.events: list[dict[str, Any]] = []
        self._more = trio.Event()

    async def read(self) -> None:
        buffer = b""
        async with self._printed:
            async for data in self._printed:
                *lines, buffer = (buffer + data).split(b"\n")
                self.events += [json.loads(line) for line in lines]
                self._more.set()
                self._more = trio.Event()

    async def wait(
        self, condition: Callable[[dict[str, Any]], bool], since: int = 0, limit_s: float = 15.0
    ) -> dict[str, Any]:
        with trio.fail_after(limit_s):
            while True:
                for event in self.events[since:]:
                    if condition(event):
                        return event
                await self._more.wait()

    async def online(self, since: int = 0) -> None:
        await self.wait(lambda e: e["event"] == "pill" and e["status"] == "online", since)

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        with trio.fail_after(15):
            return await self.process.wait()


@pytest.fixture
async def desk(nursery: trio.Nursery) -> AsyncIterator[Desk]:
    home = Path(tempfile.mkdtemp(prefix="fe-"))
    made = Desk(home, FakeDaemon(), nursery)
    made.socket.parent.mkdir(parents=True)
    await nursery.start(made.daemon.listen, made.socket)
    yield made
    for process in made.running:
        if process.returncode is None:
            process.kill()
            await process.wait()
    shutil.rmtree(home)


def save(desk: Desk, *handles: str) -> None:
    file = CatalogFile(desk.home / ".myownllm" / "config.json")
    for handle in reversed(handles):
        record = SavedNetwork(file.mint_id(), handle)
        file.mutate(lambda c, r=record: c.add_network(r, activate=True))  # type: ignore[misc]  # mypy knows no default of a lambda


def join(desk: Desk, handle: str) -> None:
    desk.daemon.networks = [SavedNetwork("net-x", handle).to_daemon()]


# ── up ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_up_does_everything_that_the_seed_forgot(desk: Desk) -> None:
    """FE-1.4, FE-2.4, FE-4.12, FE-5.24."""
    save(desk, "home")
    up = await desk.up("--label", "Anna")
    await up.online()
    for operation in (
        "events_subscribe", "network_add", "peers_list", "rpc_register", "channel_subscribe", "capabilities_set"
    ):  # fmt: skip
        assert operation in desk.daemon.ops()
    assert {"echo", "about", "count", "infer", "session_fetch", "session_save", "move_take", "move_drop"} <= set(
        desk.daemon.claims
    )
    gossip = {"catalog/announce", "permissions/snapshot", "prompts/snapshot"}
    assert {"notice", "rpc/cancel", "blob/v1", *gossip} <= set(desk.daemon.channels)
    offered = desk.daemon.capabilities["extra"]["features"]
    assert {"stream_error_v1", "stream_cancel_v1", *capabilities.FEATURES} <= set(offered)
    assert (
        capabilities.compatibility_line(capabilities.read({"app_version": "1", "features": offered}), "1")
        == "v1 · all features"
    )
    assert await up.stop() == 0
    assert desk.daemon.label == "Anna"
    assert desk.daemon.claims == {}, "claims are given back"
    assert desk.daemon.joined == ["home"], "the daemon stays joined"
    assert [e["event"] for e in up.events[-2:]] == ["stopping", "stopped"]


async def test_a_stopped_terminal_loses_lines_and_nothing_else(desk: Desk) -> None:
    """Ctrl-S, a pager, a full pipe: the app stays reachable, tells what was lost, and Ctrl-C ends it."""
    save(desk, "home")
    desk.daemon.peers = [peer_info()]
    up = desk.start()
    with trio.fail_after(15):
        while desk.daemon.capabilities is None:
            await trio.sleep(0.02)

    async def talk(lines: int, network: str) -> None:
        said = {"event_kind": "diag", "level": "warn", "category": "peer", "network_id": network, "detail": None}
        for number in range(lines):
            await desk.daemon.event(**said, ts=number, message="x" * 900)

    await talk(3000, "home")
    with trio.fail_after(5):
        assert (await desk.json("networks", "add", "work"))["joined"] is True
    desk.nursery.start_soon(up.read)
    assert (await up.wait(lambda e: e["event"] == "lost"))["lines"] > 100
    await up.wait(lambda e: e["event"] == "pill" and e["network"] == "work" and e["status"] == "online")
    await up.stop()

    deaf = desk.start()
    desk.daemon.capabilities = None
    with trio.fail_after(15):
        while desk.daemon.capabilities is None:
            await trio.sleep(0.02)
    await talk(300, "work")
    began = trio.current_time()
    deaf.process.send_signal(signal.SIGINT)
    with trio.fail_after(5):
        assert await deaf.process.wait() == 0
    assert trio.current_time() - began < 3
    assert desk.daemon.claims == {}, "claims are given back"


async def test_the_second_launch_sends_no_mutating_operation(desk: Desk) -> None:
    save(desk, "home")
    up = await desk.up()
    await up.online()
    await up.stop()
    desk.daemon.log.clear()
    up = await desk.up()
    await up.online()
    await up.stop()
    assert desk.daemon.mutations == []
    assert desk.daemon.ops("events_subscribe") == ["events_subscribe"]


async def test_a_person_sees_knock_call_message_and_loss(desk: Desk) -> None:
    save(desk, "home")
    up = await desk.up()
    await up.online()
    desk.daemon.peers = [peer_info(**PENDING)]
    await desk.daemon.event(event_kind="peer", kind="authenticated", device_id=DEVICE_B)
    knock = await up.wait(lambda e: e["event"] == "knock")
    assert (knock["label"], knock["code_received"], knock["code_sent"]) == ("Pi", "k3x9qa", "zz11aa")
    desk.daemon.peers = [peer_info()]
    desk.daemon.phase = "active"
    await desk.daemon.event(event_kind="phase", kind="changed", prev="alone", next="active")
    await up.wait(lambda e: e["event"] == "pill" and e["text"] == "Connected · home · 1 peer · auto-healing ring")
    for frame in (
        {"kind": "rpc_inbound", "method": "echo", "request_id": "r", "payload": 1, "streaming": False},
        {"kind": "channel_inbound", "channel": "notice", "payload": {"text": "hi"}},
    ):
        await desk.daemon.emit({"network": "home", "from": DEVICE_B, **frame})
    assert (await up.wait(lambda e: e["event"] == "call"))["method"] == "echo"
    assert (await up.wait(lambda e: e["event"] == "message"))["payload"] == {"text": "hi"}
    desk.daemon.peers = []
    await desk.daemon.event(event_kind="peer", kind="dropped", device_id=DEVICE_B, reason={"kind": "user_left"})
    await up.wait(lambda e: e["event"] == "peer" and e["status"] == "gone")
    await up.stop()


async def test_networks_are_followed_while_up_runs(desk: Desk) -> None:
    """FE-5.19."""
    up = await desk.up()
    await up.wait(lambda e: e["event"] == "pill" and e["text"] == "No active network — pick one below")
    assert (await desk.json("networks", "add", "Home"))["joined"] is True
    assert desk.daemon.joined == ["home"]
    assert (await desk.json("networks", "add", "work", "--no-use"))["joined"] is None
    assert (await desk.json("networks", "use", "work"))["joined"] is True
    assert desk.daemon.joined == ["work"]
    assert "pick one below" in await desk.run("networks", "remove", "work")
    assert desk.daemon.joined == []
    assert (await desk.json("up"))["event"] == "already_running"
    await up.stop()


async def test_every_setting_is_edited_and_taken_back_and_what_became_of_it_is_said(desk: Desk) -> None:
    save(desk, "home")
    assert "`myownllm up` applies them" in await desk.run("networks", "edit", "--label", "Home")
    assert "nothing to change" in await desk.run("networks", "edit", status=1)
    up = await desk.up()
    await up.online()
    device = "c" * 51 + "q"
    words = (
        "--label", "Den", "--topology", f"star:{device}", "--auto-approve", "--relay", "ws://127.0.0.1:1", "--no-stun",
        "--turn", "turn:t.example:3478,bob,secret", "--accepting", "busy", "--no-gossip",
    )  # fmt: skip
    edited = await desk.json("networks", "edit", "home", *words)
    assert edited["settings"] == {"state": "rebuilt", "text": ""}
    assert (edited["accepting"], edited["auto_gossip"], edited["label"]) == ("busy", False, "Den")
    stored = desk.daemon.networks[0]
    assert (stored["label"], stored["auto_approve"], stored["topology"]) == (
        "Den",
        True,
        {"kind": "star", "hub": device},
    )
    assert stored["signaling"]["servers"] == ["ws://127.0.0.1:1"]
    assert (stored["stun_servers"], stored["turn_servers"][0]["username"]) == ([], "bob")
    cleared = [
        word for name in ("label", "topology", "auto-approve", "relays", "stun", "turn", "accepting", "gossip")
        for word in ("--clear", name)
    ]  # fmt: skip
    said = await desk.run("networks", "edit", *cleared)
    assert "Settings of 'home': applied; the network was rebuilt" in said
    stored = desk.daemon.networks[0]
    assert (stored["label"], stored["auto_approve"], stored["turn_servers"]) == ("", False, [])
    assert stored["stun_servers"][0]["urls"][0].startswith("stun:stun.l.google.com")
    saved = (await desk.json("networks", "list"))["networks"][0]
    assert {"label", "topology", "auto_approve"}.isdisjoint(saved)
    assert (saved["accepting"], saved["auto_gossip"]) == ("available", True)
    assert "Settings of 'Attic': applied." in await desk.run("networks", "edit", "--label", "Attic")
    desk.daemon.refuse["network_update"] = ["apply config: not to my taste"]
    said = await desk.run("networks", "edit", "--auto-approve", status=1)
    assert "saved, but the daemon rejected them: apply config: not to my taste" in said
    assert "Settings of 'Loft': applied." in await desk.run("networks", "add", "home", "--label", "Loft")
    await up.stop()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--relay", "foo bar"), "no relay address"),
        (("--stun", "http://foo"), "no STUN server"),
        (("--turn", "turn:t.example:1,bob"), "has no password"),
        (("--topology", "cube"), "is no topology"),
        (("--topology", "star:me"), "no whole device id"),
        (("--accepting", "maybe"), "available, limited, busy"),
        (("--clear", "everything"), "cannot be cleared"),
    ],
)
async def test_an_edit_that_cannot_be_is_refused_with_the_form(desk: Desk, words: tuple[str, ...], why: str) -> None:
    save(desk, "home")
    before = (desk.home / ".myownllm" / "config.json").read_text()
    assert why in await desk.run("networks", "edit", *words, status=1)
    assert (desk.home / ".myownllm" / "config.json").read_text() == before


async def test_what_is_asked_of_a_second_up_is_done_or_refused(desk: Desk) -> None:
    up = await desk.up("--label", "First")
    await up.wait(lambda e: e["event"] == "daemon")
    assert "now called Second" in await desk.run("up", "--label", "Second")
    assert desk.daemon.label == "Second"
    assert "end it, then start it with --listen" in await desk.run("up", "--listen", "news", status=1)
    await up.stop()


async def test_a_change_costs_one_question_and_one_answer(desk: Desk) -> None:
    """Neither the command nor the app looks again and again: the command knocks, the app answers when it is done."""
    up = await desk.up()
    await up.wait(lambda e: e["event"] == "diag" and "no network configured" in e["message"])
    desk.daemon.log.clear()
    began = trio.current_time()
    assert (await desk.json("networks", "add", "home"))["joined"] is True
    seconds = trio.current_time() - began
    checks = (seconds + 1) + (seconds / 5 + 1)
    assert len(desk.daemon.ops("status")) <= 1 + checks, "the start's own, the pulse, and the check of every 5 s"
    assert desk.daemon.ops("network_add") == ["network_add"]
    desk.daemon.refuse["network_add"] = ["join: no"] * 99
    assert (await desk.json("networks", "add", "work"))["joined"] is False
    desk.daemon.alive = False
    assert "has not left it yet" not in await desk.run("networks", "remove", "work")
    await up.stop()
    assert not (desk.home / ".myownllm" / "app.sock").exists()


async def test_an_edit_by_hand_is_followed(desk: Desk) -> None:
    up = await desk.up()
    await up.wait(lambda e: e["event"] == "pill" and e["text"] == "No active network — pick one below")
    save(desk, "home")
    await up.online()
    assert desk.daemon.joined == ["home"]


async def test_an_unfinished_edit_changes_nothing_and_bad_values_are_told(desk: Desk) -> None:
    """An editor that truncates before it writes, one that moves the file away first, and a link to somewhere else."""
    config, kept = desk.home / ".myownllm" / "config.json", desk.home / "dotfiles.json"
    save(desk, "home")
    up = await desk.up()
    await up.online()
    desk.daemon.log.clear()
    good = config.read_text()
    config.write_text("")
    await trio.sleep(1.5)
    assert "damaged" in await desk.run("networks", "list", status=1)
    assert "damaged" in await desk.run("networks", "add", "other", status=1)
    config.write_text(good.replace('"stun_servers": [', '"stun_servers": ["http://foo",'))
    told = await up.wait(lambda e: e["event"] == "diag" and "http://foo" in e["message"])
    assert told["level"] == "warn"
    config.rename(kept)
    await trio.sleep(1.2)
    config.symlink_to(kept)
    kept.write_text(kept.read_text().replace('"home"', '"work"'))
    await up.wait(lambda e: e["event"] == "pill" and e["network"] == "work" and e["status"] == "online")
    assert (await desk.json("networks", "add", "third"))["joined"] is True
    assert config.is_symlink()
    assert desk.daemon.ops("network_remove") == ["network_remove"] * 2, "home for work, work for third: no other"
    assert not list(config.parent.glob("*corrupt*"))


async def test_a_door_that_a_killed_app_left_is_replaced_and_one_that_cannot_be_opened_is_told(desk: Desk) -> None:
    door = desk.home / ".myownllm" / "app.sock"
    up = await desk.up()
    await up.wait(lambda e: e["event"] == "daemon")
    up.process.kill()
    await up.process.wait()
    assert door.exists()
    up = await desk.up()
    await up.wait(lambda e: e["event"] == "daemon")
    assert (await desk.json("networks", "add", "home"))["joined"] is True
    assert door.stat().st_mode & 0o777 == 0o600
    await up.stop()
    door.mkdir()
    up = await desk.up()
    await up.wait(lambda e: e["event"] == "diag" and "cannot reach this app" in e["message"])
    assert (await desk.json("networks", "add", "work"))["joined"] is False
    await up.wait(lambda e: e["event"] == "pill" and "work" in e["text"] and e["status"] == "online")


async def test_an_attached_daemon_is_never_ended(desk: Desk) -> None:
    up = await desk.up()
    ready = await up.wait(lambda e: e["event"] == "daemon")
    assert (ready["state"], ready["owned"], ready["mode"]) == ("up", False, "own_llm")
    await up.stop()
    assert (await desk.json("status"))["daemon"]["version"] == "0.3.8"


async def test_a_stale_binary_is_refused_with_version_pin_and_way_out(desk: Desk) -> None:
    """The seed's second bug at run time: a stale daemon lies beside the app, and there is no network to get another."""
    desk.daemon.alive = False
    desk.socket.unlink()
    stale = desk.home / "app" / "myownmesh"
    stale.parent.mkdir()
    stale.write_text("#!/bin/sh\necho myownmesh 0.1.1\n")
    stale.chmod(0o755)
    program = (
        f"import sys; sys.executable = {str(stale.with_name('python'))!r}; sys.argv = ['myownllm', 'up', '--json'];"
        "from myownllm.cli import main; main()"
    )
    environ = {**desk.environment, "PATH": "/usr/bin:/bin", "MYOWNMESH_OFFLINE": "1", "XDG_CACHE_HOME": str(desk.home)}
    process = await trio.lowlevel.open_process([sys.executable, "-c", program], env=environ, stdout=subprocess.PIPE)
    desk.running.append(process)
    assert process.stdout is not None
    up = Up(process, process.stdout)
    desk.nursery.start_soon(up.read)
    failed = await up.wait(lambda e: e["event"] == "daemon" and bool(e.get("error")))
    assert failed["state"] == "failed"
    for part in (str(stale), "0.1.1", "v0.3.8", "MYOWNLLM_MESH_BIN", "download: "):
        assert part in failed["error"]
    assert (await up.wait(lambda e: e["event"] == "pill" and "Mesh error" in e["text"]))["text"].count("0.1.1")
    assert await up.stop() == 0


# ── looking ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_status_for_people_and_scripts(desk: Desk) -> None:
    """FE-2.5."""
    save(desk, "home", "work")
    join(desk, "home")
    desk.daemon.phase, desk.daemon.peers = "active", [peer_info(), peer_info("c" * 52, **PENDING)]
    found = await desk.json("status")
    assert found["pill"] == "The app is not running — its daemon is on home, 1 device connected"
    assert (found["connected_peers"], found["pending_approvals"]) == (1, 1)
    assert found["daemon"]["joined_networks"] == ["home"]
    assert found["meets_pin"] is True
    text = await desk.run("status")
    assert text.startswith("The app is not running")
    assert "not running; `myownllm up` starts it" in text


async def test_status_of_a_daemon_that_refuses_everything_else(desk: Desk) -> None:
    save(desk, "home")
    desk.daemon.refuse = {"identity_show": [], "networks_list": []}
    status = await desk.json("status")
    assert status["reason"] == "the mesh daemon does not say how its networks are: refused"


async def test_status_without_a_daemon_says_what_to_do(desk: Desk) -> None:
    save(desk, "home")
    desk.socket.unlink()
    text = await desk.run("status")
    assert text.startswith("Not running — 'home' is joined as soon as `myownllm up` runs")
    assert "`myownllm up` starts it" in text
    assert "no mesh daemon answers" in await desk.run("peers", status=1)
    assert (await desk.json("peers", status=1))["error"]["message"].startswith("no mesh daemon answers")


@pytest.mark.parametrize(
    ("saved", "joined", "stop", "status"),
    [
        ((), "", "no_active_network", 11),
        (("home",), "", "network_not_joined", 15),
        (("home",), "home", "app_not_running", 16),
    ],
)
async def test_health_names_the_stop_and_exits_with_its_code(
    desk: Desk, saved: tuple[str, ...], joined: str, stop: str, status: int
) -> None:
    save(desk, *saved)
    if joined:
        join(desk, joined)
    report = await desk.json("health", status=status)
    assert report["findings"][0]["name"] == stop
    assert report["exit_status"] == status
    assert stop in await desk.run("health", status=status)


# ── deciding and calling ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_peers_are_listed_with_both_codes(desk: Desk) -> None:
    save(desk, "home")
    join(desk, "home")
    desk.daemon.peers = [peer_info(label="Pi\u202e\x1b[31m", **PENDING)]
    text = await desk.run("peers")
    assert "k3x9qa" in text
    assert "zz11aa" in text
    assert "wants to join" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert (await desk.json("peers"))["peers"][0]["status"] == "pending_approval"
    text = "the network's shape holds no link"
    why = {"code": "kept_apart_by_shape", "since_ms": 1, "text": text, "next": None}
    desk.daemon.peers = [peer_info(label="Spoke", status="sighted", why=why)]
    assert "not linked, by the network's shape" in await desk.run("peers")
    desk.daemon.peers = [peer_info(label="Spoke", status="sighted", why=None)]
    assert "connecting" in await desk.run("peers")


async def test_approval_carries_the_announced_label_and_checks_a_code(desk: Desk) -> None:
    """FE-12.44."""
    save(desk, "home")
    join(desk, "home")
    desk.daemon.peers = [peer_info(**PENDING)]
    assert "another code" in await desk.run("approve", "Pi", "--code", "xxxxxx", status=1)
    assert desk.daemon.mutations == []
    assert "it must approve this device as well" in await desk.run("approve", "pi", "--code", "k3x9qa")
    assert desk.daemon.log[-1] == {
        "op": "roster_approve", "network": "home", "device_id": DEVICE_B, "label": "Pi"
    }  # fmt: skip


async def test_approval_on_a_closed_network_is_an_admit_or_a_proposal(desk: Desk) -> None:
    save(desk, "home")
    join(desk, "home")
    desk.daemon.peers = [peer_info(**PENDING)]
    desk.daemon.signed = {"proposal_id": "prop_1", "effective": True, "waits_for": []}
    assert "Signed Pi" in await desk.run("approve", "pi", "--mfa-code", "123456")
    assert desk.daemon.log[-1]["mfa_code"] == "123456"
    owner = "a" * 51 + "q"
    desk.daemon.signed = {"proposal_id": "prop_1", "effective": False, "waits_for": [owner]}
    text = await desk.run("approve", "pi", status=3)
    assert "Proposed Pi" in text
    assert f"It waits for one of: {owner}-{device_suffix(owner)}." in text
    told = await desk.json("approve", "pi", status=3)
    assert (told["effective"], told["waits_for"], told["proposal_id"]) == (False, [owner], "prop_1")
    desk.daemon.signed["waits_for"] = []
    assert "Nobody who could sign it is left." in await desk.run("approve", "pi", status=3)


async def test_a_device_may_be_approved_before_it_knocks_by_its_whole_id(desk: Desk) -> None:
    save(desk, "home")
    join(desk, "home")
    assert (await desk.json("approve", f"{DEVICE_B}-{device_suffix(DEVICE_B)}"))["approved"] == DEVICE_B
    assert desk.daemon.roster[0]["label"] == ""


async def test_deny_also_finds_approved_devices_that_are_away(desk: Desk) -> None:
    save(desk, "home")
    join(desk, "home")
    desk.daemon.roster = [{"device_id": DEVICE_B, "label": "Old laptop", "approved_at": 1, "role": "member"}]
    assert "is away: it is approved here" in await desk.run("approve", "Old laptop", status=1)
    assert (await desk.json("deny", "old laptop"))["removed"] == DEVICE_B
    assert desk.daemon.log[-1] == {"op": "roster_remove", "network": "home", "device_id": DEVICE_B}


@pytest.mark.parametrize("name", [DEVICE_B, f"{DEVICE_B}-{device_suffix(DEVICE_B)}", DEVICE_B[:6], "Pi", "pi"])
async def test_a_call_by_every_kind_of_name(desk: Desk, name: str) -> None:
    save(desk, "home")
    join(desk, "home")
    desk.daemon.peers = [peer_info()]
    assert json.loads(await desk.run("call", name, "echo", '{"a": [1, 2.5, null]}')) == {"a": [1, 2.5, None]}
    sent = desk.daemon.log[-1]
    assert (sent["op"], sent["network"], sent["peer"], sent["method"]) == ("rpc_call", "home", DEVICE_B, "echo")


async def test_approved_devices_that_are_away_are_listed_since_when(desk: Desk) -> None:
    save(desk, "home")
    desk.daemon.roster += [
        {"device_id": DEVICE_B, "label": "Pi", "approved_at": 1_780_000_000, "role": "member"},
        {"device_id": "c" * 51 + "q", "label": "Old laptop", "approved_at": 1_780_000_000, "role": "member"},
        {"device_id": DEVICE_A, "label": "", "approved_at": 1_780_000_000, "role": "owner"},  # this one
    ]
    desk.daemon.peers = [peer_info()]
    up = await desk.up()
    await up.wait(lambda e: e["event"] == "peer" and e["status"] == "active")
    desk.daemon.peers = []
    before = time.time() * 1000
    await desk.daemon.event(event_kind="peer", kind="dropped", device_id=DEVICE_B, reason={"kind": "user_left"})
    await up.wait(lambda e: e["event"] == "peer" and e["status"] == "gone")
    await up.stop()
    pi, laptop = (await desk.json("peers"))["peers"]
    assert (pi["label"], pi["status"], laptop["label"], laptop["offline_since"]) == (
        "Pi",
        "offline",
        "Old laptop",
        None,
    )
    assert 0 <= pi["offline_since"] - before < 10_000
    assert re.search(r"Pi +offline since \d\d:\d\d", await desk.run("peers"))


@pytest.mark.parametrize("words", [("call", "Pi", "echo"), ("broadcast", "notice", "1", "--to", "Pi")])
async def test_who_asks_a_device_that_waits_for_approval_is_told_what_is_missing(
    desk: Desk, words: tuple[str, ...]
) -> None:
    save(desk, "home")
    join(desk, "home")
    refusal = f"peer not found: {DEVICE_B} not in active set"
    desk.daemon.refuse.update({op: [refusal] * 9 for op in ("rpc_call", "channel_send_to")})
    desk.daemon.peers = [peer_info(**PENDING)]
    assert "waits for your approval" in await desk.run(*words, status=1)
    desk.daemon.peers = [peer_info(status="pending_approval", local_approve_sent=True, remote_approve_seen=False)]
    assert "has not approved this device yet" in await desk.run(*words, status=1)


@pytest.mark.parametrize(
    "words",
    [
        ("call", "Old laptop", "echo"),
        ("call", "Old laptop", "count", "--stream"),
        ("broadcast", "notice", "1", "--to", "Old laptop"),
        ("approve", "Old laptop"),
        ("reconnect", "Old laptop"),
    ],
)
async def test_an_approved_device_that_is_away_is_not_called_unknown(desk: Desk, words: tuple[str, ...]) -> None:
    save(desk, "home")
    join(desk, "home")
    desk.daemon.roster.append(
        {"device_id": DEVICE_B, "label": "Old laptop", "approved_at": 1_780_000_000, "role": "member"}
    )
    assert "Old laptop (bbbbbbbb…" in (said := await desk.run(*words, status=1))
    assert said.rstrip().endswith("is away: it is approved here, but not connected now")
    (desk.home / ".myownllm" / "seen.json").write_text(json.dumps({"home": {DEVICE_B: 1_780_000_000_000}}))
    assert "not connected now; it was here last at 2026-05-" in await desk.run(*words, status=1)
    desk.daemon.peers = [peer_info(label="Old laptop", status="offline")]
    refusal = f"peer not found: {DEVICE_B} not in active set"
    desk.daemon.refuse.update({op: [refusal] for op in ("rpc_call", "rpc_call_stream", "channel_send_to")})
    if words[0] in ("call", "broadcast"):
        assert "is away" in await desk.run(*words, status=1)


async def test_calls_that_fail_say_why(desk: Desk) -> None:
    save(desk, "home")
    join(desk, "home")
    desk.daemon.peers = [peer_info()]
    assert "the payload is not JSON" in await desk.run("call", "Pi", "echo", "{nope", status=1)
    assert "known here: bbbbbbbb…" in await desk.run("call", "Nobody", "echo", status=1)
    desk.daemon.refuse["rpc_call"] = ["handler returned error: no handler for 'zap'"]
    assert "no handler for 'zap'" in await desk.run("call", "Pi", "zap", status=1)
    desk.daemon.hang.add("rpc_call")
    assert "timed out waiting for Pi" in await desk.run("call", "Pi", "echo", "--timeout", "0.1", status=1)
    assert "unknown network: nope" in await desk.run("peers", "--network", "nope", status=1)


async def test_what_a_daemon_is_too_old_for_has_a_kind_that_programs_branch_on(desk: Desk) -> None:
    save(desk, "home")
    join(desk, "home")
    refusal = "parse: unknown variant `invite_create`, expected one of `status`, `identity_show` at line 1 column 21"
    desk.daemon.refuse["invite_create"] = [refusal, refusal]
    assert (await desk.json("invite", status=1))["error"]["kind"] == "unsupported"
    said = await desk.run("invite", status=1)
    assert said.startswith("error: the mesh daemon that runs here cannot do this"), said
    assert said.endswith("; compare the codes instead\n"), said


async def test_a_streamed_answer_also_when_its_first_piece_overtakes_the_call(desk: Desk) -> None:
    save(desk, "home")
    join(desk, "home")
    desk.daemon.peers = [peer_info()]

    async def push(frames: list[dict[str, Any]]) -> None:
        for frame in frames:
            await desk.daemon.emit({"request_id": "ipc-stream-0", **frame})

    def chunks(*payloads: Any, error: str | None = None) -> list[dict[str, Any]]:
        pieces: list[dict[str, Any]] = [{"kind": "rpc_call_stream_chunk", "payload": p} for p in payloads]
        return [*pieces, {"kind": "rpc_call_stream_end", "error": error}]

    def answer_with(frames: list[dict[str, Any]]) -> None:
        desk.daemon.before["rpc_call_stream"] = lambda: desk.nursery.start_soon(push, frames)

    answer_with(chunks({"n": 1}, {"n": 2}))
    assert (await desk.run("call", "Pi", "count", "--stream")).split() == ['{"n":1}', '{"n":2}']
    answer_with(chunks({"n": 1}, {"error": "host busy"}))
    assert "handler returned error: host busy" in await desk.run("call", "Pi", "count", "--stream", status=1)
    answer_with(chunks())
    assert "without data" in await desk.run("call", "Pi", "count", "--stream", status=1)
    answer_with(chunks(error="network down"))
    assert "network down" in await desk.run("call", "Pi", "count", "--stream", status=1)


async def test_broadcast_label_and_reconnect(desk: Desk) -> None:
    save(desk, "home")
    join(desk, "home")
    desk.daemon.peers = [peer_info()]
    assert await desk.run("broadcast", "notice", '"hi"') == "Sent to 1 device.\n"
    assert (await desk.json("broadcast", "notice", "1", "--to", "Pi"))["dispatched_to"] == 1
    assert desk.daemon.log[-1]["op"] == "channel_send_to"
    assert (await desk.json("label", "Küche"))["label"] == "Küche"
    assert (await desk.run("label")).startswith("Küche  ")
    assert "64 is the most" in await desk.run("label", "x" * 65, status=1)
    assert "Reconnecting everything" in await desk.run("reconnect")
    assert "Reconnecting Pi on" in await desk.run("reconnect", "Pi")
    desk.daemon.refuse["network_reconnect"] = ["parse: unknown variant `network_reconnect`, expected one of `status`"]
    assert "not supported by this daemon" in await desk.run("reconnect", status=1)


async def test_networks_refuse_what_cannot_work(desk: Desk) -> None:
    for arguments, text in (
        (("add", "a b"), "network id contains ' '"),
        (("add", "ab"), "at least 3 characters"),
        (("add", "home", "--relay", "http://x"), "must begin with ws://"),
        (("add", "home", "--turn", "x"), "must begin with turn:"),
        (("add", "home", "--relay", "ws://"), "must name a host"),
        (("add", "home", "--relay", "wss://a b"), "it holds white space"),
        (("add", "home", "--relay", ""), "it is empty"),
        (("add", "home", "--stun", "stuns:h"), "must begin with stun:"),
        (("add", "home", "--relay", "wss://r:99999"), "must name a host"),
        (("add", "home", "--stun", "stun:"), "must name a host"),
        (("add", "home", "--turn", "turn:t:0,u,p"), "must name a host"),
        (("use", "nope"), "no saved network 'nope' (saved: none)"),
        (("use",), "name a saved network"),
        (("remove", "nope"), "no saved network"),
    ):
        assert text in await desk.run("networks", *arguments, status=1)
    odd = json.dumps({"kind": "myownllm.network-settings", "network_id": "home", "signaling_servers": [" ws://h"]})
    (desk.home / "odd.json").write_text(odd)
    assert "' ws://h' is no relay address" in await desk.run("networks", "import", f"{desk.home}/odd.json", status=1)
    made = await desk.json("networks", "add", "--relay", "WSS://BÜCHER.example/")
    assert made["signaling_servers"] == ["WSS://BÜCHER.example/"], "as it was spelled"
    made = await desk.json("networks", "add")
    assert len(made["network_id"]) == 8
    turn = await desk.json("networks", "add", "with-turn", "--turn", "turn:t:1,u,p,w", "--no-stun", "--label", " L ")
    assert turn["turn_servers"] == [{"url": "turn:t:1", "username": "u", "credential": "p,w"}]
    assert turn["stun_servers"] == []
    assert turn["label"] == "L"
    assert "with-turn" in await desk.run("networks", "list")


async def test_what_is_given_for_a_saved_network_changes_and_the_rest_stays(desk: Desk) -> None:
    first = await desk.json("networks", "add", "home", "--label", "Home", "--no-stun")
    assert (first["created"], first["changed"]) == (True, False)
    again = await desk.json("networks", "add", "HOME", "--relay", "ws://[::1]:4848/x")
    assert (again["created"], again["changed"], again["id"], again["label"]) == (False, True, first["id"], "Home")
    assert (again["signaling_servers"], again["stun_servers"]) == (["ws://[::1]:4848/x"], [])
    assert "has new settings" in await desk.run("networks", "add", "home", "--relay", "wss://r")
    assert "was saved already" in await desk.run("networks", "add", "home", "--relay", "wss://r")
    same = await desk.json("networks", "add", "home")
    assert (same["changed"], same["signaling_servers"], same["label"]) == (False, ["wss://r"], "Home")


async def test_settings_travel_to_another_device(desk: Desk) -> None:
    await desk.run("networks", "add", "home", "--relay", "wss://r", "--turn", "turn:t:1,u,pw", "--label", "Home")
    text = await desk.run("networks", "export")
    assert "note: this holds TURN passwords" in text
    assert "pw" not in await desk.run("networks", "export", "home", "--no-secrets")
    envelope = desk.home / "home.json"
    envelope.write_text(text.splitlines()[-1])
    await desk.run("networks", "remove", "home")
    taken = await desk.json("networks", "import", str(envelope))
    assert (taken["network_id"], taken["label"], taken["active"]) == ("home", "Home", True)
    assert taken["turn_servers"] == [{"url": "turn:t:1", "username": "u", "credential": "pw"}]
    envelope.write_text('{"kind": "myownmesh.network-settings", "network_id": "Home"}')
    again = await desk.json("networks", "import", str(envelope), "--no-use")
    assert (again["id"], again["label"], again["signaling_servers"]) == (taken["id"], "Home", [])
    envelope.write_text("{}")
    assert "no network settings" in await desk.run("networks", "import", str(envelope), status=1)


async def test_a_daemon_of_another_app_is_shared_and_its_networks_stay(desk: Desk) -> None:
    """Scenario 08 S18: attach, add ours, leave theirs alone, and let the daemon live."""
    other = FakeDaemon()
    other.networks = [SavedNetwork("gui", "gui-net").to_daemon()]
    (desk.home / ".myownmesh").mkdir()
    await desk.nursery.start(other.listen, desk.home / ".myownmesh" / "daemon.sock")
    save(desk, "home")
    up = await desk.up()
    await up.online()
    assert (await up.wait(lambda e: e["event"] == "daemon"))["mode"] == "shared"
    assert other.joined == ["gui-net", "home"]
    await desk.run("networks", "add", "work")
    assert other.joined == ["gui-net", "work"]
    await desk.run("networks", "use", "--none")
    await up.wait(lambda e: e["event"] == "pill" and e["text"] == "No active network — pick one below")
    with trio.fail_after(10):
        while other.joined != ["gui-net"]:
            await trio.sleep(0.01)
    assert await up.stop() == 0
    assert desk.daemon.log == []


async def test_up_ends_when_its_reader_does(desk: Desk) -> None:
    save(desk, "home")
    process = await trio.lowlevel.open_process(
        [*PROGRAM, "up", "--json"], env=desk.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    desk.running.append(process)
    assert process.stdout is not None
    await process.stdout.receive_some(1)
    await process.stdout.aclose()
    desk.daemon.peers = [peer_info()]
    with trio.fail_after(15):
        while process.returncode is None:
            await desk.daemon.event(event_kind="peer", kind="sighted", device_id=DEVICE_B)
            desk.daemon.peers = [] if desk.daemon.peers else [peer_info()]
            await trio.sleep(0.1)
            process.poll()
    assert process.returncode == 0


async def test_help_and_version_are_quick(desk: Desk) -> None:
    assert "networks" in await desk.run("-h")
    assert "18 peers_unreachable" in " ".join((await desk.run("health", "--help")).split())
    for nonsense in ("0", "-1", "nan", "inf"):
        assert "at most 600 seconds" in await desk.run("call", "x", "echo", "--timeout", nonsense, status=2)
    assert (await desk.run("--version")).startswith("myownllm ")
    loaded = "import sys, myownllm.cli.tree; print({'trio', 'httpx', 'psutil', 'rich', 'asyncio'} & set(sys.modules))"
    done = await trio.run_process([sys.executable, "-c", loaded], capture_stdout=True)
    assert done.stdout.strip() == b"set()", "what only `up` needs is not loaded by every command"


@pytest.mark.parametrize(
    "arguments", few([("networks", "list"), ("networks", "list", "--json"), ("up",), ("up", "--json")], every=4)
)
async def test_output_that_goes_nowhere_is_one_sentence_at_most(desk: Desk, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:  # noqa: ASYNC230 - a device
        done = await trio.run_process(
            [*PROGRAM, *arguments], env=desk.environment, check=False, stdout=full, capture_stderr=True
        )
    assert b"Traceback" not in done.stderr
    assert done.returncode == 1, "a list is lost, and an app has ended that nobody asked to"
    assert b"No space left on device" in done.stderr
    closed = ["sh", "-c", f"exec {' '.join([*PROGRAM, 'networks', 'list'])} >&-"]
    assert (await trio.run_process(closed, env=desk.environment, check=False)).returncode == 0


async def test_a_locale_without_letters_changes_no_outcome(desk: Desk) -> None:
    save(desk, "home")
    plain = {**desk.environment, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = await trio.run_process([*PROGRAM, "health"], env=plain, check=False, capture_stdout=True)
    assert done.returncode == 15
    assert "✗ network_not_joined" in done.stdout.decode()
