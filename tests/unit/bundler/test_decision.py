"""The decision: total, and never a daemon that is not the pinned one (spec 09 §5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_bundler import record
from mesh_bundler.decision import (
    Adopt,
    BuildSource,
    Candidate,
    Facts,
    Fail,
    Hash,
    Keep,
    Skip,
    StageFile,
    StageRelease,
    Stub,
    decide,
)
from mesh_bundler.errors import Exit, Refused
from mesh_bundler.policy import LEVELS, Policy
from mesh_bundler.record import Record, SlotFacts
from mesh_common.pins import NoPin, Pin, parse_pin
from mesh_common.semver import SemVer
from mesh_common.versions import Reported, Unreadable, compare
from unit.bundler.vectors import cases, names

TRIPLE = "x86_64-unknown-linux-gnu"
SLOT = "binaries/myownmesh-" + TRIPLE
UNAVAILABLE_CAUSES = (
    "release_not_found", "asset_not_found", "offline_miss", "rate_limited", "network", "tls", "redirect_refused",
)  # fmt: skip


def pin_of(text: str) -> Pin:
    pin = parse_pin(text.encode())
    assert isinstance(pin, Pin)
    return pin


def reported(version: str) -> Reported:
    parsed = SemVer.parse(version)
    assert parsed is not None
    return Reported(parsed)


def sibling(version: str | None, path: str = "../MyOwnMesh/target/release/myownmesh") -> Candidate:
    reading = Unreadable("exit_status", "broken") if version is None else reported(version)
    return Candidate("sibling", path, 7_000_000, 1, reading=reading)


def noted(stage_key: str, version: str, *, source: str = "release", verified: str = "checksum") -> Record:
    return Record(
        slot=SLOT, triple=TRIPLE, tool="myownmesh", stage_key=stage_key, source=source, pin="v0.1.2", version=version,
        sha256="A", size=7_000_000, mtime_ns=1, asset=None, verified=verified, key_id=None, bundler="0", written_at="",
    )  # fmt: skip


UNAVAILABLE = Refused("asset_not_found", Exit.NETWORK, "404")
BAD_BYTES = Refused("checksum_mismatch", Exit.INTEGRITY, "other bytes")
FULL_SLOT = SlotFacts(7_000_000, 1, "A")


@pytest.mark.parametrize("case", cases("resolution"), ids=names("resolution"))
def test_resolution_vectors(case: Any) -> None:
    """The seed's table. What only the shell knows (did the override exist, what did the server say) is a fact here."""
    env, expect = case["env"], case["expect"]
    override = next((env[name] for name in ("MYOWNLLM_MESH_BIN", "MYOWNMESH_BIN") if env.get(name)), None)
    candidate = None
    if override is not None:
        version = "9.9.9" if "9.9.9" in override else "0.1.2"
        candidate = Candidate(
            "MYOWNLLM_MESH_BIN",
            override,
            problem="missing" if override == "<missing>" else None,
            reading=reported(version),
        )
    skips = [name for name in ("MYOWNLLM_SKIP_SIDECAR", "MYOWNMESH_SKIP_SIDECAR") if name in env]
    slot = case.get("slot")
    facts = Facts(
        TRIPLE,
        SLOT,
        slot=FULL_SLOT if slot else None,
        record=noted("release:v0.1.1", slot["version"]) if slot else None,
        override=candidate,
        siblings=(sibling(case["sibling"]["version"]),) if case.get("sibling") else (),
        release_failure={"404": UNAVAILABLE, "bad_checksum": BAD_BYTES}.get(case.get("release", "")),
    )
    policy = Policy(
        require=case["mode"] == "release",
        skip=skips[0] if skips else None,
        allow_stub=case.get("requires_flag") == "--allow-stub",
    )
    answer = decide(pin_of(case["pin"]), policy, facts)
    action = answer.action

    if "warnings" in expect:
        assert [notice.id for notice in answer.notices if notice.level == "warning"] == expect["warnings"]
    if "error" in expect:
        assert isinstance(action, Fail)
        wanted = UNAVAILABLE_CAUSES if expect["error"] == "release_unavailable" else {expect["error"]}
        assert action.refusal.code in wanted
        assert action.refusal.exit_code == expect["exit"]
    elif expect.get("outcome") == "skipped":
        assert action == Skip(stub=expect["stub"])
    elif expect.get("outcome") == "stub":
        assert isinstance(action, Stub)
        assert action.write
        assert action.move_aside == ("moved_aside" in expect)
    elif expect["source"] == "release":
        assert action == StageRelease("release:v0.1.2", "v0.1.2", from_cache=False)
    else:
        assert isinstance(action, StageFile)
        assert action.source == expect["source"]
        assert action.marker == expect.get("writes_bundled_rev", action.marker)
        assert action.candidate.path == expect.get("path", action.candidate.path)


