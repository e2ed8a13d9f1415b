"""When devices were here last."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from myownllm.app import keep_sightings
from myownllm.sightings import KEPT_DEVICES, Sightings
from unit.frontend.fakes import DEVICE_B, peer_info
from unit.frontend.test_client import HOME, active, world

if TYPE_CHECKING:
    from pathlib import Path


def test_the_last_moment_of_each_device_is_kept_by_network(tmp_path: Path) -> None:
    file = Sightings(tmp_path / "seen.json")
    assert file.of("home") == {}
    file.note("home", {"a": (1, "Anna"), "b": (2, "")})
    file.note("work", {"a": (9, "")})
    file.note("home", {"b": (5, "Boris\ud800\u202e")})
    file.note("home", {"a": (7, "")})
    assert file.of("home") == {"a": 7, "b": 5}
    assert file.labels("home") == {"a": "Anna", "b": "Boris"}
    assert (file.of("work"), file.labels("work")) == ({"a": 9}, {})


def test_moments_of_a_release_that_kept_no_labels_are_read(tmp_path: Path) -> None:
    (tmp_path / "seen.json").write_text('{"home": {"a": 3}}')
    file = Sightings(tmp_path / "seen.json")
    file.note("home", {"b": (4, "Boris")})
    assert (file.of("home"), file.labels("home")) == ({"a": 3, "b": 4}, {"b": "Boris"})


def test_it_is_bounded_and_survives_damage(tmp_path: Path) -> None:
    file = Sightings(tmp_path / "seen.json")
    file.note("home", {f"d{n}": (n, "") for n in range(KEPT_DEVICES + 5)})
    assert min(file.of("home").values()) == 5
    for damage in ("[", "[]", '{"home": [1]}', '{"home": {"a": true, "b": "x", "c": [true, ""], "d": [1]}}'):
        (tmp_path / "seen.json").write_text(damage)
        assert file.of("home") == {}
        file.note("home", {"a": (1, "")})
        assert file.of("home")["a"] == 1
    Sightings(tmp_path / "no" / "such" / "folder").note("home", {"a": (1, "")})


@pytest.mark.parametrize("how", ["leaves", "stop", "leaves, then stop", "cancel"])
async def test_the_moment_of_leaving_is_kept_however_it_came(tmp_path: Path, how: str) -> None:
    """A device goes, the app goes, or both while the disk is busy with its arrival."""
    file = Sightings(tmp_path / "seen.json")
    async with world(active(HOME), tmp_path) as w, trio.open_nursery() as nursery:
        w.daemon.peers = [peer_info()]
        nursery.start_soon(keep_sightings, file, w.client)
        await w.client.start()
        with trio.fail_after(5):
            while DEVICE_B not in file.of("home"):
                await trio.sleep(0.005)
        arrived = file.of("home")[DEVICE_B]
        await trio.sleep(0.02)
        left = time.time() * 1000
        if "leaves" in how:
            w.daemon.peers = []
            w.client.peers_changed()
            await w.client.watch.until(lambda state: not state.peers)
        if "stop" in how:
            await w.client.stop()
        if how == "cancel":
            nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True), trio.move_on_after(1):
            while file.of("home")[DEVICE_B] == arrived:
                await trio.sleep(0.005)
        assert file.of("home")[DEVICE_B] >= int(left)
        assert file.labels("home") == {DEVICE_B: "Pi"}
        nursery.cancel_scope.cancel()
