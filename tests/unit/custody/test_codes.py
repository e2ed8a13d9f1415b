"""Codes and recovery codes of the authenticator lock against the vectors of spec 02 §17."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.custody import CustodyError, provisioning, recovery, totp
from support.vectors import load

CUSTODY = load("governance", "custody")
SECRET = CUSTODY["secret_ascii"].encode()


def test_the_secret_is_read_as_the_file_spells_it() -> None:
    assert provisioning.secret_bytes(CUSTODY["secret_b32"]) == SECRET
    assert provisioning.secret_bytes(CUSTODY["secret_b32"].lower()) == SECRET


@pytest.mark.parametrize("text", ["", "1", "GEZDGNBVG1", "ÄÄÄÄ"])
def test_a_secret_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CustodyError, match="custody: stored secret is not valid base32: "):
        provisioning.secret_bytes(text)


@pytest.mark.parametrize("case", CUSTODY["totp"], ids=lambda case: case["unix"])
def test_codes(case: dict[str, Any]) -> None:
    assert totp.code_of(SECRET, totp.step_at(case["unix"])) == case["code"]


@pytest.mark.parametrize("case", CUSTODY["verify"], ids=lambda case: f"{case['code']}-{case['unix']}")
def test_accepted_codes(case: dict[str, Any]) -> None:
    assert (totp.accepted_step(SECRET, case["code"], case["unix"]) is not None) == case["accept"]


@pytest.mark.parametrize("code", ["٢٨٧٠٨٢", "28708²", "287082\u200b", "+87082", "28708", ""])
def test_only_six_ascii_digits_are_a_code(code: str) -> None:
    assert totp.accepted_step(SECRET, code, 59) is None


@given(now=st.integers(0, 2**40), ahead=st.integers(-3, 3))
def test_a_code_counts_for_one_step_before_and_after_and_once(now: int, ahead: int) -> None:
    step = max(totp.step_at(now) + ahead, 0)
    accepted = totp.accepted_step(SECRET, totp.code_of(SECRET, step), now)
    if abs(step - totp.step_at(now)) <= 1:
        assert accepted is not None
        # Six digits of three steps may meet: then a later step that shows the same code is taken as used.
        assert totp.accepted_step(SECRET, totp.code_of(SECRET, step), now, after=accepted) is None


@pytest.mark.parametrize("case", CUSTODY["recovery"], ids=lambda case: case["input"])
def test_recovery_codes_as_they_are_typed(case: dict[str, Any]) -> None:
    assert recovery.digest_of(case["input"]) == case["sha256_hex"]
    assert recovery.matching(["00" * 32, case["sha256_hex"]], case["input"]) == case["sha256_hex"]
    assert recovery.matching(["00" * 32], case["input"]) is None


@pytest.mark.parametrize("case", CUSTODY["recovery_generation"], ids=lambda case: case["code"])
def test_recovery_codes_as_they_are_made(case: dict[str, Any]) -> None:
    code = recovery.code_from(bytes.fromhex(case["random_bytes_hex"]))
    assert (code, recovery.digest_of(code)) == (case["code"], case["sha256_hex"])


@pytest.mark.parametrize("case", CUSTODY["otpauth"], ids=lambda case: case["account"])
def test_the_address_for_authenticator_programs(case: dict[str, Any]) -> None:
    assert provisioning.otpauth_uri(case["secret_b32"], case["account"]) == case["uri"]