def test_a_stale_release_build_does_not_hide_a_good_debug_build() -> None:
    stale, good = sibling("0.1.1", "target/release/myownmesh"), sibling("0.1.2", "target/debug/myownmesh")
    answer = decide(pin_of("v0.1.2"), Policy(), Facts(TRIPLE, SLOT, siblings=(stale, good)))
    assert isinstance(answer.action, StageFile)
    assert answer.action.candidate is good
    assert [notice.id for notice in answer.notices] == ["sibling_mismatch"]


def test_a_refused_sibling_is_named_with_version_pin_and_way_out() -> None:
    answer = decide(pin_of("v0.1.2"), Policy(), Facts(TRIPLE, SLOT, siblings=(sibling("0.1.1", "/src/target/mesh"),)))
    text = answer.notices[0].text
    for needed in ("/src/target/mesh", "0.1.1", "v0.1.2", "git checkout v0.1.2", "MYOWNLLM_MESH_BIN"):
        assert needed in text


def test_an_override_hides_nothing_behind_a_current_marker() -> None:
    facts = Facts(
        TRIPLE,
        SLOT,
        slot=FULL_SLOT,
        record=noted("release:v0.1.2", "0.1.2"),
        bundled_rev="v0.1.2",
        override=Candidate("MYOWNMESH_BIN", "/x/myownmesh", 1, 1, reading=reported("0.1.2")),
    )
    assert isinstance(decide(pin_of("v0.1.2"), Policy(), facts).action, StageFile)


def test_a_newer_sibling_under_at_least_does_not_claim_to_be_the_pin() -> None:
    facts = Facts(TRIPLE, SLOT, siblings=(sibling("0.2.0"),))
    action = decide(pin_of("v0.1.2"), Policy(sibling_policy="at_least"), facts).action
    assert isinstance(action, StageFile)
    assert action.marker is None


def test_a_vanished_sibling_at_the_pin_is_kept_while_offline() -> None:
    kept = noted("sibling:v0.1.2:/x:1:7000000", "0.1.2", source="sibling")
    facts = Facts(TRIPLE, SLOT, slot=FULL_SLOT, record=kept, release_failure=UNAVAILABLE)
    assert decide(pin_of("v0.1.2"), Policy(allow_stub=True), facts).action == Keep("sibling", kept.stage_key)
    assert isinstance(decide(pin_of("v0.1.2"), Policy(require=True), facts).action, Fail)


def test_release_mode_never_adopts_what_only_a_version_vouches_for() -> None:
    facts = Facts(TRIPLE, SLOT, slot=FULL_SLOT, bundled_rev="v0.1.2")
    assert decide(pin_of("v0.1.2"), Policy(), facts).action == Adopt("release:v0.1.2")
    assert isinstance(decide(pin_of("v0.1.2"), Policy(require=True), facts).action, StageRelease)


def test_a_slot_that_was_only_checksummed_is_staged_again_when_signatures_are_demanded() -> None:
    facts = Facts(TRIPLE, SLOT, slot=FULL_SLOT, record=noted("release:v0.1.2", "0.1.2"))
    assert isinstance(decide(pin_of("v0.1.2"), Policy(), facts).action, Keep)
    assert isinstance(decide(pin_of("v0.1.2"), Policy(floor="signature"), facts).action, StageRelease)


