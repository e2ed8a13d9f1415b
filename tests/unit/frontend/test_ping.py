"""What a row of pings says, without a device."""

from __future__ import annotations

import pytest

from mesh_common.answers import ServiceOffer
from mesh_common.views import TurnPath
from myownllm.ping import EXIT_CODES, Answer, Summary, is_over, sentence, summary, way_of

LAN = Answer(number=1, ms=2.0, path="LAN", way="directly, in the local network")
TURN = Answer(number=2, ms=41.5, path="TURN", way="over TURN")
LOST = Answer(number=3, way="it is away")
KEY, OTHER = "a" * 52, "b" * 52
HOSTED = ServiceOffer("home", KEY, "turn", ("turn:203.0.113.1:3478?transport=tcp",), True)


def test_what_a_row_of_pings_comes_to() -> None:
    assert summary([TURN, LOST, LAN]) == Summary(
        outcome="direct",
        sent=3,
        answered=2,
        loss_percent=33,
        least_ms=2.0,
        mean_ms=21.8,
        most_ms=41.5,
        path="LAN",
        way="directly, in the local network",
    )


@pytest.mark.parametrize(
    ("answers", "outcome", "status"),
    [
        ([LAN], "direct", 0),
        ([LAN, TURN], "relayed", 4),
        ([TURN, LOST], "relayed", 4),
        ([LOST, LOST], "silent", 5),
        ([Answer(number=1, ms=1.0, path=None)], "relayed", 4),
        ([], "silent", 5),
    ],
)
def test_the_last_answer_decides(answers: list[Answer], outcome: str, status: int) -> None:
    found = summary(answers)
    assert (found.outcome, EXIT_CODES[found.outcome]) == (outcome, status)


def test_a_direct_path_is_waited_for_and_no_longer_than_asked() -> None:
    assert not is_over([LAN], count=2, waited_s=99, wait_s=0)
    assert is_over([TURN, LAN], count=2, waited_s=1, wait_s=30)
    assert not is_over([LAN, TURN], count=2, waited_s=1, wait_s=30)
    assert is_over([LAN, TURN], count=2, waited_s=30, wait_s=30)
    assert not is_over([LOST, LOST], count=2, waited_s=1, wait_s=30)


@pytest.mark.parametrize(
    ("path", "turn", "way"),
    [
        ("LAN", None, "directly, in the local network"),
        ("STUN", None, "directly, over the internet"),
        ("TURN", None, "over TURN"),
        (None, None, "on a path that the daemon does not tell"),
        (
            "TURN",
            TurnPath("ours", "203.0.113.1:3478", "tcp"),
            "over TURN by TCP: 203.0.113.1:3478, hosted by box",
        ),
        (
            "TURN",
            TurnPath("ours", "turn.example:5349", "tls"),
            "over TURN by TLS: turn.example:5349, configured here",
        ),
        (
            "TURN",
            TurnPath("theirs", "203.0.113.7"),
            "over TURN: a server that the other device uses, at 203.0.113.7",
        ),
    ],
)
def test_a_path_in_words(path: str | None, turn: TurnPath | None, way: str) -> None:
    assert way_of(path, turn, [HOSTED], {KEY: "box"}) == way


def test_a_server_that_is_only_offered_is_not_whose_it_is() -> None:
    waiting = ServiceOffer("home", OTHER, "turn", HOSTED.urls, False, "nobody approved it")
    assert way_of("TURN", TurnPath("ours", "203.0.113.1:3478", "udp"), [waiting], {}).endswith("configured here")


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ([LAN], "box is reached directly, in the local network."),
        (
            [TURN],
            "box is reached over TURN; no direct path came within 30 s. `myownllm netcheck` says why.",
        ),
        ([LOST], "box did not answer: it is away."),
    ],
)
def test_the_end_of_the_story(answers: list[Answer], text: str) -> None:
    assert sentence(summary(answers), "box", 30.2) == text
