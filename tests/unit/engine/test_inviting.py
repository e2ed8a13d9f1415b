"""Invitations in the handshake: ours is shown, theirs is asked about once (spec 11 §1.3, §1.4)."""

from __future__ import annotations

import pytest

from myownmesh.engine import EngineConfig
from myownmesh.engine.actions import Knock, SendFrame
from myownmesh.engine.errors import EngineError
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import Approve, Hello
from myownmesh.protocol.introduction import Introduction, introduced, introduction_in
from myownmesh.roster import Roster
from unit.engine.bench import NETWORK, OUR_BINDING, THEIR_BINDING, Bench

SHOWN = Introduction("0123456789abcdef", "a" * 52)


def hellos(bench: Bench) -> list[bytes]:
    """The texts of our hellos."""
    return [each.data for each in bench.actions if isinstance(each, SendFrame) and each.kind == "hello"]


def theirs(bench: Bench, nonce: str = "n1", shown: Introduction | None = SHOWN) -> list[str]:
    hello = encode_frame(Hello(1, bench.peer_id, "them", nonce, "abc123"))
    return bench.raw(hello if shown is None else introduced(hello, shown))


def knocks(bench: Bench) -> list[Knock]:
    return [each for each in bench.actions if isinstance(each, Knock)]


def test_a_hello_shows_what_the_peer_gave_us_and_repeats_show_it_too() -> None:
    bench = Bench("lower")
    asked: list[tuple[str, str]] = []

    def introduce(peer: str, binding: str) -> Introduction:
        asked.append((peer, binding))
        return SHOWN

    bench.engine.introduce_by(introduce)
    bench.up_to("handshaking").wait(20.0)
    assert asked == [(bench.peer_id, OUR_BINDING)]
    assert len(hellos(bench)) > 1
    assert {introduction_in(text) for text in hellos(bench)} == {SHOWN}


def test_without_an_invitation_a_hello_is_what_it_always_was() -> None:
    bench = Bench("lower").up_to("handshaking")
    [text] = hellos(bench)
    assert b"invite" not in text
    assert introduction_in(text) is None


def test_a_proved_stranger_with_an_invitation_knocks_once() -> None:
    bench = Bench("higher").up_to("handshaking")
    theirs(bench)
    assert knocks(bench) == []  # not before the proof
    bench.proof()
    assert knocks(bench) == [Knock(bench.peer_id, bench.epoch, SHOWN, THEIR_BINDING, "them")]
    theirs(bench)
    assert len(knocks(bench)) == 1
    bench.approve("them")
    bench.frame(Approve())
    assert bench.status == "active"


def test_the_proof_may_come_first() -> None:
    bench = Bench("higher").up_to("handshaking")
    bench.proof()
    assert knocks(bench) == []
    theirs(bench)
    assert len(knocks(bench)) == 1


def test_an_invitation_may_be_shown_while_a_link_waits() -> None:
    bench = Bench("higher").up_to("pending")
    assert knocks(bench) == []
    theirs(bench)  # the same nonce, now with an invitation
    assert len(knocks(bench)) == 1


@pytest.mark.parametrize("known", ["rostered", "auto_approve"])
def test_who_is_let_in_anyhow_does_not_knock(known: str) -> None:
    roster = Roster(NETWORK).approve(Bench("higher").peer_id, "", 1) if known == "rostered" else None
    bench = Bench("higher", EngineConfig(auto_approve=known == "auto_approve"), roster=roster).up_to("handshaking")
    theirs(bench)
    bench.proof()
    assert knocks(bench) == []


def test_who_was_approved_meanwhile_does_not_knock() -> None:
    bench = Bench("higher").up_to("pending")
    bench.approve()
    theirs(bench)
    assert knocks(bench) == []


@pytest.mark.parametrize("stage", ["handshaking", "pending"])
def test_one_that_we_take_now_is_shown_on_the_open_channel(stage: str) -> None:
    bench = Bench("lower").up_to("handshaking" if stage == "handshaking" else "pending")
    bench.engine.introduce_by(lambda _peer, _binding: SHOWN)
    bench.engine.show_invitation(bench.peer_id, bench.now)
    bench.collect()
    first, *_, last = hellos(bench)
    assert introduction_in(first) is None
    assert introduction_in(last) == SHOWN
    assert last.startswith(first[:-1])


@pytest.mark.parametrize("stage", ["connecting", "active"])
def test_where_there_is_nobody_to_show_it_nothing_is_sent(stage: str) -> None:
    bench = Bench("lower").up_to("connecting" if stage == "connecting" else "active")
    sent = len(hellos(bench))
    bench.engine.introduce_by(lambda _peer, _binding: SHOWN)
    bench.engine.show_invitation(bench.peer_id, bench.now)
    bench.collect()
    assert len(hellos(bench)) == sent


def test_after_the_leave_nothing_is_shown() -> None:
    bench = Bench("lower")
    bench.engine.leave(bench.now)
    with pytest.raises(EngineError):
        bench.engine.show_invitation(bench.peer_id, bench.now)
