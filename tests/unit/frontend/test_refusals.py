"""What peers say is read in one place, whether a call or a stream brings it (spec 05 §13.1, spec 08 FE-9.10)."""

from __future__ import annotations

import pytest

from mesh_common.client.errors import HANDLER_ERROR, refusal, stream_failure
from myownllm.capabilities import BUSY_TEXT
from myownllm.features.files import presence
from myownllm.refusals import HOST_BUSY_TEXT, NO_MODEL_TEXT, Meaning, meaning, words
from myownllm.transfers import offer


@pytest.mark.parametrize(
    ("said", "means"),
    [
        (HOST_BUSY_TEXT, Meaning.BUSY),
        (BUSY_TEXT, Meaning.NOT_ACCEPTING),
        (NO_MODEL_TEXT, Meaning.NO_MODEL),
        (offer.SHUTTING_DOWN, Meaning.LATER),
        ("not authorized", Meaning.LATER),
        ("handler owner client disconnected", Meaning.APP_GONE),
        ("its own words", Meaning.OTHER),
    ],
)
def test_what_a_peer_says_means_the_same_by_every_way(said: str, means: Meaning) -> None:
    by_call, by_stream = refusal(f"{HANDLER_ERROR}{said}"), stream_failure(said)
    assert (meaning(by_call), meaning(by_stream)) == (means, means)
    assert words(by_call) == words(by_stream) == said


def test_only_the_daemon_itself_can_say_that_a_link_dropped() -> None:
    assert meaning(refusal("network down")) is Meaning.LINK_DROPPED
    assert meaning(refusal(f"{HANDLER_ERROR}network down")) is Meaning.OTHER


@pytest.mark.parametrize("said", [HOST_BUSY_TEXT, "cancelled", offer.NO_OFFER, offer.INTERRUPTED])
def test_a_receiver_that_can_later_is_asked_again(said: str) -> None:
    assert presence.refusal(refusal(f"{HANDLER_ERROR}{said}")) is None


@pytest.mark.parametrize("said", ["no space", BUSY_TEXT, NO_MODEL_TEXT])
def test_the_last_word_of_a_receiver_is_told(said: str) -> None:
    assert presence.refusal(refusal(f"{HANDLER_ERROR}{said}")) == said
