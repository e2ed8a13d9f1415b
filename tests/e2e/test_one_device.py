"""One device whose daemon or settings are not as they should be, as real processes (spec 08 §11: S18, S20–S22)."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from e2e.devices import ask, bare_app, daemon_pid, demo, eventually, is_alive
from mesh_common.client import blocking
from mesh_common.client.errors import ControlError
from support.warm import words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOWHERE = ("--relay", "ws://127.0.0.1:9", "--no-stun")


@pytest.fixture
def device() -> Iterator[Any]:
    base = demo.temporary_base()
    made = demo.Device("Anna", base / "a")
    made.program = words("myownllm")
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(base, ignore_errors=True)


def daemon_is_up(event: Any) -> bool:
    return bool(event["event"] == "daemon" and event.get("state") == "up")


def ask_shared(socket: Path, operation: str, **members: Any) -> Any:
    return blocking.request(socket, operation, timeout=20, **members)


def answers(socket: Path) -> bool:
    """The file is there a moment before anybody listens."""
    try:
        ask_shared(socket, "status")
    except ControlError:
        return False
    return True


@contextmanager
def shared_daemon(device: Any) -> Iterator[Path]:
    """The daemon of another app of this user, in its own home; its socket."""
    home = device.home / ".myownmesh"
    home.mkdir(mode=0o700)
    environment = {**device.environment(), "MYOWNMESH_HOME": str(home)}
    with subprocess.Popen(
        [str(demo.BIN / "myownmesh"), "serve"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            eventually(lambda: answers(home / "daemon.sock"), "the shared daemon")
            yield home / "daemon.sock"
        finally:
            process.kill()


def test_s18_a_shared_daemon_keeps_what_it_had(device: Any) -> None:
    with shared_daemon(device) as socket:
        record = {"id": "gui-1", "network_id": "gui-net", "label": "", "signaling": {"servers": ["ws://127.0.0.1:9"]}}
        ask_shared(socket, "network_add", config=record)
        device.run("networks", "add", "home", *NOWHERE)
        device.up()
        assert device.wait("the daemon", daemon_is_up)["mode"] == "shared"

        def joined() -> list[str]:
            return sorted(ask_shared(socket, "status")["joined_networks"])

        eventually(lambda: joined() == ["gui-net", "home"], "both networks")
        device.run("networks", "add", "work", *NOWHERE)
        assert joined() == ["gui-net", "work"], "ours are ours, theirs are theirs"
        device.stop()
        assert joined() == ["gui-net", "work"], "it goes on without the app"


def test_s20_a_damaged_config_is_restored_and_kept(device: Any) -> None:
    device.run("networks", "add", "home", *NOWHERE)
    device.run("networks", "list")
    path = device.home / ".myownllm" / "config.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    device.up()
    device.wait("the daemon", daemon_is_up)
    notice = device.wait("a notice", lambda e: e["event"] == "diag" and "config.json.corrupt-" in e["message"])
    assert notice["level"] == "error"
    [kept] = path.parent.glob("config.json.corrupt-*")
    assert kept.name in notice["message"]
    assert kept.read_text() == whole[: len(whole) // 2]
    assert [n["network_id"] for n in device.run("networks", "list")["networks"]] == ["home"]
    eventually(lambda: ask(device, "status")["joined_networks"] == ["home"], "its network is joined")


def test_s21_a_program_that_never_binds_gives_way_to_the_next(device: Any) -> None:
    """The first child is gone, and it took less than twelve seconds, with some more for a busy machine."""
    wrong = device.home / "wrong"
    wrong.write_text('#!/bin/sh\n[ "$1" = --version ] && echo myownmesh 0.3.8 && exit\nexec sleep 1000\n')
    wrong.chmod(0o755)
    plain = device.environment()
    right = str(demo.BIN / "myownmesh")
    device.environment = lambda: {**plain, "MYOWNLLM_MESH_BIN": str(wrong), "MYOWNMESH_BIN": right}
    began = time.monotonic()
    device.up()
    device.wait("the second program", daemon_is_up)
    assert time.monotonic() - began < 12 + 8
    told = device.run("status")["daemon"]
    assert told["binary"] == right
    told = device.wait("the reason", lambda e: e["event"] == "daemon" and str(wrong) in e.get("note", ""))
    assert "socket never opened" in told["note"]
    children = subprocess.run(["pgrep", "-P", str(device.pid)], capture_output=True, text=True, check=False).stdout
    assert children.split() == [str(daemon_pid(device))]


@pytest.mark.slow
def test_s22_without_a_program_the_app_is_there_and_takes_one_that_comes(device: Any) -> None:
    """Remedies are shown, and a program that is dropped in works after `daemon retry`."""
    app, environment = bare_app(device)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([app, *words], env=environment, capture_output=True, text=True, timeout=30, check=False)

    assert run("networks", "add", "home", *NOWHERE).returncode == 0
    output = device.home / "said"
    with output.open("wb") as file:
        process = subprocess.Popen([app, "up"], env=environment, stdout=file, stderr=file)
    try:
        eventually(lambda: "what helps: put `myownmesh` on the PATH" in output.read_text(), "the remedies")
        assert "MYOWNLLM_MESH_BIN" in output.read_text()
        assert run("conversations", "new", "Plans").returncode == 0, "the rest of the app works"
        assert run("health").returncode == 13
        (app.parent / "myownmesh").symlink_to(demo.BIN / "myownmesh")
        assert run("daemon", "retry").returncode == 0
        eventually(lambda: run("health").returncode not in (12, 13), "a daemon", 20)
        assert is_alive(process.pid)
    finally:
        process.terminate()
        process.wait(20)
    assert process.returncode == 0


@pytest.mark.slow
def test_a_device_whose_daemon_has_forgotten_everything_says_that_it_is_another_one(device: Any) -> None:
    device.run("networks", "add", "home", *NOWHERE)
    device.up()
    device.wait("the daemon", daemon_is_up)
    eventually(lambda: ask(device, "status")["joined_networks"] == ["home"], "its network is joined")
    before, pid = ask(device, "status"), daemon_pid(device)
    assert ask(device, "factory_reset") == {"reset": True, "restarting": True}
    told = device.wait("the new device", lambda e: e["event"] == "diag" and before["device_id"] in e["message"])
    assert "its peers must approve it anew" in told["message"]
    eventually(lambda: ask(device, "status")["joined_networks"] == ["home"], "the app's own list is joined again")
    assert ask(device, "status")["device_id"] != before["device_id"]
    assert eventually(lambda: daemon_pid(device), "the app has it again") == pid, (
        "the same process: nothing was started, and it ends with this app"
    )
