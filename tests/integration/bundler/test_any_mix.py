"""Any mix of overrides, siblings, slots, locks and server moods: what ends up in the slot is always accounted for.

The decision alone is held to this in the unit tests; here the whole of `ensure` is, with real files and a real server.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.bundler import release_server as trouble
from integration.bundler.bench import ASSET, QUICK, TAG, Machine
from integration.bundler.fakes import daemon, install
from integration.bundler.release_server import ReleaseServer, tar_gz
from mesh_bundler import Refused, client
from mesh_bundler.lockfile import Lock, LockEntry
from support.examples import examples

if TYPE_CHECKING:
    from mesh_bundler.record import Record

PINNED = daemon("0.1.2", salt="release")
OLDER = daemon("0.1.1", salt="older")
OTHER = daemon("0.1.2", salt="sibling")  # the pinned version, other bytes
JUNK = b"\x7fELF" + bytes(200)
BINARIES = {"pinned": PINNED, "older": OLDER, "other": OTHER, "junk": JUNK, "empty": b""}

_binaries = st.sampled_from([None, *BINARIES])
_mixes = st.fixed_dictionaries(
    {
        "slot": _binaries,
        "marker": st.sampled_from([None, "v0.1.2", "v0.1.1"]),
        "sibling": _binaries,
        "override": st.sampled_from([None, None, None, "older", "other", "junk", "missing"]),
        "released": st.sampled_from(["pinned", "pinned", "older", "junk"]),
        "sidecar": st.sampled_from(["right", "right", "wrong", "missing", "html"]),
        "lock": st.sampled_from([None, None, "right", "wrong"]),
        "mood": st.sampled_from(["fine", "fine", "404", "html", "cut", "503"]),
        "require": st.booleans(),
        "allow_stub": st.booleans(),
        "offline": st.sampled_from([False, False, True]),
        "again": st.booleans(),
    }
)


def _arrange(machine: Machine, server: ReleaseServer, mix: dict[str, Any]) -> bytes:
    """Build the world of one example; returns the archive that the server holds."""
    if mix["slot"] is not None:
        install(machine.slot, BINARIES[mix["slot"]])
    if mix["marker"] is not None:
        machine.dest.mkdir(exist_ok=True)
        (machine.dest / ".bundled-rev").write_text(mix["marker"])
    if mix["sibling"] is not None:
        install(machine.sibling, BINARIES[mix["sibling"]])
    if mix["override"] is not None:
        path = machine.folder / "override"
        if mix["override"] != "missing":
            install(path, BINARIES[mix["override"]])
        machine.env["MYOWNMESH_BIN"] = str(path)
    archive = tar_gz(("myownmesh", BINARIES[mix["released"]]))
    server.publish(TAG, ASSET, archive)
    digest = hashlib.sha256(archive).hexdigest()
    sidecars = {"wrong": f"{'0' * 64}  {ASSET}\n", "html": "<html>", "right": f"{digest}  {ASSET}\n"}
    if mix["sidecar"] == "missing":
        del server.assets[TAG, f"{ASSET}.sha256"]
    else:
        server.assets[TAG, f"{ASSET}.sha256"] = sidecars[mix["sidecar"]].encode()
    if mix["lock"] is not None:
        locked = digest if mix["lock"] == "right" else "1" * 64
        lock = Lock("myownmesh", TAG, "o/r", {"linux-x86_64": LockEntry(ASSET, len(archive), locked)})
        (machine.repo / ".myownmesh-lock.json").write_bytes(lock.to_bytes())
    server.once = False
    server.scripts.clear()
    moods = {"404": trouble.status(404), "html": trouble.html, "cut": trouble.cut(0.5), "503": trouble.status(503)}
    if mix["mood"] in moods:
        server.script(f"{TAG}/{ASSET}", moods[mix["mood"]])
    return archive


def _assert_accounted_for(machine: Machine, mix: dict[str, Any], before: bytes | None, outcome: str) -> None:
    held = machine.slot.read_bytes() if machine.slot.exists() else None
    if outcome == "refused":
        assert held == before, "a refused run changed the slot"
        return
    if mix["override"] is not None:
        assert held == BINARIES[mix["override"]]
        assert machine.marker is None
        return
    if outcome == "stub":
        assert mix["allow_stub"]
        assert not mix["require"]
        assert held == b""
        assert mix["mood"] in ("404", "cut", "503") or mix["offline"], "a stub after something else than unavailability"
        return
    assert outcome in ("staged", "current")
    assert held in (PINNED, OTHER), "the slot does not hold the pinned version"
    record = machine_record(machine)
    assert record.sha256 == hashlib.sha256(held).hexdigest()
    if mix["require"]:
        assert held == PINNED, "a release build took something else than the release"
        assert record.verified in ("checksum", "lock")
    if record.source == "release" and outcome == "staged":
        assert mix["lock"] == "right" or (mix["lock"] is None and mix["sidecar"] == "right"), "nothing vouched for it"
        assert machine.marker == TAG


def machine_record(machine: Machine) -> Record:
    from mesh_bundler.record import parse_record

    (path,) = machine.dest.glob(".bundled-*.json")
    record = parse_record(path.read_bytes())
    assert record is not None
    return record


@settings(max_examples=examples(80), deadline=None, suppress_health_check=list(HealthCheck))
@given(mix=_mixes)
def test_whatever_the_mix_the_slot_is_accounted_for(mix: dict[str, Any]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        ReleaseServer().running() as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(client.Client, "pause", lambda _self, _seconds: None)
        machine = Machine(Path(folder), server)
        _arrange(machine, server, mix)
        for _ in range(2 if mix["again"] else 1):
            before = machine.slot.read_bytes() if machine.slot.exists() else None
            outcome = _run(machine, mix)
            _assert_accounted_for(machine, mix, before, outcome)
            assert not list(machine.dest.glob("*.incoming*"))


def _run(machine: Machine, mix: dict[str, Any]) -> str:
    switches = {name: mix[name] for name in ("require", "allow_stub", "offline")}
    try:
        return machine.run(limits=QUICK, dev=not mix["require"], **switches).outcome
    except Refused:
        return "refused"