def test_a_slot_that_differs_from_the_lock_is_staged_again() -> None:
    facts = Facts(TRIPLE, SLOT, slot=FULL_SLOT, record=noted("release:v0.1.2", "0.1.2"), lock_binary_sha256="B")
    assert isinstance(decide(pin_of("v0.1.2"), Policy(), facts).action, StageRelease)


def test_a_commit_pin_is_built_only_when_asked() -> None:
    pin = pin_of("93b536280faba49b84eb938245982fe4dce75985")
    facts = Facts(TRIPLE, SLOT, can_build=True)
    assert isinstance(decide(pin, Policy(), facts).action, Fail)
    assert isinstance(decide(pin, Policy(allow_source_build=True), facts).action, BuildSource)
    assert isinstance(decide(pin, Policy(allow_source_build=True, require=True), facts).action, Fail)


def test_without_a_pin_nothing_is_trusted() -> None:
    pin, facts = NoPin("missing_file"), Facts(TRIPLE, SLOT, siblings=(sibling("0.1.2"),))
    action = decide(pin, Policy(), facts).action
    assert isinstance(action, Fail)
    assert action.refusal.code == "pin_missing"
    assert isinstance(decide(pin, Policy(allow_unpinned=True), facts).action, StageFile)


# ── totality ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_versions = st.sampled_from(["0.1.1", "0.1.2", "0.1.2-rc.1", "0.1.2+gabc.dirty", "0.1.2+gabc", "0.1.3", "9.9.9"])
_readings = st.one_of(
    st.none(),
    _versions.map(reported),
    st.sampled_from(["timeout", "exit_status", "wrong_program"]).map(Unreadable),
)
_candidates = st.builds(
    Candidate,
    origin=st.sampled_from(["sibling", "MYOWNMESH_BIN"]),
    path=st.sampled_from(["/a", "/b"]),
    size=st.sampled_from([0, 7_000_000]),
    mtime_ns=st.integers(0, 2),
    problem=st.sampled_from([None, None, None, "missing", "too_small", "wrong_target", "unknown_format"]),
    reading=_readings,
)
_keys = st.sampled_from(
    ["release:v0.1.2", "release:v0.1.1", "sibling:v0.1.2:/a:1:7000000", "override:/a:1:7000000", "source:v0.1.2"]
)
_records = st.builds(
    noted,
    _keys,
    _versions,
    source=st.sampled_from(["release", "sibling", "override", "source"]),
    verified=st.sampled_from(["none", "checksum", "signature", "lock"]),
)
_failures = st.builds(
    Refused,
    st.sampled_from(["release_not_found", "asset_not_found", "network", "checksum_mismatch", "version_mismatch"]),
    st.sampled_from([Exit.NETWORK, Exit.INTEGRITY, Exit.VERSION, Exit.FILES, Exit.PIN]),
    st.just("because"),
)
_facts = st.builds(
    Facts,
    triple=st.just(TRIPLE),
    slot_path=st.just(SLOT),
    slot=st.one_of(
        st.none(),
        st.builds(SlotFacts, st.sampled_from([0, 5, 7_000_000]), st.integers(0, 2), st.sampled_from([None, "A", "B"])),
    ),
    record=st.one_of(st.none(), _records),
    bundled_rev=st.sampled_from([None, "v0.1.2", "v0.1.1\n"]),
    override=st.one_of(st.none(), _candidates),
    siblings=st.lists(_candidates, max_size=3).map(tuple),
    cached=st.booleans(),
    offline=st.one_of(st.none(), st.just(Refused("offline_miss", Exit.NETWORK, "offline"))),
    lock_binary_sha256=st.sampled_from([None, "A", "C"]),
    can_build=st.booleans(),
    release_failure=st.one_of(st.none(), _failures),
    build_failure=st.one_of(st.none(), _failures),
    adoption_failed=st.booleans(),
)
_policies = st.builds(
    Policy,
    require=st.booleans(),
    skip=st.sampled_from([None, None, None, "--skip"]),
    use_siblings=st.booleans(),
    sibling_policy=st.sampled_from(["exact", "at_least"]),
    allow_unpinned=st.booleans(),
    allow_stub=st.booleans(),
    keep_stale=st.booleans(),
    allow_source_build=st.booleans(),
    floor=st.sampled_from(LEVELS),
)
_pins = st.sampled_from(["v0.1.2", "0.1.2", "v0.1.2+gabc", "93b536280faba49b84eb938245982fe4dce75985"]).map(pin_of)


