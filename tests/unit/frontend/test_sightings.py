"""When devices were here last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownllm.sightings import KEPT_DEVICES, Sightings

if TYPE_CHECKING:
    from pathlib import Path


def test_the_last_moment_of_each_device_is_kept_by_network(tmp_path: Path) -> None:
    file = Sightings(tmp_path / "seen.json")
    assert file.of("home") == {}
    file.note("home", {"a": 1, "b": 2})
    file.note("work", {"a": 9})
    file.note("home", {"b": 5})
    assert file.of("home") == {"a": 1, "b": 5}
    assert file.of("work") == {"a": 9}


def test_it_is_bounded_and_survives_damage(tmp_path: Path) -> None:
    file = Sightings(tmp_path / "seen.json")
    file.note("home", {f"d{n}": n for n in range(KEPT_DEVICES + 5)})
    assert min(file.of("home").values()) == 5
    for damage in ("[", "[]", '{"home": [1]}', '{"home": {"a": true, "b": "x"}}'):
        (tmp_path / "seen.json").write_text(damage)
        assert file.of("home") == {}
        file.note("home", {"a": 1})
        assert file.of("home")["a"] == 1
    Sightings(tmp_path / "no" / "such" / "folder").note("home", {"a": 1})
