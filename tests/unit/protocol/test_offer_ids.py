"""Ids of offers look like the reference's and tell whether one of ours made them."""

from __future__ import annotations

import random
import re

import pytest

from myownmesh.protocol import base32
from myownmesh.protocol.offer_ids import gives_way, is_canonical, new_offer_id, with_mark_of
from support.vectors import load

A, B = "a" * 52, "b" * 52


def test_an_id_is_thirteen_base32_characters_like_those_of_the_reference() -> None:
    example = load("signaling", "offer_id")["example"]
    assert base32.encode(bytes.fromhex(example["bytes_hex"])) == example["offer_id"]
    made = new_offer_id(A, B, random.Random(1))
    assert re.fullmatch("[a-z2-7]{13}", made)
    assert len(base32.decode(made, 8)) == 8


def test_ids_are_fresh() -> None:
    rng = random.Random(1)
    assert len({new_offer_id(A, B, rng) for _ in range(1000)}) == 1000


def test_an_id_tells_whom_it_is_from_and_for() -> None:
    made = new_offer_id(A, B, random.Random(1))
    assert gives_way(made, A, B)
    assert not gives_way(made, B, A)


@pytest.mark.parametrize("foreign", ["", "o", "aaaqeayeaudao", "a" * 13, "?" * 13, "aaaqeayeaudaoaaaqeayeaudao"])
def test_foreign_ids_promise_nothing(foreign: str) -> None:
    assert not gives_way(foreign, A, B)


def test_an_id_told_of_others_is_one_that_they_would_have_made() -> None:
    made = new_offer_id(A, B, random.Random(1))
    others = with_mark_of(made, "c" * 52, "d" * 52)
    assert gives_way(others, "c" * 52, "d" * 52)
    assert others[:8] == made[:8]
    assert with_mark_of("no id", A, B) == "no id"


@pytest.mark.parametrize("text", ["", "AAAQEAYEAUDAO", "aaaqeayeaudap", "aaaqeayeauda", "aaaqeayeaudao=", "?" * 13])
def test_only_one_form_of_an_id_is_canonical(text: str) -> None:
    assert is_canonical("aaaqeayeaudao")
    assert not is_canonical(text)
