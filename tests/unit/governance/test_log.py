"""Governance logs from their beginning: which hold, and what they say at each point."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myownmesh.governance import log as module
from myownmesh.governance import signatures
from myownmesh.governance.log import EMPTY, BadLog, common_length, verified
from myownmesh.governance.rules import STRICT, Rules
from myownmesh.governance.signatures import Checks, finish
from myownmesh.protocol.modes import FullMesh, Hubs, Star
from myownmesh.protocol.transitions import (
    Evict,
    KindChange,
    RoleGrant,
    RoleRevoke,
    Split,
    TopologyChange,
    Transition,
)
from support.examples import examples
from support.governance import ALICE, BOB, CAROL, DAVE, ERIN, MALLORY, V038, entries_of, entry
from support.vectors import load

if TYPE_CHECKING:
    from myownmesh.governance.log import Log
    from myownmesh.protocol.transitions import (
        Variant,
    )

CASES = {case["id"]: case for case in load("governance", "governance_logs")}
CLOSE = entry(KindChange("closed"), ALICE)
PROMOTE = entry(RoleGrant(CAROL, "controller"), ALICE)
# What ours makes of a log that v0.3.8 takes, and the switch that restores it. Not here: `replayed-*`, a matter of what
# is spent (`test_adoption`), and `throwaway-cosigner`, where ours takes the entry and not the difference (below).
REFUSED = {
    "split-by-stranger": ("SPLIT-AUTHORITY", Rules(unauthorised_splits=True)),
    "controller-strips-owner": ("LOWER-OWNER", Rules(controller_demotes_owner=True)),
    "controller-strips-then-evicts-owner": ("LOWER-OWNER", Rules(controller_demotes_owner=True)),
}
NO_SWITCH = {"signer-case-variant": "SIGNER-FORM", "signer-display-form": "SIGNER-FORM"}  # FIX 8 is always on
VOID = {"pre-genesis-seeding": Rules(roles_from_open_phase=True)}
ELSEWHERE = {"replayed-owner-grant", "replayed-reopen", "throwaway-cosigner"}


def verify(log: list[Transition] | tuple[Transition, ...], rules: Rules = STRICT, network: str = "fleet-1") -> Log:
    return finish(verified(log, Checks(network), rules))


def outcome(case: dict[str, Any], rules: Rules) -> dict[str, Any] | tuple[str, str, int]:
    try:
        log = verify(entries_of(case["log"]), rules, case["network_id"])
    except BadLog as bad:
        return bad.rule, bad.stage, bad.index
    standing = log.standing
    topology = msgspec.json.decode(msgspec.json.encode(standing.topology))
    state = {"kind": standing.kind, "roles": dict(standing.roles), "topology": topology, "entries": len(log)}
    return {**state, "splits": len(standing.splits)}


@pytest.mark.parametrize("name", sorted(CASES.keys() - NO_SWITCH.keys()))
def test_v038(name: str) -> None:
    case = CASES[name]
    accepted = case["expect"] == "accept"
    assert outcome(case, V038) == (case["state"] if accepted else (case["rule"], case["stage"], case["index"]))


@pytest.mark.parametrize("name", CASES)
def test_ours(name: str) -> None:
    case = CASES[name]
    strict = outcome(case, STRICT)
    if name in REFUSED:
        rule, switch = REFUSED[name]
        assert isinstance(strict, tuple)
        assert strict[:2] == (rule, "quorum")
        assert outcome(case, switch) == case["state"]
    elif name in NO_SWITCH:
        assert strict == outcome(case, V038) == (NO_SWITCH[name], "form", 0)
    elif name in VOID:
        assert isinstance(strict, dict)
        assert strict["roles"] == {ALICE: "owner"}, "a role that was planted before the close counts for nothing"
        assert outcome(case, VOID[name]) == case["state"]
    else:
        assert not case.get("weakness") or name in ELSEWHERE
        assert strict == outcome(case, V038)


def test_throwaway_cosigners_make_no_other_log() -> None:
    """FIX 8: the log is the same one, so that nobody takes it for a fork."""
    with_cosigner = verify(entries_of(CASES["throwaway-cosigner"]["log"]))
    without = verify([CLOSE, PROMOTE])
    assert with_cosigner.digest == without.digest
    assert common_length(with_cosigner, without) == 2


def test_form_and_quorum_are_looked_at_before_any_signature() -> None:
    checks = Checks("fleet-1")
    for bad in (entry(RoleGrant(MALLORY, "owner"), MALLORY), entry(Evict("everybody"), ALICE)):
        with pytest.raises(BadLog):
            finish(verified([CLOSE, *[PROMOTE] * 100, bad], checks, STRICT))
    assert checks.count == 0


def test_large_logs_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "CHECKS_PER_SLICE", 2)
    entries = [CLOSE, *(entry(RoleGrant(device, "controller"), ALICE) for device in (BOB, CAROL, DAVE, ERIN))]
    pauses = list(verified(entries, Checks("fleet-1"), STRICT))
    assert len(pauses) == 2


def test_a_log_that_fits_in_no_frame_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    log = verify([CLOSE, PROMOTE])
    assert log.nbytes == len(msgspec.json.encode([CLOSE, PROMOTE])) + 1, "every entry is counted with a comma"
    monkeypatch.setattr(module, "MAX_HEARD_BYTES", log.nbytes - 1)
    with pytest.raises(BadLog, match="entry 1 of the governance log: LOG-SIZE"):
        verify([CLOSE, PROMOTE])


# ── what holds at a point ─────────────────────────────────────────────────────────────────────────────────────────────


def test_points_of_a_log() -> None:
    revoke = entry(RoleRevoke(CAROL), ALICE)
    log = verify([CLOSE, PROMOTE, revoke])
    assert log.until(0).standing.kind == "open"
    assert log.until(2).standing.roles == {ALICE: "owner", CAROL: "controller"}
    assert log.standing.roles == {ALICE: "owner"}
    assert log.standing.known == {ALICE, CAROL}, "whoever was an authority once stays known"
    assert log.founding is log.places[0]
    assert EMPTY.founding is None
    assert [place.removes for place in log.places] == [None, None, CAROL]
    assert [place.author_role for place in log.places] == ["member", "owner", "owner"]
    assert log.places[0].authors == (ALICE,)
    assert log.until(2) == verify([CLOSE, PROMOTE])
    assert log.until(9) is log


def test_who_lowers_whom() -> None:
    log = verify([CLOSE, entry(RoleGrant(BOB, "owner"), ALICE), PROMOTE])
    lowered = log.standing.lowered
    cases: list[tuple[Variant, str | None]] = [
        (RoleGrant(BOB, "controller"), BOB),
        (RoleGrant(BOB, "owner"), None),
        (RoleGrant(CAROL, "owner"), None),
        (RoleGrant(CAROL, "member"), CAROL),
        (Evict(CAROL), CAROL),
        (RoleRevoke(DAVE), None),
        (KindChange("open"), None),
        (Split("n", ()), None),
        (TopologyChange(FullMesh()), None),
    ]
    for variant, device in cases:
        assert lowered(variant) == device, variant


def test_removals_by_strangers_on_a_reopened_network_are_void() -> None:
    reopened = [CLOSE, PROMOTE, entry(KindChange("open"), ALICE)]
    log = verify([*reopened, entry(Evict(ALICE), MALLORY)])
    assert log.standing.roles == {ALICE: "owner", CAROL: "controller"}
    assert log.places[-1].removes is None
    assert verify([*reopened, entry(Evict(ALICE), MALLORY)], V038).standing.roles == {CAROL: "controller"}


def test_whoever_was_put_out_by_a_void_removal_still_decides() -> None:
    """v0.3.8 took the removal, so it refuses the log from there on."""
    reopened = [CLOSE, entry(KindChange("open"), ALICE), entry(Evict(ALICE), MALLORY)]
    log = [*reopened, entry(KindChange("closed"), MALLORY), entry(KindChange("open"), ALICE)]
    assert verify(log).standing.kind == "open"
    with pytest.raises(BadLog, match="entry 4 of the governance log: REOPEN-OWNER"):
        verify(log, V038)


def test_void_roles_are_remembered_until_somebody_decides() -> None:
    planted = entry(RoleGrant(MALLORY, "owner"), MALLORY)
    assert verify([planted, CLOSE]).standing.void == {MALLORY: "owner"}
    assert verify([planted, CLOSE, entry(Evict(MALLORY), ALICE)]).standing.void == {}
    assert verify([planted, CLOSE, entry(RoleGrant(MALLORY, "member"), ALICE)]).standing.void == {}


def test_a_reopening_and_a_close_void_nothing_that_was_granted_before() -> None:
    """24.3 no. 55: what an owner who did not found granted stays, what somebody granted meanwhile does not."""
    second, reopened = entry(RoleGrant(BOB, "owner"), ALICE), entry(KindChange("open"), ALICE)
    granted, planted = entry(RoleGrant(CAROL, "controller"), BOB), entry(RoleGrant(MALLORY, "owner"), MALLORY)
    log = verify([CLOSE, second, granted, reopened, planted, entry(KindChange("closed"), BOB)])
    assert (log.standing.kind, log.standing.roles) == ("closed", {ALICE: "owner", BOB: "owner", CAROL: "controller"})
    assert log.standing.void == {MALLORY: "owner"}


def test_logs_with_other_founders_share_nothing() -> None:
    both = entry(KindChange("closed"), ALICE, BOB)
    swapped = Transition(1000, both.variant, (BOB, ALICE), both.signatures[::-1])
    assert common_length(verify([both]), verify([swapped])) == 0
    assert common_length(verify([CLOSE]), verify([entry(KindChange("closed"), ALICE, at=3)])) == 1
    assert common_length(verify([CLOSE, PROMOTE]), verify([CLOSE, entry(RoleGrant(DAVE, "owner"), ALICE)])) == 1


def test_the_order_of_hubs_makes_no_other_log() -> None:
    def with_hubs(*hubs: str) -> Log:
        return verify([CLOSE, entry(TopologyChange(Hubs(hubs, 1)), ALICE)])

    assert common_length(with_hubs(ALICE, BOB), with_hubs(BOB, ALICE)) == 2


# ── properties ────────────────────────────────────────────────────────────────────────────────────────────────────────

DEVICES = st.sampled_from([ALICE, BOB, CAROL, MALLORY])
VARIANTS = st.one_of(
    st.builds(KindChange, st.sampled_from(["open", "closed", "silent"])),
    st.builds(RoleGrant, DEVICES, st.sampled_from(["member", "controller", "owner"])),
    st.builds(RoleRevoke, DEVICES),
    st.builds(Evict, DEVICES),
    st.builds(Split, st.just("n"), st.just(())),
    st.builds(TopologyChange, st.just(FullMesh()) | st.builds(Star, DEVICES)),
)
SIGNED = st.builds(lambda variant, signer: entry(variant, signer), VARIANTS, DEVICES)
SHARED = Checks("fleet-1")


def grown(candidates: list[Transition], *by: Rules) -> list[Transition]:
    """Those that can follow one another by each of these rules."""
    log: list[Transition] = []
    for candidate in candidates:
        try:
            for rules in by:
                EMPTY.extended([*log, candidate], "fleet-1", rules)
        except BadLog:
            continue
        log.append(candidate)
    return log


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(SIGNED, max_size=12))
def test_verification_is_total_and_every_beginning_of_a_good_log_is_good(entries: list[Transition]) -> None:
    with suppress(BadLog):
        finish(verified(entries, SHARED, STRICT))
    log = grown(entries, STRICT)
    whole = finish(verified(log, SHARED, STRICT))
    for length in range(len(log) + 1):
        beginning = finish(verified(log[:length], SHARED, STRICT))
        assert beginning == whole.until(length)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(SIGNED, max_size=12))
def test_ours_never_seats_anybody_that_v038_does_not(entries: list[Transition]) -> None:
    log = grown([CLOSE, *entries], STRICT, V038)
    ours, theirs = EMPTY.extended(log, "fleet-1", STRICT), EMPTY.extended(log, "fleet-1", V038)
    assert ours.standing.kind == theirs.standing.kind
    for place in ours.places:
        if not place.void and isinstance(place.entry.variant, RoleGrant):
            assert place.before.authors(place.entry.signers), "only authorities seat"
