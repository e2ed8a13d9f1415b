"""Every row of the failure matrix (spec 09 §12) that is not the updater's, against a real server on loopback."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import struct
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.bundler import release_server as trouble
from integration.bundler.bench import ASSET, QUICK, TAG, TRIPLE, Machine, publish
from integration.bundler.fakes import Program, daemon, install, running
from integration.bundler.release_server import tar_gz
from mesh_bundler import Refused, client, examine, filelock
from mesh_bundler.lockfile import Lock, LockEntry
from support.contention import Contention

if TYPE_CHECKING:
    from integration.bundler.release_server import ReleaseServer

STORAGE = f"{TAG}/{ASSET}"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off is tested with its own clock; here it only costs time."""
    monkeypatch.setattr(client.Client, "pause", lambda _self, _seconds: None)


def lock_for(machine: Machine, sha256: str, size: int, *, pin: str = TAG) -> None:
    lock = Lock("myownmesh", pin, "mrjeeves/MyOwnMesh", {"linux-x86_64": LockEntry(ASSET, size, sha256)})
    (machine.repo / ".myownmesh-lock.json").write_bytes(lock.to_bytes())


def assert_untouched(machine: Machine, before: bytes | None = None) -> None:
    """The slot is what it was and no temp file is left."""
    assert (machine.slot.read_bytes() if machine.slot.exists() else None) == before
    assert not list(machine.dest.glob("*.incoming*")), "a temp file was left behind"
    assert not list(machine.dest.glob("*.tmp")), "a temp file was left behind"


# ── pin and lock (09 F1 to F4) ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", [None, "", "# nothing here\n"])
def test_f1_without_a_pin_nothing_happens_but_an_override_works(tmp_path: Path, text: str | None) -> None:
    machine = Machine(tmp_path, pin=None)
    if text is not None:
        (machine.repo / ".myownmesh-rev").write_text(text)
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("pin_missing", 3)
    machine.env["MYOWNMESH_BIN"] = str(install(tmp_path / "mine", daemon()))
    assert machine.run().source == "override"


@pytest.mark.parametrize(
    ("text", "code"),
    [("v1", "pin_incomplete_version"), ("main", "pin_floating"), ("v0.1.2\nv0.1.3", "pin_multiple_lines")],
)
def test_f2_a_bad_pin_never_reaches_the_network(machine: Machine, server: ReleaseServer, text: str, code: str) -> None:
    (machine.repo / ".myownmesh-rev").write_text(text)
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == (code, 3)
    assert server.requests == []


def test_f3_a_commit_pin_needs_proof(tmp_path: Path, server: ReleaseServer) -> None:
    commit = "93b536280faba49b84eb938245982fe4dce75985"
    machine = Machine(tmp_path, server, pin=commit)
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("commit_pin_has_no_release", 3)
    proof = Program().say(b"myownmesh 0.1.1 (93b5362 2026-05-28)\n").exit(0).build()
    install(machine.sibling, proof)
    assert machine.run().source == "sibling"
    assert server.requests == []


def test_f4_a_lock_for_another_pin_stops_everything(machine: Machine) -> None:
    lock_for(machine, "0" * 64, 5, pin="v0.1.1")
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("lock_out_of_date", 3)
    with pytest.raises(Refused) as caught:
        examine(machine.request(), check=True)
    assert (caught.value.code, caught.value.exit_code) == ("lock_out_of_date", 11)


def test_a_lock_of_an_unknown_format_is_not_guessed_at(machine: Machine) -> None:
    (machine.repo / ".myownmesh-lock.json").write_text('{"format": 2}')
    assert machine.refusal().code == "lock_unsupported"


# ── override (09 F5, F5a, F6) ─────────────────────────────────────────────────────────────────────────────────────────


def test_f5_a_bad_override_is_an_error_and_the_slot_stays(machine: Machine, tmp_path: Path) -> None:
    machine.run()
    before = machine.slot.read_bytes()
    script = install(tmp_path / "script", b"#!/bin/sh\n" + bytes(1024 * 1024))
    (tmp_path / "folder").mkdir()
    small = install(tmp_path / "small", daemon()[:1000])
    foreign = install(tmp_path / "foreign", Program().exit(0).build(machine=0xB7))
    for path, code in [
        (tmp_path / "nowhere", "override_missing"),
        (tmp_path / "folder", "override_invalid"),
        (script, "override_invalid"),
        (small, "override_invalid"),
        (foreign, "override_invalid"),
    ]:
        machine.env["MYOWNLLM_MESH_BIN"] = str(path)
        refusal = machine.refusal()
        assert (refusal.code, refusal.exit_code) == (code, 4)
        assert str(path) in refusal.message
        assert TAG in refusal.hint
        assert_untouched(machine, before)


