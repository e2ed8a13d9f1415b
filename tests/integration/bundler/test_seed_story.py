"""The incident behind the project: two build machines, one stale sibling (spec 09 §1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.bundler.bench import TAG, Machine
from integration.bundler.fakes import daemon, install

if TYPE_CHECKING:
    from pathlib import Path

    from integration.bundler.release_server import ReleaseServer


def test_a_stale_sibling_on_one_of_two_machines_makes_no_difference(tmp_path: Path, server: ReleaseServer) -> None:
    with_sibling, without = Machine(tmp_path / "a", server), Machine(tmp_path / "b", server)
    install(with_sibling.sibling, daemon("0.1.1"))

    ours, theirs = with_sibling.run(), without.run()

    assert (ours.source, ours.version) == (theirs.source, theirs.version) == ("release", "0.1.2")
    assert with_sibling.slot.read_bytes() == without.slot.read_bytes()
    assert with_sibling.marker == without.marker == TAG

    (why,) = [notice.text for notice in with_sibling.notices if notice.id == "sibling_mismatch"]
    for needed in (str(with_sibling.sibling), "0.1.1", "v0.1.2", "MYOWNLLM_MESH_BIN", "git checkout v0.1.2"):
        assert needed in why
    assert "sibling_mismatch" not in without.said()


def test_once_rebuilt_at_the_pin_the_sibling_is_used_and_marked(tmp_path: Path, server: ReleaseServer) -> None:
    machine = Machine(tmp_path, server)
    install(machine.sibling, daemon("0.1.1"))
    machine.run()
    install(machine.sibling, daemon("0.1.2", salt="rebuilt"))

    result = machine.run()

    assert (result.outcome, result.source) == ("staged", "sibling")
    assert machine.slot.read_bytes() == machine.sibling.read_bytes()
    assert machine.marker == TAG
    assert machine.run().outcome == "current"


def test_the_override_is_used_whatever_its_version_and_never_marked(tmp_path: Path, server: ReleaseServer) -> None:
    machine = Machine(tmp_path, server)
    machine.run()
    assert machine.marker == TAG
    chosen = install(tmp_path / "mine" / "myownmesh", daemon("9.9.9"))
    machine.env["MYOWNLLM_MESH_BIN"] = str(chosen)

    result = machine.run()

    assert (result.source, result.version) == ("override", "9.9.9")
    assert machine.marker is None
    assert [notice.id for notice in result.warnings] == ["override_differs_from_pin"]
    del machine.env["MYOWNLLM_MESH_BIN"]
    assert machine.run().source == "release", "the override is gone, so the pin counts again"
