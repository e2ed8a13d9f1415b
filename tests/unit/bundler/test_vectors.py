"""Every case of bundler.json that is not the updater's, against the pure parts of the bundler."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from mesh_bundler import archive_rules, header, signature
from mesh_bundler.checksum import parse_checksum_file
from mesh_bundler.errors import Refused
from mesh_bundler.feed import Feed
from mesh_bundler.record import Record, SlotFacts, judge_slot
from mesh_bundler.target import (
    PLATFORMS,
    HostFacts,
    check_availability,
    detect,
    slot_name,
    target_of_triple,
)
from mesh_common.pins import NoPin, Pin, PinError, parse_pin
from mesh_common.semver import SemVer
from mesh_common.versions import compare, read_version, spawn_failure
from unit.bundler.vectors import cases, data_of, names, section


def each(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases(name), ids=names(name))


@each("pin_file")
def test_pin_file(case: Any) -> None:
    expect = case["expect"]
    data = data_of(case, "input")
    if expect["status"] == "error":
        with pytest.raises(PinError) as caught:
            parse_pin(data)
        assert caught.value.code == expect["code"]
        return
    pin = parse_pin(data)
    if expect["status"] == "absent":
        assert pin == NoPin(expect["reason"])
        return
    assert isinstance(pin, Pin)
    assert {
        "status": "ok",
        "kind": pin.kind,
        "raw": pin.raw,
        "tag": pin.tag,
        "version": None if pin.version is None else str(pin.version),
        "commit": pin.commit,
        "prerelease": pin.version is not None and bool(pin.version.pre),
        "downloadable": pin.version is not None,
    } == expect


@pytest.mark.parametrize(
    "case",
    cases("version_match") + cases("version_match_at_least"),
    ids=names("version_match") + names("version_match_at_least"),
)
def test_version_match(case: Any) -> None:
    pin = parse_pin(None if case["pin"] is None else case["pin"].encode())
    exit_code = None if case.get("timed_out") else case["exit_code"]
    reading = read_version(data_of(case, "stdout") or b"", exit_code, program="myownmesh")
    verdict = compare(pin, reading, case.get("policy", "exact"))
    assert {"verdict": verdict.verdict, "reason": verdict.reason, "version": verdict.version} == case["expect"]


@each("probe_failures")
def test_probe_failures(case: Any) -> None:
    expect = case["expect"]
    if "signal" in case:
        reading = read_version(b"", -case["signal"], program="myownmesh")
        assert compare(NoPin("missing_file"), reading).reason == expect["reason"]
        return
    reason, retries = spawn_failure(case["platform"], errno=case.get("errno"), winerror=case.get("winerror"))
    assert reason == expect["reason"]
    assert (retries > 0) == (expect["verdict"] == "retry")
    assert retries == expect.get("retries", retries)


def test_semver_order() -> None:
    parsed = [SemVer.parse(text) for text in section("semver_order")["ascending"]]
    versions = [version for version in parsed if version is not None]
    assert len(versions) == len(parsed)
    assert sorted(versions, key=lambda version: version.precedence) == versions


@each("platform_detect")
def test_platform_detect(case: Any) -> None:
    facts, expect = HostFacts(**case["facts"]), case["expect"]
    if "error" in expect:
        with pytest.raises(Refused) as caught:
            detect(facts)
        assert (caught.value.code, caught.value.exit_code) == (expect["error"], 5)
        return
    target = detect(facts)
    assert {
        "triple": target.triple,
        "platform": target.platform.name,
        "asset": target.platform.asset(),
        "notes": list(target.notes),
    } == expect


@each("target_triple")
def test_target_triple(case: Any) -> None:
    expect = case["expect"]
    if case["slot"] is not None:
        assert slot_name(case["triple"]) == case["slot"]
    if "error" in expect:
        with pytest.raises(Refused) as caught:
            target_of_triple(case["triple"])
        assert (caught.value.code, caught.value.exit_code) == (expect["error"], 5)
        return
    target = target_of_triple(case["triple"])
    assert target.slot_name() == case["slot"]
    assert {
        "platform": target.platform.name,
        "asset": target.platform.asset(),
        "since_tag": target.platform.since,
    } == expect


@each("asset_urls")
def test_asset_urls(case: Any) -> None:
    asset = PLATFORMS[case["platform"]].asset()
    urls = Feed().urls(case["tag"], asset)
    assert urls.archive == case["archive"]
    assert urls.checksum == case["checksum"]
    assert urls.signature == case["signature"]
    assert unquote(urls.archive).endswith(f"/{case['tag']}/{asset}")


@each("asset_availability")
def test_asset_availability(case: Any) -> None:
    tag = SemVer.parse(case["tag"].removeprefix("v"))
    assert tag is not None
    if "error" not in case["expect"]:
        check_availability(PLATFORMS[case["platform"]], tag)
        return
    with pytest.raises(Refused) as caught:
        check_availability(PLATFORMS[case["platform"]], tag)
    assert caught.value.code == case["expect"]["error"]
    assert caught.value.detail["since"] == case["expect"]["since"]
    assert case["expect"]["since"] in caught.value.message


@each("sha256_file")
def test_sha256_file(case: Any) -> None:
    data = data_of(case, "text") or b""
    if "error" in case["expect"]:
        with pytest.raises(Refused) as caught:
            parse_checksum_file(data, case["asset"])
        assert (caught.value.code, caught.value.exit_code) == (case["expect"]["error"], 7)
        return
    assert parse_checksum_file(data, case["asset"]) == case["expect"]["sha256"]


@each("archive_members")
def test_archive_members(case: Any) -> None:
    expect = case["expect"]
    guard = archive_rules.ArchiveGuard(case["expected_binary"], case["archive_size"])

    def run() -> None:
        for row in case["members"]:
            member = archive_rules.Member(row["name"], row["type"], row.get("size", 0), row.get("encrypted", False))
            wanted = guard.admit(member)
            guard.produced(member.size, wanted=wanted, name=member.name)
        guard.finish()

    if expect["verdict"] == "reject":
        with pytest.raises(Refused) as caught:
            run()
        assert (caught.value.code, caught.value.exit_code) == (expect["code"], 7)
        return
    run()
    assert guard.ignored == expect["ignored"]


def test_archive_limits_are_those_of_the_spec() -> None:
    limits = section("archive_members")["limits"]
    assert limits["max_members"] == archive_rules.MAX_MEMBERS
    assert limits["max_member_bytes"] == archive_rules.MAX_MEMBER_BYTES
    assert limits["max_total_bytes"] == archive_rules.MAX_TOTAL_BYTES
    assert limits["max_ratio"] == archive_rules.MAX_RATIO
    assert limits["min_binary_bytes"] == header.MIN_BINARY_BYTES


@each("executable_header")
def test_executable_header(case: Any) -> None:
    data, expect = bytes.fromhex(case["hex"]), case["expect"]
    if "error" in expect:
        with pytest.raises(header.BadHeader) as caught:
            header.parse(data)
        assert caught.value.code == expect["error"]
        return
    found = header.parse(data)
    assert (found.format, found.arch) == (expect["format"], expect["arch"])
    assert list(found.slices) == expect.get("slices", [])


@each("minisign")
def test_minisign(case: Any) -> None:
    trusted = tuple(signature.PublicKey.parse(key) for key in case["trusted_keys"])
    digests = signature.SignedDigests.of(case["data_utf8"].encode())
    verdict = signature.verify(case["minisig"].encode(), digests, trusted, asset=case["asset"], tag=case["version"])
    assert verdict.verdict == case["expect"]
    assert verdict.valid == (case["expect"] in ("ok", "ok_unbound"))


def test_minisign_key_ids_are_shown_like_minisign_shows_them() -> None:
    for key in section("minisign")["public_keys"].values():
        parsed = signature.PublicKey.parse(key["base64"])
        assert parsed.key_id == key["key_id_display"]
        assert parsed.id_bytes.hex() == key["key_id_bytes_hex"]


@each("idempotency")
def test_idempotency(case: Any) -> None:
    row, slot, want = case["record"], case["slot"], case["want"]
    record = row and Record(
        slot="", triple=row["triple"], tool="myownmesh", stage_key=row["stage_key"], source="", pin=None, version=None,
        sha256=row["sha256"], size=row["size"], mtime_ns=row.get("mtime_ns", 0), asset=None, verified="checksum",
        key_id=None, bundler="", written_at="",
    )  # fmt: skip
    verdict = judge_slot(
        record,
        SlotFacts(slot["size"], slot.get("mtime_ns", 0), slot.get("sha256")),
        triple="x86_64-unknown-linux-gnu",
        stage_key=want,
        bundled_rev=case["bundled_rev"],
        pins=(want.removeprefix("release:"),),
    )
    assert verdict == case["expect"]
