"""Signed announces and leaves against the vectors (spec 11 §2.1)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.identity import Identity
from myownmesh.sealing.announce import (
    Signed,
    announce_text,
    is_good_announce,
    is_good_leave,
    leave_text,
    may_be_signed,
    sign,
)
from support.vectors import load

SIGNED = {case["note"]: case for case in load("sealing", "esig")}
A = Identity.from_seed(bytes([7]) * 32)


def identity(case: dict[str, Any]) -> Identity:
    return Identity.from_seed(bytes.fromhex(case["seed"]))


def test_an_announce() -> None:
    case = SIGNED["announce"]
    text = announce_text(case["room"], case["from"], case["created_at"], case["event_pubkey"], case["caps"])
    assert text.decode() == case["text"]
    signed = sign(identity(case), text, case["created_at"])
    assert signed == Signed(**case["esig"])
    said = [case[name] for name in ("room", "from", "created_at", "event_pubkey", "caps")]
    assert is_good_announce(*said, signed)


def test_a_leave() -> None:
    case = SIGNED["leave"]
    text = leave_text(case["room"], case["from"], case["created_at"], case["event_pubkey"])
    assert text.decode() == case["text"]
    signed = sign(identity(case), text, case["created_at"])
    assert signed == Signed(**case["esig"])
    assert is_good_leave(case["room"], case["from"], case["created_at"], case["event_pubkey"], signed)
    assert not is_good_leave(case["room"], case["from"], case["created_at"], "other", signed)


def test_an_announce_over_mdns() -> None:
    case = SIGNED["mDNS TXT"]
    t, caps = int(case["txt"]["t"]), case["txt"]["caps"].split(",")
    text = announce_text(case["room"], case["from"], t, "mdns", caps)
    assert text.decode() == case["text"]
    assert sign(identity(case), text, t) == Signed(t, case["txt"]["s"])


# A time that is a text gets no further than the reader of the envelope.
DROPPED = [case for case in load("sealing", "esig_must_drop") if isinstance(case["esig"]["t"], int)]


@pytest.mark.parametrize("case", DROPPED, ids=lambda case: case["note"])
def test_signatures_to_drop(case: dict[str, Any]) -> None:
    signed = Signed(**case["esig"])
    said = [case[name] for name in ("room", "from", "created_at", "event_pubkey", "caps")]
    assert not is_good_announce(*said, signed)


@pytest.mark.parametrize("s", ["", "a", "ß" * 103, "a" * 103, "A" * 103])
def test_signatures_that_are_none(s: str) -> None:
    assert not is_good_announce("room", A.device_id, 1, "key", ["ptag"], Signed(1, s))


@given(st.lists(st.text(alphabet="ab,_|A-", max_size=4), max_size=20))
def test_no_two_lists_of_caps_sign_alike(caps: list[str]) -> None:
    if may_be_signed(caps):
        joined = announce_text("", "", 0, "", caps).decode().rsplit("|", 1)[1]
        assert (joined.split(",") if joined else []) == caps
