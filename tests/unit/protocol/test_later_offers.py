"""Offers that v0.3.8 makes for a transport that it has already."""

from __future__ import annotations

import pytest

from myownmesh.protocol.later_offers import answered_before
from support.vectors import load

CAPTURED = {case["name"]: case["sdp"] for case in load("topology", "sdp_captured")["cases"]}


@pytest.mark.parametrize(
    "name",
    [
        "restart offer after our inactive answer",
        "offer for video lane 1 after our inactive answer",
        "offer for video lane 1 on a transport that began data-only",
    ],
)
@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_what_an_answer_of_ours_has_shaped(name: str, line_end: str) -> None:
    assert answered_before(CAPTURED[name].replace("\r\n", line_end))


@pytest.mark.parametrize(
    "name",
    [
        "first offer of a transport",
        "plain re-offer of the same transport 2.3 s later (gathering done)",
        "rebuild offer after the channel closed",
        "our data-only offer; accepted",
    ],
)
def test_first_offers_and_those_of_other_programs(name: str) -> None:
    assert not answered_before(CAPTURED[name])


@pytest.mark.parametrize("text", ["", "t=0 0", "\nm=application", "a=fingerprint:sha-256 aa\nt=0 0\n"])
def test_what_is_no_description_of_its_writing(text: str) -> None:
    assert not answered_before(text)
