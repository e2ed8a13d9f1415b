"""The gate: what passes, what is counted, and that nothing takes a lock off but a code (spec 02 §17, FIX 27)."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.custody import (
    CustodyError,
    Lock,
    Locks,
    Mark,
    canonical_keys,
    disable,
    enroll,
    gate,
    is_enrolled,
    provisioning,
    reset,
    totp,
)
from support.vectors import load

NOW = 1_718_000_000
NET = "fleet-1"


def locked() -> tuple[Locks, provisioning.Enrolment]:
    return enroll(Locks(), NET, "my laptop", NOW, Random(1).randbytes)


def code_at(locks: Locks, now: int) -> str:
    return totp.code_of(provisioning.secret_bytes(locks.locks[NET].secret_b32), totp.step_at(now))


def judged(locks: Locks, code: str | None, now: int = NOW, network: str = NET) -> tuple[Locks, str]:
    after, refused = gate(locks, network, code, now)
    return after, "ok" if refused is None else str(refused)


@pytest.mark.parametrize(
    "case", load("governance", "custody")["gate"], ids=lambda case: f"{case['enrolled']}-{case['code']}"
)
def test_the_gate(case: dict[str, Any]) -> None:
    locks, shown = locked() if case["enrolled"] is True else (Locks(), None)
    network = NET
    if case["enrolled"] == "other network only":
        locks, shown = locked()
        network = "fleet-2"
    code = case["code"]
    if code == "<valid totp>":
        code = code_at(locks, NOW)
    elif code is not None and code.endswith("recovery code>"):
        assert shown is not None
        code = shown.recovery_codes[3]
        if case["code"].startswith("<used"):
            locks, _ = judged(locks, code)
    after, outcome = judged(locks, code, network=network)
    assert outcome == case.get("message", "ok")
    used = str(case["code"]).endswith("recovery code>")
    if network in after.locks:
        assert len(after.locks[network].recovery_hashes) == 10 - used


def test_an_enrolment_shows_what_it_keeps_only_once() -> None:
    locks, shown = locked()
    assert len(shown.secret) == 32
    assert locks.locks[NET].secret_b32 == shown.secret
    assert len(set(shown.recovery_codes)) == 10
    assert "my%20laptop" in shown.otpauth_uri
    assert shown.secret not in repr(shown)
    assert shown.secret not in repr(locks)
    assert all(code not in repr(locks) for code in shown.recovery_codes)


def test_a_second_enrolment_is_refused_also_when_the_first_has_vanished() -> None:
    locks, _ = locked()
    for each in (locks, Locks({}, locks.marks)):
        with pytest.raises(CustodyError, match="network fleet-1 already has MFA enrolled on this device; disable it"):
            enroll(each, NET, "x", NOW, Random(2).randbytes)


def test_a_code_passes_once_and_older_ones_no_more() -> None:
    locks, _ = locked()
    locks, outcome = judged(locks, code_at(locks, NOW))
    assert outcome == "ok"
    for earlier in (0, 30):
        _, outcome = judged(locks, code_at(locks, NOW - earlier))
        assert outcome == "custody: invalid authenticator code"
    assert judged(locks, code_at(locks, NOW + 30))[1] == "ok"


def test_a_recovery_code_passes_once_and_forgets_a_step_of_the_future() -> None:
    locks, shown = locked()
    locks = Locks(locks.locks, {NET: Mark(last_step=totp.step_at(NOW) + 1000)})
    assert judged(locks, code_at(locks, NOW))[1] == "custody: invalid authenticator code"
    locks, outcome = judged(locks, shown.recovery_codes[0].upper().replace("-", " "))
    assert outcome == "ok"
    assert judged(locks, shown.recovery_codes[0])[1] == "custody: invalid authenticator code"
    assert judged(locks, code_at(locks, NOW))[1] == "ok"


def test_wrong_codes_are_delayed_and_then_not_read() -> None:
    locks, _ = locked()
    waits = []
    now = NOW
    for _ in range(20):
        locks, outcome = judged(locks, "000000", now)
        assert outcome == "custody: invalid authenticator code"
        wait = locks.marks[NET].wait_s(now)
        waits.append(wait)
        if wait:
            right = code_at(locks, now)
            after, outcome = judged(locks, right, now)
            assert (after, outcome) == (locks, f"custody: too many attempts; wait {wait} s")
            assert judged(locks, right, now + wait - 1)[1] == "custody: too many attempts; wait 1 s"
        now += wait
    assert waits == [0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600, 3600, 3600]
    locks, outcome = judged(locks, code_at(locks, now), now)
    assert outcome == "ok"
    assert locks.marks[NET].refused == 0


def test_blank_codes_are_no_attempts() -> None:
    locks, _ = locked()
    for code in (None, "", " \n"):
        assert judged(locks, code) == (locks, "custody: this change requires your authenticator code")


@given(refused=st.integers(0, 2**32 - 1), refused_at=st.integers(0, 2**63), now=st.integers(0, 2**63))
def test_no_clock_makes_anybody_wait_longer_than_an_hour(refused: int, refused_at: int, now: int) -> None:
    assert 0 <= Mark(refused=refused, refused_at=refused_at).wait_s(now) <= 3600


def test_a_lock_whose_record_vanished_lets_nothing_pass() -> None:
    locks, shown = locked()
    vanished = Locks({}, locks.marks)
    assert is_enrolled(vanished, NET)
    for code in (None, code_at(locks, NOW), shown.recovery_codes[0]):
        after, outcome = judged(vanished, code)
        assert after == vanished
        assert "vanished" in outcome
        assert "myownmesh custody reset fleet-1" in outcome
    assert not is_enrolled(reset(vanished, NET), NET)


def test_a_lock_is_taken_off_by_a_code_only() -> None:
    locks, _ = locked()
    after, refused = disable(locks, NET, "000000", NOW)
    assert is_enrolled(after, NET)
    assert str(refused) == "custody: invalid authenticator code"
    after, refused = disable(locks, NET, code_at(locks, NOW), NOW)
    assert (after, refused) == (Locks(), None)
    assert disable(Locks(), NET, "whatever", NOW) == (Locks(), None)


def test_a_lock_under_an_alias_guards_the_network_that_was_meant() -> None:
    locks, _ = locked()
    under_alias = Locks({"my-fleet": locks.locks[NET]}, {"my-fleet": Mark(refused=3)})
    moved = canonical_keys(under_alias, {"my-fleet": NET, "other": "fleet-2"})
    assert moved == Locks(locks.locks, {NET: Mark(refused=3)})
    assert canonical_keys(moved, {"my-fleet": NET}) is moved
    both = Locks({"my-fleet": Lock("A", (), 1), **locks.locks}, dict(locks.marks))
    assert canonical_keys(both, {"my-fleet": NET}) == locks


def test_an_alias_that_is_another_networks_id_stays_that_networks() -> None:
    locks, _ = locked()
    assert canonical_keys(locks, {NET: "fleet-2", "x": NET}) is locks


def test_locks_of_another_implementation_get_marks() -> None:
    locks, _ = locked()
    assert Locks(locks.locks).marked() == locks
    assert locks.marked() is locks


@given(
    st.lists(st.tuples(st.text(max_size=12) | st.sampled_from(["right", "000000"]), st.integers(0, 5000)), max_size=30)
)
def test_a_lock_stays_whatever_codes_come(tries: list[tuple[str, int]]) -> None:
    locks, _ = locked()
    now = NOW
    for code, later in tries:
        now += later
        locks, _ = judged(locks, code_at(locks, now) if code == "right" else code, now)
        assert is_enrolled(locks, NET)
        assert len(locks.locks[NET].recovery_hashes) == 10