def test_f5a_a_failed_fetch_keeps_the_old_daemon_unless_a_stub_is_allowed(
    machine: Machine, server: ReleaseServer
) -> None:
    machine.run()
    old = machine.slot.read_bytes()
    (machine.repo / ".myownmesh-rev").write_text("v0.1.3")

    refusal = machine.refusal()
    assert refusal.exit_code == 6
    assert_untouched(machine, old)
    assert "slot_stale" in machine.said()

    result = machine.run(allow_stub=True)
    assert result.outcome == "stub"
    assert machine.slot.read_bytes() == b""
    assert machine.slot.with_name(machine.slot.name + ".stale").read_bytes() == old
    assert machine.marker is None
    assert {"release_unavailable", "slot_stale", "stub_written"} <= set(machine.said())


def test_f5a_keep_stale_leaves_the_old_daemon_where_it_is(machine: Machine) -> None:
    machine.run()
    old = machine.slot.read_bytes()
    (machine.repo / ".myownmesh-rev").write_text("v0.1.3")
    assert machine.run(allow_stub=True, keep_stale=True).outcome == "stub"
    assert machine.slot.read_bytes() == old
    assert "slot_stale" in machine.said()


def test_f6_an_override_whose_version_cannot_be_read_is_used_with_a_warning(machine: Machine, tmp_path: Path) -> None:
    machine.run()
    machine.env["MYOWNMESH_BIN"] = str(install(tmp_path / "mute", Program().exit(3).build()))
    result = machine.run()
    assert (result.source, result.version) == ("override", None)
    assert [notice.id for notice in result.warnings] == ["override_version_unreadable"]
    assert machine.marker is None
    assert machine.run().outcome == "current"


# ── siblings (09 F7 to F12) ───────────────────────────────────────────────────────────────────────────────────────────


def test_f7_a_stale_sibling_does_not_hide_a_good_one(machine: Machine, server: ReleaseServer) -> None:
    install(machine.sibling, daemon("0.1.1"))
    good = install(machine.sibling.parents[1] / "debug" / "myownmesh", daemon("0.1.2", salt="debug"))
    install(machine.sibling.parents[1] / TRIPLE / "release" / "myownmesh", daemon("0.1.3"))
    result = machine.run()
    assert result.source == "sibling"
    assert machine.slot.read_bytes() == good.read_bytes()
    assert [notice.fields["actual"] for notice in result.warnings] == ["0.1.3", "0.1.1"]
    assert server.requests == []


def test_f8_a_hanging_sibling_is_killed_with_all_it_started(machine: Machine) -> None:
    hanging = Program().ignore_sigterm().fork_and_hang().hang().build(salt="hang")
    install(machine.sibling, hanging)
    began, contention = time.monotonic(), Contention()
    result = machine.run(probe_timeout=1)
    assert time.monotonic() - began < contention.stretched(10)
    assert result.source == "release"
    assert [notice.fields["reason"] for notice in result.warnings] == ["timeout"]
    assert not running(machine.sibling), "the probe left a process behind"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (Program().say(b"myownmesh 0.1.2\n").exit(1), "exit_status"),
        (Program().say(b"myownmesh 0.1.2\n").crash(), "killed"),
        (Program().say(b"othermesh 0.1.2\n").exit(0), "wrong_program"),
        (Program().say(b"myownmesh 0.1.2\n", fd=2).exit(0), "empty_output"),
        (Program().say(b"myownmesh soon\n").exit(0), "unparsable"),
        (Program().say(b"x" * 4000, times=2000).exit(0), "output_too_large"),
        (Program().say(b"myownmesh 0.1.2\xff\n").exit(0), "not_utf8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_f9_a_sibling_that_does_not_say_its_version_is_passed_over(
    machine: Machine, program: Program, reason: str
) -> None:
    install(machine.sibling, program.build(salt=reason))
    result = machine.run()
    assert result.source == "release"
    (notice,) = result.warnings
    assert (notice.id, notice.fields["reason"]) == ("sibling_unreadable", reason)
    for needed in (str(machine.sibling), reason, TAG, "MYOWNLLM_MESH_BIN"):
        assert needed in notice.text


