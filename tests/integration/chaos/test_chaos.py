"""Seeded faults on two devices with calls under way: after each of them everything is as if nothing had been.

`MESH_CHAOS_SEED=7` replays one seed; `MESH_CHAOS_SEEDS=20` runs that many, of twelve faults each.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.devices import Pair, ask, demo, eventually
from mesh_common.client.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAULTS = 12
SETTLED_S = 60.0
"""A silent daemon is replaced within ten seconds, and links are made anew; these machines are shared."""
TRUE_S = 2.0
"""So soon after the daemon knows it the screen says it, on a machine of its own."""
SLOWER = 4.0
SEEDS = (
    [int(os.environ["MESH_CHAOS_SEED"])]
    if "MESH_CHAOS_SEED" in os.environ
    else list(range(1, 1 + int(os.environ.get("MESH_CHAOS_SEEDS", "1"))))
)


class Calls:
    """Anna asks Boris again and again; an answer may fail to come, but never is another one."""

    def __init__(self, pair: Pair) -> None:
        self.answered = 0
        self.wrong: list[Any] = []
        self._pair = pair
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._over.wait(0.1):
            number += 1
            try:
                told = ask(
                    self._pair.anna, "rpc_call", network="home", peer=self._pair.boris.id, method="echo",
                    payload={"n": number}, timeout_ms=2000,
                )  # fmt: skip
            except (ControlError, OSError):
                continue
            self.answered += 1
            if told["response"] != {"n": number}:
                self.wrong.append(told)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def daemons(home: Path) -> list[int]:
    """Processes that serve in this home, zombies not counted."""
    found = []
    mark = f"MYOWNMESH_HOME={home / '.myownllm' / '.myownmesh'}".encode()
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or b"serve" not in (entry / "cmdline").read_bytes().split(b"\0"):
                continue
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


class Chaos:
    """The faults, each of which ends before it returns."""

    def __init__(self, pair: Pair, rng: random.Random) -> None:
        self.pair = pair
        self.rng = rng
        self.kinds: list[Callable[[Any], None]] = [
            self.kill_daemon, self.kill_app, self.freeze_daemon, self.freeze_app, self.write_half_a_config,
            self.delete_the_socket, self.replace_the_program,
        ]  # fmt: skip

    def kill_daemon(self, device: Any) -> None:
        os.kill(daemons(device.home)[0], signal.SIGKILL)

    def kill_app(self, device: Any) -> None:
        device.kill_app()
        device.up("--label", device.name)

    def freeze_daemon(self, device: Any) -> None:
        """Sometimes for longer than the app waits: then there is another one."""
        self._freeze(daemons(device.home)[0], self.rng.choice([0.5, 2.5, 9.0]))

    def freeze_app(self, device: Any) -> None:
        self._freeze(device.pid, self.rng.choice([0.5, 3.0]))

    @staticmethod
    def _freeze(pid: int, seconds: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return

    def write_half_a_config(self, device: Any) -> None:
        path = device.home / ".myownllm" / "config.json"
        whole = path.read_text()
        path.write_text(whole[: self.rng.randrange(len(whole))])
        time.sleep(self.rng.choice([0.1, 1.2, 2.5]))
        path.write_text(whole)

    def delete_the_socket(self, device: Any) -> None:
        (device.home / ".myownllm" / ".myownmesh" / "daemon.sock").unlink(missing_ok=True)

    def replace_the_program(self, device: Any) -> None:
        """An upgrade underneath: another file of that name, and the daemon that ran from the old one ends."""
        program = device.home / "daemon"
        program.with_name("daemon.new").write_text(program.read_text() + "# newer\n")
        program.with_name("daemon.new").chmod(0o755)
        program.with_name("daemon.new").rename(program)
        os.kill(daemons(device.home)[0], signal.SIGTERM)


@pytest.fixture
def pair() -> Iterator[Pair]:
    base = demo.temporary_base()
    made = Pair(base)
    for device in made.both:
        program = device.home / "daemon"
        program.write_text(f'#!/bin/sh\nexec {demo.BIN / "myownmesh"} "$@"\n')
        program.chmod(0o755)
        device._daemon = str(program)
    try:
        made.up()
        yield made
    finally:
        made.stop()
        shutil.rmtree(base, ignore_errors=True)


def connected(device: Any) -> bool:
    try:
        peers = ask(device, "peers_list", network="home")["peers"]
    except (ControlError, OSError):
        return False
    return [p["status"] for p in peers] == ["active"]


def shows_connected(device: Any) -> bool:
    device.mark()
    pills = [e["text"] for e in device.events if e["event"] == "pill"]
    return pills[-1].startswith("Connected · home · 1 peer")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
def test_after_every_fault_everything_is_as_if_nothing_had_been(pair: Pair, seed: int) -> None:
    pair.meet("home")
    for device in pair.both:
        device.id = ask(device, "identity_show")["pubkey"]
    saved = {d.name: d.run("networks", "list") for d in pair.both}
    chaos, calls = Chaos(pair, random.Random(seed)), Calls(pair)
    story = [(chaos.rng.choice(chaos.kinds), chaos.rng.choice(pair.both)) for _ in range(FAULTS)]
    try:
        for number, (fault, device) in enumerate(story):
            what = f"seed {seed}, fault {number}: {fault.__name__} on {device.name}"
            fault(device)
            for each in pair.both:
                eventually(lambda d=each: connected(d), f"{what}: {each.name} connected", SETTLED_S)  # type: ignore[misc]
                eventually(lambda d=each: shows_connected(d), f"{what}: {each.name} says so", TRUE_S * SLOWER)  # type: ignore[misc]
                eventually(lambda d=each: len(daemons(d.home)) == 1, f"{what}: one daemon of {each.name}", 15)  # type: ignore[misc]
            before = calls.answered
            eventually(lambda n=before: calls.answered > n, f"{what}: calls go on", SETTLED_S)  # type: ignore[misc]
    finally:
        calls.stop()
    assert calls.wrong == []
    for device in pair.both:
        assert device.run("networks", "list") == saved[device.name], "settings are intact"
        home = device.home / ".myownllm"
        left = [p.name for p in home.rglob("*") if "corrupt" in p.name or p.name.endswith((".tmp", ".part"))]
        assert left == []
    pair.stop()
    for device in pair.both:
        eventually(lambda d=device: daemons(d.home) == [], f"no orphan of {device.name}")  # type: ignore[misc]
