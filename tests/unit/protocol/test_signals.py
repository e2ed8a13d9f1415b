"""What travels over signaling is told apart by its content (spec 04 §1.5): that is how repeats are recognised."""

from __future__ import annotations

import msgspec
import pytest

from myownmesh.protocol.clock import Instant
from myownmesh.protocol.signals import AnswerReceived, Candidate, CandidateReceived, OfferReceived, PeerAnnounced


def test_the_same_content_is_the_same_signal() -> None:
    one = CandidateReceived("p", Candidate("candidate:1", "0", 0))
    assert one == CandidateReceived("p", Candidate("candidate:1", "0", 0))
    assert one != CandidateReceived("p", Candidate("candidate:1", "0", 1))
    assert len({one, CandidateReceived("p", Candidate("candidate:1", "0", 0)), OfferReceived("p", "x")}) == 2


def test_an_offer_is_no_answer() -> None:
    assert OfferReceived("p", "sdp") != AnswerReceived("p", "sdp")
    assert not PeerAnnounced("p").again


def test_a_candidate_as_the_wire_carries_it() -> None:
    """Spec 04 §10.6: all four members, what is not said as null."""
    assert msgspec.json.decode(msgspec.json.encode(Candidate("candidate:1", "0"))) == {
        "candidate": "candidate:1",
        "sdp_mid": "0",
        "sdp_mline_index": None,
        "username_fragment": None,
    }


def test_a_moment_has_two_clocks() -> None:
    now = Instant(mono=1.5, wall_ms=1_700_000_000_000)
    assert (now.mono, now.wall_ms) == (1.5, 1_700_000_000_000)
    with pytest.raises(AttributeError):
        now.mono = 2.0  # type: ignore[misc]  # what is tested