def test_a_sibling_that_leaves_a_child_behind_is_read_and_cleaned_up(machine: Machine) -> None:
    program = Program().fork_and_hang().say(b"myownmesh 0.1.2\n").exit(0)
    install(machine.sibling, program.build(salt="child"))
    assert machine.run().source == "sibling"
    assert not running(machine.sibling)


def test_f10_a_sibling_for_another_machine_is_refused_without_running_it(machine: Machine) -> None:
    trap = Program().say(b"myownmesh 0.1.2\n").exit(0)
    install(machine.sibling, trap.build(machine=0xB7))
    result = machine.run()
    assert result.source == "release"
    assert [notice.id for notice in result.warnings] == ["sibling_wrong_target"]
    assert "aarch64" in result.warnings[0].text


def test_f10_a_sibling_for_another_libc_is_refused(machine: Machine) -> None:
    data = bytearray(daemon())
    loader = b"/lib/ld-musl-x86_64.so.1\0"
    at = len(data) - 8192
    entry = struct.pack("<IIQQQQQQ", 3, 4, 60_000, 0, 0, len(loader), len(loader), 1)
    data[40_000:40_056], data[60_000 : 60_000 + len(loader)] = entry, loader
    data[32:40] = struct.pack("<Q", 40_000)
    del at
    install(machine.sibling, bytes(data))
    result = machine.run()
    assert [notice.id for notice in result.warnings] == ["sibling_wrong_target"]
    assert "musl" in result.warnings[0].text


def test_f11_a_placeholder_is_no_sibling_and_no_news(machine: Machine) -> None:
    install(machine.sibling, b"")
    result = machine.run()
    assert (result.source, result.warnings) == ("release", ())
    assert [notice.level for notice in machine.notices if notice.id == "sibling_stub"] == ["note"]


