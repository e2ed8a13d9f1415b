"""Every screen says the same, soon, and about the daemon that really runs: `up`, `status` and `health` side by side."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from integration.frontend.test_commands import PROGRAM, desk, save, started
from support.contention import Contention
from support.daemons import Control

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from integration.frontend.test_commands import Desk, Up
    from support.warm import TrioForked

__all__ = ["desk"]
"""a fixture"""


async def test_a_refused_network_has_one_headline_and_one_reason_everywhere(desk: Desk) -> None:
    """The seed's symptom: "Joining …" for ever, in three different wordings."""
    save(desk, "home")
    desk.daemon.refuse["network_add"] = ["join: relay list is not to my taste"] * 99
    up = await desk.up()
    pill = await up.wait(lambda e: e["event"] == "pill" and e["level"] == "bad")
    assert pill["text"] == "Mesh error: cannot join 'home': join: relay list is not to my taste"
    status = await desk.json("status")
    assert (status["pill"], status["level"], status["hint"]) == (pill["text"], "bad", pill["next_step"])
    assert (await desk.run("health", status=15)).startswith(pill["text"])
    await up.stop()


async def test_a_daemon_that_is_gone_has_its_reason_everywhere(desk: Desk) -> None:
    save(desk, "home")
    up = await desk.up()
    await up.online()
    environment = {**desk.environment, "PATH": "/usr/bin:/bin"}
    desk.daemon.alive = False
    desk.socket.unlink()
    pill = await up.wait(lambda e: e["event"] == "pill" and "socket" in e["reason"])
    assert "is gone" in pill["text"]
    done = await trio.run_process(
        [*PROGRAM, "health", "--json"], env=environment, check=False, capture_stdout=True, stderr=subprocess.STDOUT
    )
    assert done.returncode == 13
    assert "is gone" in json.loads(done.stdout)["findings"][0]["text"]
    await up.stop()


@attrs.define
class RealHome:
    """A home in which `up` starts a daemon of ours."""

    folder: Path
    environment: dict[str, str]
    nursery: trio.Nursery
    running: list[TrioForked | trio.Process] = attrs.field(factory=list)

    async def run(self, *arguments: str, status: int = 0) -> str:
        done = await trio.run_process(
            [*PROGRAM, *arguments], env=self.environment, check=False, capture_stdout=True, stderr=subprocess.STDOUT
        )
        assert done.returncode == status, done.stdout.decode()
        return done.stdout.decode()

    async def up(self, *arguments: str) -> Up:
        up = started(self.environment, *arguments)
        self.running.append(up.process)
        self.nursery.start_soon(up.read)
        return up


@asynccontextmanager
async def real_home(nursery: trio.Nursery, environ: Mapping[str, str]) -> AsyncIterator[RealHome]:
    folder = Path(tempfile.mkdtemp(prefix="fe-"))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MYOWNMESH_", "MYOWNLLM_"))}
    home = RealHome(folder, {**kept, "HOME": str(folder), "MYOWNMESH_MDNS": "off", **environ}, nursery)
    try:
        yield home
    finally:
        with trio.CancelScope(shield=True):
            for process in home.running:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
async def test_which_daemon_runs_is_said_and_a_hanging_one_is_replaced(nursery: trio.Nursery, tmp_path: Path) -> None:
    """An override that fails is told before another program is used; then the daemon that runs is stopped (SIGSTOP)."""
    override = tmp_path / "mine"
    override.write_text('#!/bin/sh\n[ "$1" = --version ] && { echo myownmesh 0.3.8; exit 0; }\necho broken; exit 3\n')
    override.chmod(0o755)
    async with real_home(nursery, {"MYOWNLLM_MESH_BIN": str(override)}) as home:
        await home.run("networks", "add", "home", "--relay", "ws://127.0.0.1:1", "--no-stun")
        up = await home.up()
        daemon = await up.wait(lambda e: e["event"] == "daemon" and e["state"] == "up")
        notes = [e["note"] for e in up.events[: up.events.index(daemon)] if e.get("note")]
        assert len([n for n in notes if str(override) in n and "exited with status 3" in n]) == 1, up.events
        assert daemon["binary"].endswith("/myownmesh")
        assert daemon["origin"].startswith("beside the app")
        pill = await up.wait(lambda e: e["event"] == "pill" and "no relay serves" in e["text"])
        assert "127.0.0.1:1" in pill["reason"]
        status = json.loads(await home.run("status", "--json"))
        assert status["pill"] == pill["text"].partition(" (")[0]
        text = await home.run("health", status=17 if status["phase"] == "signaling-up" else 19)
        assert text.startswith(pill["text"].partition(" (")[0])
        assert str(daemon["binary"]) in await home.run("status")

        seen, began, contention = len(up.events), time.time(), Contention()
        os.kill(daemon["pid"], signal.SIGSTOP)
        pill = await up.wait(lambda e: e["event"] == "pill" and "does not answer" in e["text"], seen)
        said = pill["t"] / 1000 - began
        # How long it may take here is known behind it: on a busy machine twelve seconds are more than fifteen.
        again = await up.wait(lambda e: e["event"] == "daemon" and e["state"] == "up", seen, 60.0)
        replaced = again["t"] / 1000 - began
        assert said < contention.stretched(3.5), said
        assert replaced < contention.stretched(10 + 2), f"{replaced} s"
        assert again["pid"] != daemon["pid"]
        assert not is_alive(daemon["pid"])
        assert await up.stop() == 0
        assert not is_alive(again["pid"])


async def test_a_lost_socket_file_is_no_lost_daemon(nursery: trio.Nursery) -> None:
    """Ours makes its file anew, so that commands find it again; the same process goes on."""
    async with real_home(nursery, {}) as home:
        up = await home.up()
        daemon = await up.wait(lambda e: e["event"] == "daemon" and e["state"] == "up")
        Path(daemon["socket"]).unlink()  # noqa: ASYNC240 - as above
        with trio.fail_after(10):
            while not Path(daemon["socket"]).exists():  # noqa: ASYNC240 - a file, which nobody announces
                await trio.sleep(0.05)
        answered: Any = json.loads(await home.run("status", "--json"))
        assert answered["daemon"]["pid"] == daemon["pid"]
        await up.stop()


async def test_health_names_hosted_services_that_others_miss(nursery: trio.Nursery) -> None:
    """A relay whose bus is away serves nevertheless; TURN without an address does not."""
    async with real_home(nursery, {}) as home:
        up = await home.up()
        daemon = await up.wait(lambda e: e["event"] == "daemon" and e["state"] == "up")
        control = await Control.open(Path(daemon["socket"]))
        relay = {"enabled": True, "bind": "127.0.0.1", "port": 0, "bus": "redis://:secret@127.0.0.1:1"}
        await control.ask("services_set", services={"signaling": relay, "turn": {"enabled": True}})
        await control.aclose()
        found: list[str] = []
        with trio.fail_after(20):
            while len(found) < 2:
                report = json.loads(await home.run("health", "--json", status=11))
                found = [each["text"] for each in report["findings"] if each["name"] == "service_trouble"]
        assert [text.partition(": ")[2].partition(" ")[0] for text in found] == ["the", "services.turn.bind"], found
        assert found[0].startswith("the relay that this device hosts: the other relays cannot be reached")
        assert found[1].startswith("the TURN server that this device is to host does not run")
        assert "secret" not in json.dumps(report)
        await up.stop()
