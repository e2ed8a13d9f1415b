"""Seeded faults on two devices with calls, questions and files under way: afterwards it is as if nothing had been.

`scripts/chaos` makes 200 of seed 1, `scripts/chaos 1000 7` a thousand of seed 7; each run of a seed is the same story.
`MESH_CHAOS_KEEP=FOLDER` keeps both homes there, with what the apps printed and their daemons' logs.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from e2e.devices import Pair, ask, demo, eventually
from integration.chaos.faults import Faults, Models, daemons
from integration.chaos.load import MODEL, WORDS, Load
from mesh_common.client.errors import ControlError
from myownllm.door import client as door
from myownllm.errors import AppError
from support.moods import Moods
from support.preloaded import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTLED_S = 60.0
"""A silent daemon is replaced within ten seconds, and links are made anew; these machines are shared."""
TRUE_S = 2.0
"""For so long a screen may say something else than what is."""
IN_THE_MIDDLE_S = 0.5
"""A fault comes at a moment of so long a time, in which a file and an answer are under way."""
LEFT_S = 10.0
"""For a receiver to hear that a file will not come: asked again after a failure, with a pause."""
FAULTS = int(os.environ.get("MESH_CHAOS_FAULTS", "3"))
SEED = int(os.environ.get("MESH_CHAOS_SEED", "1"))
KEEP = os.environ.get("MESH_CHAOS_KEEP", "")
pytestmark = pytest.mark.skipif(missing() != "", reason=missing())


class World:
    """Two devices of which Boris has a model server; each lives with moods of its own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.models = Models(models=[MODEL], words=WORDS, delay_s=0.02)
        self.pair = Pair(base / "devices", forked=False)  # each lives with a library of its own
        self.moods: dict[str, Moods] = {}
        for device in self.pair.both:
            self._prepare(device)

    def _prepare(self, device: Any) -> None:
        program = device.home / "daemon"
        program.write_text(f'#!/bin/sh\nexec {demo.BIN / "myownmesh"} "$@"\n')
        program.chmod(0o755)
        device.daemon = str(program)
        folder = self.base / device.name
        folder.mkdir()
        moods = self.moods[device.name] = Moods(folder)
        plain = device.environment()
        device.environment = lambda: {**plain, **moods.environment}
        url = self.models.server.url
        demo.configure(device, {"kind": "ollama", "base_url": url} if device.name == "Boris" else {"kind": "none"})

    def begin(self) -> None:
        self.pair.up()
        self.pair.meet("home")
        for device in self.pair.both:
            device.id = ask(device, "identity_show")["pubkey"]
        path = self.pair.boris.home / ".myownllm" / "config.json"
        config = json.loads(path.read_text())
        config["files"]["accept_from"] = [self.pair.anna.id]
        path.write_text(json.dumps(config))

    def stop(self) -> None:
        self.pair.stop()
        self.models.stop()


@pytest.fixture
def world() -> Iterator[World]:
    base = demo.temporary_base()
    made = World(base)
    try:
        made.begin()
        yield made
    finally:
        made.stop()
        if KEEP:
            shutil.copytree(base, KEEP, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock", "file-*"))
        shutil.rmtree(base, ignore_errors=True)


def connected(device: Any) -> bool:
    try:
        peers = ask(device, "peers_list", network="home")["peers"]
    except (ControlError, OSError):
        return False
    return [p["status"] for p in peers] == ["active"]


def says_connected(device: Any) -> bool:
    device.mark()
    last = next(event["text"] for event in reversed(device.events) if event["event"] == "pill")
    return bool(last.startswith("Connected · home · 1 peer"))


def is_in_the_middle(load: Load, what: str) -> None:
    """A fault that meets nothing under way would show little."""
    until = time.monotonic() + SETTLED_S
    while not load.is_under_way():
        assert time.monotonic() < until, f"{what}: no file and no answer at the same time, {load.done}"
        time.sleep(0.005)


def settles(world: World, load: Load, what: str) -> None:
    """Everything works again, and no screen says for longer than two seconds what is not."""
    until, before = time.monotonic() + SETTLED_S, dict(load.done)
    wrong_since = dict.fromkeys((d.name for d in world.pair.both), float("inf"))
    while True:
        now = time.monotonic()
        are = {device.name: (connected(device), says_connected(device)) for device in world.pair.both}
        for name, (is_so, is_said) in are.items():
            wrong_since[name] = float("inf") if is_so == is_said else min(wrong_since[name], now)
            assert now - wrong_since[name] <= TRUE_S, f"{what}: {name} says connected={is_said} for {TRUE_S} s"
        works = all(load.done[name] > count for name, count in before.items())
        if works and all(all(each) for each in are.values()):
            return
        assert now < until, f"{what}: {are}, {before} before, {load.done} now"
        time.sleep(0.05)


def is_quiet(device: Any) -> bool:
    """Nothing is being sent or received."""
    try:
        files = door.ask(device.home / ".myownllm" / "app.sock", "state", timeout_s=10)["files"]
    except AppError:
        return False
    return all(each["ended_at"] for each in (*files["outbound"], *files["inbound"]))


def leftovers(device: Any) -> list[str]:
    return [p.name for p in device.home.rglob("*") if "corrupt" in p.name or p.name.endswith((".tmp", ".part"))]


def nothing_is_left(world: World, load: Load, what: str) -> None:
    """One daemon in each home, no half file, and every file that has come is whole."""
    load.rest()
    for device in world.pair.both:
        eventually(lambda d=device: is_quiet(d), f"{what}: transfers of {device.name} end", SETTLED_S)  # type: ignore[misc]  # mypy knows no default of a lambda
        eventually(lambda d=device: len(daemons(d.home)) == 1, f"{what}: one daemon of {device.name}", 15)  # type: ignore[misc]  # mypy knows no default of a lambda
        eventually(lambda d=device: not leftovers(d), f"{what}: no leftovers of {device.name}", LEFT_S)  # type: ignore[misc]  # mypy knows no default of a lambda
    load.check_files()
    load.go_on()


@pytest.mark.slow
@pytest.mark.timeout(60 + 120 * FAULTS)
@pytest.mark.parametrize("seed", [SEED])
def test_after_every_fault_everything_is_as_if_nothing_had_been(world: World, seed: int) -> None:
    pair = world.pair
    saved = {d.name: d.run("networks", "list") for d in pair.both}
    rng = random.Random(seed)
    faults, load = Faults(rng, world.models, world.moods), Load(pair)
    story = [(rng.choice(faults.kinds), rng.choice(pair.both)) for _ in range(FAULTS)]
    try:
        settles(world, load, "before the first fault")
        for number, (fault, device) in enumerate(story):
            what = f"seed {seed}, fault {number}: {fault.__name__} on {device.name}"
            is_in_the_middle(load, what)
            time.sleep(rng.random() * IN_THE_MIDDLE_S)
            fault(device)
            ended = time.monotonic()
            settles(world, load, what)
            settled = time.monotonic()
            nothing_is_left(world, load, what)
            print(f"{what}: works after {settled - ended:.1f} s, {load.done}", flush=True)
    finally:
        load.stop()
    assert load.wrong == []
    for device in pair.both:
        assert device.run("networks", "list") == saved[device.name], "settings are intact"
    world.stop()
    for device in pair.both:
        eventually(lambda d=device: daemons(d.home) == [], f"no orphan of {device.name}")  # type: ignore[misc]  # mypy knows no default of a lambda