def test_f12_a_sibling_that_is_rebuilt_while_it_is_copied(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebuilt once: the new build is judged and used. Rebuilt all the time: refused."""
    from mesh_bundler import slot

    install(machine.sibling, daemon("0.1.2", salt="first"))
    builds = iter(["second", *[f"again {count}" for count in range(20)]])
    limit = [1]
    finish = slot.Incoming.finish

    def rebuild_meanwhile(self: slot.Incoming) -> object:
        if limit[0] > 0:
            limit[0] -= 1
            install(machine.sibling, daemon("0.1.2", salt=next(builds)))
        return finish(self)

    monkeypatch.setattr(slot.Incoming, "finish", rebuild_meanwhile)
    assert machine.run().source == "sibling"
    assert machine.slot.read_bytes() == daemon("0.1.2", salt="second")

    limit[0] = 99
    install(machine.sibling, daemon("0.1.2", salt="third"))
    before = machine.slot.read_bytes()
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("source_changed", 10)
    assert_untouched(machine, before)


# ── target and release (09 F13 to F15) ────────────────────────────────────────────────────────────────────────────────


def test_f13_an_unsupported_target_lists_what_exists(machine: Machine) -> None:
    refusal = machine.refusal(target="armv7-unknown-linux-gnueabihf")
    assert (refusal.code, refusal.exit_code) == ("no_asset_for_target", 5)
    assert "linux-aarch64-musl" in refusal.hint


def test_f13_a_platform_that_came_later_names_its_first_release(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    refusal = machine.refusal(target="riscv64gc-unknown-linux-musl")
    assert (refusal.code, refusal.exit_code) == ("asset_not_in_release", 5)
    assert "v0.2.16" in refusal.message


def test_f14_an_asset_that_is_not_there_yet_is_waited_for(machine: Machine, server: ReleaseServer) -> None:
    archive = server.assets.pop((TAG, ASSET))
    sidecar = server.assets.pop((TAG, f"{ASSET}.sha256"))
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("asset_not_found", 6)
    assert "--wait-for-asset" in refusal.hint

    def arrives(self: client.Client, _seconds: float) -> None:
        server.assets[TAG, ASSET], server.assets[TAG, f"{ASSET}.sha256"] = archive, sidecar

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client.Client, "pause", arrives)
        assert machine.run(wait_for_asset=60).outcome == "staged"


def test_f15_a_release_that_does_not_exist(machine: Machine) -> None:
    (machine.repo / ".myownmesh-rev").write_text("v9.9.9")
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("release_not_found", 6)
    assert "v9.9.9" in refusal.message


# ── network (09 F16 to F23) ───────────────────────────────────────────────────────────────────────────────────────────


def test_f16_nobody_listens(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        machine.env["MYOWNMESH_RELEASE_BASE"] = f"http://127.0.0.1:{free.getsockname()[1]}/d"
        refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("network", 6)
    for needed in (f"/{TAG}/{ASSET}", ".sha256", "--seed-dir"):
        assert needed in refusal.hint
    assert machine.said().count("retrying") == QUICK.attempts - 1


def test_f16_a_certificate_that_cannot_be_trusted_is_not_retried(tmp_path: Path, server: ReleaseServer) -> None:
    machine = Machine(tmp_path)
    machine.env["MYOWNMESH_RELEASE_BASE"] = f"https://127.0.0.1:{server.port}/d"  # speaks no TLS at all
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("tls", 6)
    assert "retrying" not in machine.said()


@pytest.mark.parametrize("name", [ASSET, f"{ASSET}.sha256"])
def test_f17_a_login_portal_is_not_a_release(machine: Machine, server: ReleaseServer, name: str) -> None:
    server.once = False
    server.script(name, trouble.html)
    refusal = machine.refusal()
    assert refusal.exit_code == 7
    assert refusal.code == ("checksum_file_is_html" if name.endswith(".sha256") else "checksum_mismatch")
    assert_untouched(machine)


def test_f18_a_connection_that_dies_is_continued(machine: Machine, server: ReleaseServer) -> None:
    server.script(STORAGE, trouble.cut(0.6), None)
    result = machine.run()
    assert result.asset is not None
    assert result.asset["resumed"] is True
    assert machine.slot.read_bytes() == daemon("0.1.2")
    ranges = [headers.get("Range") for _, path, headers in server.requests if path == f"/storage/{STORAGE}"]
    total = len(server.assets[TAG, ASSET])
    assert ranges == [None, f"bytes={int(total * 0.6)}-"]


def test_f18_an_interrupted_run_is_continued_by_the_next(machine: Machine, server: ReleaseServer) -> None:
    server.once = False
    server.script(STORAGE, trouble.cut(0.4))
    assert machine.refusal(limits=replace(QUICK, attempts=1)).code == "network"
    server.scripts.clear()
    result = machine.run()
    assert result.asset is not None
    assert result.asset["resumed"] is True


@pytest.mark.parametrize("second", [trouble.ignoring_ranges, trouble.status(416)], ids=["ignores", "416"])
def test_f19_a_server_that_will_not_continue_starts_over(
    machine: Machine, server: ReleaseServer, second: object
) -> None:
    server.script(STORAGE, trouble.cut(0.5), second, None)  # type: ignore[arg-type]  # a second answer is one, too
    assert machine.run().outcome == "staged"
    assert machine.slot.read_bytes() == daemon("0.1.2")


def test_f19_a_file_that_changed_meanwhile_is_fetched_whole(machine: Machine, server: ReleaseServer) -> None:
    server.script(STORAGE, trouble.cut(0.5))
    machine.refusal(limits=replace(QUICK, attempts=1))
    publish(server, data=daemon("0.1.2", salt="rebuilt"))
    result = machine.run()
    assert result.asset is not None
    assert machine.slot.read_bytes() == daemon("0.1.2", salt="rebuilt")


def test_f20_a_slow_drip_is_given_up(machine: Machine, server: ReleaseServer) -> None:
    server.once = False
    server.script(STORAGE, trouble.drip(200, 0.02))
    refusal = machine.refusal(limits=replace(QUICK, attempts=2))
    assert (refusal.code, refusal.exit_code) == ("network", 6)
    assert "bytes per second" in refusal.message


def test_f20_one_slow_try_is_forgiven(machine: Machine, server: ReleaseServer) -> None:
    server.script(STORAGE, trouble.drip(200, 0.02), None)
    assert machine.run().outcome == "staged"


def test_f21_a_rate_limit_names_the_token_and_the_time(machine: Machine, server: ReleaseServer) -> None:
    server.once = False
    server.script(
        STORAGE, trouble.status(403, X_RateLimit_Remaining="0", X_RateLimit_Reset=str(int(time.time()) + 3600))
    )
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("rate_limited", 6)
    assert "MYOWNMESH_GITHUB_TOKEN" in refusal.hint
    assert "until" in refusal.message
    assert "retrying" not in machine.said()


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("86400", True),
        ("Fri, 01 Jan 2100 00:00:00 GMT", True),
        ("9" * 30, True),
        ("9" * 400, True),
        ("Fri, 99 Jan 2100 00:00:00 GMT", False),
        ("soon", False),
    ],
)
def test_f21_the_time_of_a_rate_limit_has_a_date(
    machine: Machine, server: ReleaseServer, asked: str, shown: bool
) -> None:
    server.once = False
    server.script(STORAGE, trouble.status(429, Retry_After=asked))
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("rate_limited", 6)
    assert bool(re.search(r"until 20[0-9]{2}-[01][0-9]-[0-3][0-9] [0-9:]{8}\.", refusal.message)) == shown


def test_f21_a_short_wait_is_obeyed(machine: Machine, server: ReleaseServer) -> None:
    server.script(STORAGE, trouble.status(429, Retry_After="2"), None)
    assert machine.run().outcome == "staged"


@pytest.mark.parametrize("code", [408, 425, 500, 502, 503, 504])
def test_servers_that_stumble_are_asked_again(machine: Machine, server: ReleaseServer, code: int) -> None:
    server.script(STORAGE, trouble.status(code), None)
    assert machine.run().outcome == "staged"


def test_f23_a_redirect_to_a_foreign_host_is_not_followed(machine: Machine, server: ReleaseServer) -> None:
    for target in ("http://192.0.2.1/x", "https://evil.example/x", "https://github.com.evil.example/x", "ftp://x/y"):
        server.script(ASSET, trouble.redirect(target))
        refusal = machine.refusal()
        assert (refusal.code, refusal.exit_code) == ("redirect_refused", 6)
    assert_untouched(machine)


def test_f23_redirects_in_a_circle_end(machine: Machine, server: ReleaseServer) -> None:
    server.once = False
    server.script(ASSET, trouble.redirect(f"{server.base}/{TAG}/{ASSET}"))
    assert machine.refusal().code == "redirect_refused"


# ── verification (09 F24 to F31) ──────────────────────────────────────────────────────────────────────────────────────


def test_f24_without_a_checksum_nothing_is_staged_unless_the_lock_vouches(
    machine: Machine, server: ReleaseServer
) -> None:
    del server.assets[TAG, f"{ASSET}.sha256"]
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("checksum_missing", 7)
    assert_untouched(machine)
    data = server.assets[TAG, ASSET]
    lock_for(machine, hashlib.sha256(data).hexdigest(), len(data))
    assert machine.run().verified == "lock"


def test_f25_wrong_bytes_once_are_fetched_again(machine: Machine, server: ReleaseServer) -> None:
    server.script(STORAGE, trouble.instead(b"wrong" * 1000), None)
    assert machine.run().outcome == "staged"
    assert "checksum_retry" in machine.said()
    second = [headers for _, path, headers in server.requests if path == f"/storage/{STORAGE}"][1]
    assert (second.get("Range"), second.get("Cache-Control")) == (None, "no-cache")


def test_f25_wrong_bytes_twice_are_refused_with_both_digests(machine: Machine, server: ReleaseServer) -> None:
    server.once = False
    server.script(STORAGE, trouble.instead(b"wrong" * 1000))
    refusal = machine.refusal(allow_stub=True, allow_source_build=True)
    assert (refusal.code, refusal.exit_code) == ("checksum_mismatch", 7)
    assert hashlib.sha256(b"wrong" * 1000).hexdigest() in refusal.message
    assert hashlib.sha256(server.assets[TAG, ASSET]).hexdigest() in refusal.message
    assert_untouched(machine)
    assert not list((machine.folder / "cache" / "partial").glob("*.part")), "a bad part was kept"


def test_a_short_body_without_a_length_is_found_out(machine: Machine, server: ReleaseServer) -> None:
    server.script(STORAGE, trouble.without_length(0.7), None)
    assert machine.run().outcome == "staged"
    assert machine.slot.read_bytes() == daemon("0.1.2")


def test_f26_an_asset_that_was_replaced_after_locking(machine: Machine, server: ReleaseServer) -> None:
    data = server.assets[TAG, ASSET]
    lock_for(machine, hashlib.sha256(data).hexdigest(), len(data))
    evil = tar_gz(("myownmesh", daemon("0.1.2", salt="evil")))
    server.publish(TAG, ASSET, evil[: len(data)].ljust(len(data), b"\0"))
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("checksum_mismatch", 7)
    assert "replaced after locking" in refusal.message
    assert_untouched(machine)


def test_a_locked_size_is_exact(machine: Machine, server: ReleaseServer) -> None:
    data = server.assets[TAG, ASSET]
    lock_for(machine, hashlib.sha256(data).hexdigest(), len(data) - 1)
    assert machine.refusal().exit_code == 7
    lock_for(machine, hashlib.sha256(data).hexdigest(), len(data) + 1)
    assert machine.refusal().code == "size_mismatch"


def test_a_body_without_end_is_cut_off(machine: Machine, server: ReleaseServer) -> None:
    server.once = False
    server.script(STORAGE, trouble.endless)
    refusal = machine.refusal(limits=replace(QUICK, archive_max=3_000_000))
    assert (refusal.code, refusal.exit_code) == ("too_large", 7)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([("../myownmesh", b"x" * 2_000_000)], "parent_traversal"),
        ([("/usr/bin/myownmesh", b"x" * 2_000_000)], "absolute_path"),
        ([("myownmesh", bytes(64 * 1024 * 1024))], "ratio"),
        ([("bin/myownmesh", daemon())], "binary_missing"),
        ([("myownmesh", daemon()[:1000])], "binary_too_small"),
        ([("myownmesh", b"#!/bin/sh\n" + os.urandom(2_000_000))], "unknown_format"),
        ([("myownmesh", Program().exit(0).build(machine=0xB7))], "wrong_target"),
        ([("myownmesh", b"MZ" + os.urandom(2_000_000))], "truncated_pe"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_f28_to_f30_hostile_or_wrong_archives(
    machine: Machine, server: ReleaseServer, members: list[tuple[str, bytes]], code: str
) -> None:
    server.publish(TAG, ASSET, tar_gz(*members))
    refusal = machine.refusal(allow_stub=True)
    assert (refusal.code, refusal.exit_code) == (code, 7)
    assert_untouched(machine)
    assert sorted(path.name for path in machine.folder.iterdir()) == ["app", "cache"]


def test_f31_a_release_that_prints_another_version_is_not_staged_and_not_kept(
    machine: Machine, server: ReleaseServer
) -> None:
    publish(server, data=daemon("0.1.1"))
    refusal = machine.refusal(allow_stub=True, allow_source_build=True)
    assert (refusal.code, refusal.exit_code) == ("version_mismatch", 8)
    assert "0.1.1" in refusal.message
    assert TAG in refusal.message
    assert_untouched(machine)
    publish(server)
    assert machine.run().outcome == "staged", "the bad archive must not come back from the cache"


def test_f32_a_daemon_that_cannot_run_here(machine: Machine, server: ReleaseServer) -> None:
    publish(server, data=Program().crash().build())
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("version_mismatch", 8)
    assert "--no-exec" in refusal.hint
    data = server.assets[TAG, ASSET]
    lock_for(machine, hashlib.sha256(data).hexdigest(), len(data))
    result = machine.run(no_exec=True)
    assert (result.outcome, result.version, result.verified) == ("staged", "0.1.2", "lock")


# ── files (09 F33 to F35, F37 to F41) ─────────────────────────────────────────────────────────────────────────────────


def test_f33_no_space_before_the_download(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(machine.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("no_space", 10)
    assert_untouched(machine)


@pytest.mark.parametrize("step", ["write", "finish", "record", "rename"])
def test_f33_a_disk_that_fills_up_at_any_step_leaves_the_old_daemon(
    machine: Machine, server: ReleaseServer, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    from mesh_bundler import slot

    machine.run()
    before = machine.slot.read_bytes()
    publish(server, "0.1.3")
    (machine.repo / ".myownmesh-rev").write_text("v0.1.3")

    def full(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    real = Path.replace
    match step:
        case "write" | "finish":
            monkeypatch.setattr(slot.Incoming, step, full)
        case "record":
            monkeypatch.setattr("mesh_common.files.write_beside", full)
        case "rename":

            def replace_all_but_the_slot(source: Path, target: Path) -> Path:
                if target == machine.slot:
                    full()
                return real(source, target)

            monkeypatch.setattr(Path, "replace", replace_all_but_the_slot)
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("no_space", 10)
    assert_untouched(machine, before)
    monkeypatch.undo()
    assert machine.run().version == "0.1.3"


def test_f34_a_folder_that_may_not_be_written(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refusing(path: object, flags: int, *arguments: int, **named: object) -> int:
        if str(path).startswith(str(machine.dest)) and flags & os.O_CREAT:
            raise OSError(errno.EACCES, "Permission denied", str(path))
        return real(path, flags, *arguments, **named)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(os, "open", refusing)
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("permission", 10)
    assert "--dest" in refusal.hint


def test_a_slot_that_is_a_link_or_a_folder_is_not_followed(machine: Machine, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    machine.dest.mkdir()
    machine.slot.symlink_to(precious)
    refusal = machine.refusal()
    assert (refusal.code, refusal.exit_code) == ("slot_not_a_file", 10)
    assert precious.read_text() == "keep me"
    machine.slot.unlink()
    machine.slot.mkdir()
    assert machine.refusal().code == "slot_not_a_file"


def test_f38_a_crash_between_slot_and_record_is_repaired(machine: Machine, server: ReleaseServer) -> None:
    machine.run()
    record = (machine.dest / f".bundled-{TRIPLE}.json").read_bytes()
    publish(server, "0.1.3")
    (machine.repo / ".myownmesh-rev").write_text("v0.1.3")
    machine.run()
    (machine.dest / f".bundled-{TRIPLE}.json").write_bytes(record)  # the old note beside the new file
    result = machine.run()
    assert (result.outcome, result.version) == ("staged", "0.1.3")
    assert result.asset is not None
    assert result.asset["from_cache"] is True


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"format": 1}', b"[" * 100_000, b"\xff\xfe", b'{"format": 1, "size": []}']
)
def test_f39_a_damaged_record_is_no_evidence(machine: Machine, damage: bytes) -> None:
    machine.run()
    (machine.dest / f".bundled-{TRIPLE}.json").write_bytes(damage)
    (machine.dest / ".bundled-rev").write_bytes(b"\xff" + damage[:10])
    assert machine.run().outcome == "staged"
    assert machine.run().outcome == "current"


@pytest.mark.parametrize("change", ["stub", "truncated", "edited"])
def test_f40_a_slot_that_changed_is_staged_again(machine: Machine, change: str) -> None:
    machine.run()
    good = machine.slot.read_bytes()
    data = {"stub": b"", "truncated": good[:-1], "edited": good[:-1] + b"!"}[change]
    machine.slot.write_bytes(data)
    os.utime(machine.slot, ns=(1, 1))
    assert machine.run().outcome == "staged"
    assert machine.slot.read_bytes() == good


def test_a_slot_that_was_only_touched_stays(machine: Machine) -> None:
    machine.run()
    os.utime(machine.slot, ns=(1, 1))
    assert machine.run().outcome == "current"
    record = json.loads((machine.dest / f".bundled-{TRIPLE}.json").read_text())
    assert record["mtime_ns"] == 1


def test_a_slot_of_another_bundler_is_verified_then_adopted(machine: Machine, server: ReleaseServer) -> None:
    install(machine.slot, daemon("0.1.2"))
    (machine.dest / ".bundled-rev").write_text("v0.1.2\n")
    assert (machine.run().outcome, server.requests) == ("current", [])
    assert machine.run().source == "release"


def test_a_marker_that_lies_is_found_out(machine: Machine) -> None:
    install(machine.slot, daemon("0.1.1"))
    (machine.dest / ".bundled-rev").write_text("v0.1.2\n")
    assert machine.run().outcome == "staged"
    assert machine.slot.read_bytes() == daemon("0.1.2")


def test_f41_each_triple_is_judged_by_its_own_record(machine: Machine, server: ReleaseServer) -> None:
    other = "aarch64-unknown-linux-gnu"
    for version in ("0.1.2", "0.1.3"):
        foreign = Program().say(version.encode()).exit(0).build(machine=0xB7, salt=version)
        publish(server, version)
        publish(server, version, asset="myownmesh-linux-aarch64.tar.gz", data=foreign)
    machine.run()
    machine.run(target=other)
    (machine.repo / ".myownmesh-rev").write_text("v0.1.3")
    machine.run(target=other)
    assert machine.marker == "v0.1.3", "one marker for all triples"
    result = machine.run()
    assert (result.outcome, result.version) == ("staged", "0.1.3")


# ── concurrency (09 F36) ──────────────────────────────────────────────────────────────────────────────────────────────


def test_f36_two_bundlers_on_one_slot_make_one_download(tmp_path: Path, server: ReleaseServer) -> None:
    machines = [Machine(tmp_path, server) for _ in range(6)]
    outcomes: list[str] = []
    threads = [threading.Thread(target=lambda m=machine: outcomes.append(m.run().outcome)) for machine in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["current"] * 5 + ["staged"]
    assert server.count(f"/storage/{STORAGE}") == 2  # the archive and its checksum, once each


def test_f36_two_checkouts_of_one_user_make_one_download(tmp_path: Path, server: ReleaseServer) -> None:
    cache = str(tmp_path / "cache")
    machines = [Machine(tmp_path / name, server, env={"MYOWNMESH_CACHE_DIR": cache}) for name in "abcd"]
    threads = [threading.Thread(target=machine.run) for machine in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [machine.slot.read_bytes() for machine in machines] == [daemon("0.1.2")] * 4
    downloads = [path for _, path, _ in server.requests if path == f"/storage/{STORAGE}"]
    assert len(downloads) == 1


def test_a_lock_that_is_not_freed_in_time(machine: Machine) -> None:
    machine.dest.mkdir()
    with filelock.hold(machine.dest / f".bundle-{TRIPLE}.lock"):
        refusal = machine.refusal(lock_timeout=0.2)
    assert (refusal.code, refusal.exit_code) == ("lock_timeout", 9)
    assert str(os.getpid()) in refusal.message
    assert machine.run().outcome == "staged", "the file of a lock that nobody holds is no lock"


# ── offline and skip (09 F42 to F44, F52) ─────────────────────────────────────────────────────────────────────────────


def test_f43_skip_and_require_contradict(machine: Machine) -> None:
    machine.env["MYOWNLLM_SKIP_SIDECAR"] = ""
    refusal = machine.refusal(require=True)
    assert (refusal.code, refusal.exit_code) == ("skip_conflicts_with_require", 2)
    assert machine.run().outcome == "skipped"
    assert machine.slot.read_bytes() == b""


def test_skip_leaves_a_real_daemon_and_says_that_it_is_stale(machine: Machine) -> None:
    machine.run()
    (machine.repo / ".myownmesh-rev").write_text("v0.1.3")
    machine.env["MYOWNMESH_SKIP_SIDECAR"] = "1"
    result = machine.run()
    assert [notice.id for notice in result.warnings] == ["slot_stale"]
    assert machine.slot.read_bytes() == daemon("0.1.2")


def test_f44_offline_says_what_to_fetch_and_where_to_put_it(
    machine: Machine, server: ReleaseServer, tmp_path: Path
) -> None:
    machine.env["MYOWNMESH_OFFLINE"] = "1"
    data = server.assets[TAG, ASSET]
    digest = hashlib.sha256(data).hexdigest()
    lock_for(machine, digest, len(data))
    seed = tmp_path / "seed"
    refusal = machine.refusal(seed_dir=seed)
    assert (refusal.code, refusal.exit_code) == ("offline_miss", 6)
    for needed in (ASSET, f"{server.base}/{TAG}/{ASSET}", digest, str(seed)):
        assert needed in str(refusal)
    seed.mkdir()
    (seed / ASSET).write_bytes(data)
    assert machine.run(seed_dir=seed).verified == "lock"
    assert server.requests == []


def test_f44_the_cache_is_enough(tmp_path: Path, server: ReleaseServer) -> None:
    machine = Machine(tmp_path, server)
    machine.run()
    shutil.rmtree(machine.dest)
    server.requests.clear()
    assert machine.run(offline=True).outcome == "staged"
    assert server.requests == []


def test_a_damaged_cache_entry_is_fetched_again(machine: Machine, server: ReleaseServer) -> None:
    machine.run()
    shutil.rmtree(machine.dest)
    (archive,) = (machine.folder / "cache" / "store").rglob("archive")
    archive.chmod(0o600)
    archive.write_bytes(archive.read_bytes()[:-1] + b"!")
    server.requests.clear()
    assert machine.run().outcome == "staged"
    assert server.count(ASSET) > 0


def test_f52_an_asset_whose_name_differs_in_case_is_another_file(machine: Machine, server: ReleaseServer) -> None:
    server.assets[TAG, ASSET.upper()] = server.assets.pop((TAG, ASSET))
    del server.assets[TAG, f"{ASSET}.sha256"]
    assert machine.refusal().code == "asset_not_found"


def test_release_mode_ignores_siblings_and_never_writes_a_stub(machine: Machine, server: ReleaseServer) -> None:
    install(machine.sibling, daemon("0.1.2", salt="sibling"))
    assert machine.run(require=True).source == "release"
    (machine.repo / ".myownmesh-rev").write_text("v0.1.3")
    assert machine.refusal(require=True, allow_stub=True).exit_code == 6
    assert machine.slot.stat().st_size > 0


def test_ci_is_release_mode_unless_told_otherwise(machine: Machine) -> None:
    install(machine.sibling, daemon("0.1.2", salt="sibling"))
    machine.env["CI"] = "true"
    assert machine.run().source == "release"
    assert machine.run(dev=True).source == "sibling"