@given(pin=st.one_of(_pins, st.just(NoPin("missing_file"))), policy=_policies, facts=_facts)
def test_every_mix_of_facts_has_a_decision_that_keeps_the_promise(
    pin: Pin | NoPin, policy: Policy, facts: Facts
) -> None:
    answer = decide(pin, policy, facts)
    action = answer.action
    match action:
        case Skip():
            assert policy.skip
            assert not policy.require
        case StageFile(source="override", candidate=candidate):
            assert candidate.problem is None
            assert action.marker is None, "09 S3: an override never writes the marker"
        case StageFile(candidate=candidate):
            assert not policy.require
            assert candidate.problem is None
            assert isinstance(candidate.reading, Reported)
            if isinstance(pin, Pin):
                assert compare(pin, candidate.reading, policy.sibling_policy).matches, "09 S1"
            else:
                assert policy.allow_unpinned
            if action.marker is not None:
                assert isinstance(pin, Pin)
                assert compare(pin, candidate.reading).matches, "the marker means: this is the pin"
        case StageRelease(tag=tag):
            assert isinstance(pin, Pin)
            assert tag == pin.tag
            assert facts.release_failure is None
        case BuildSource():
            assert policy.allow_source_build
            assert not policy.require
            assert facts.build_failure is None
        case Keep():
            assert facts.slot is not None
            assert facts.record is not None
            assert facts.slot.size == facts.record.size
            assert facts.slot.mtime_ns == facts.record.mtime_ns or facts.slot.sha256 == facts.record.sha256
            if facts.override is None and isinstance(pin, Pin):
                assert action.source != "override"
        case Hash():
            assert facts.slot is not None
            assert facts.slot.sha256 is None
        case Adopt():
            assert facts.record is None
            assert not policy.require or facts.lock_binary_sha256 is not None
        case Stub():
            assert policy.allow_stub
            assert not policy.require
            assert action.cause.exit_code not in (Exit.INTEGRITY, Exit.VERSION)
        case Fail():
            assert action.refusal.hint or action.refusal.message


@given(pin=st.one_of(_pins, st.just(NoPin("missing_file"))), policy=_policies, facts=_facts)
def test_the_questions_end(pin: Pin | NoPin, policy: Policy, facts: Facts) -> None:
    """Every action that can fail removes itself when its failure becomes a fact."""
    from dataclasses import replace

    failed = Refused("asset_not_found", Exit.NETWORK, "404")
    for _ in range(6):
        match decide(pin, policy, facts).action:
            case Hash():
                assert facts.slot is not None
                facts = replace(facts, slot=replace(facts.slot, sha256="A"))
            case Adopt():
                facts = replace(facts, adoption_failed=True)
            case StageRelease():
                facts = replace(facts, release_failure=failed)
            case BuildSource():
                facts = replace(facts, build_failure=failed)
            case _:
                return
    pytest.fail(f"still asking: {facts}")


def test_stage_keys_are_those_of_the_spec() -> None:
    assert record.release_key("v0.1.2") == "release:v0.1.2"
    assert record.sibling_key("0.1.2", "/p", 3, 4) == "sibling:v0.1.2:/p:3:4"
    assert record.override_key("/p", 3, 4) == "override:/p:3:4"
