"""A whole run of v0.3.8 daemons, as a third device heard it: founding, admits, a co-signed seat, a shape, evictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from myownmesh.governance.adoption import consent, hear_log
from myownmesh.governance.book import Book
from myownmesh.governance.denials import read_denial, take_denial
from myownmesh.governance.entries import entry_key
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.intake import hear_ack, hear_propose
from myownmesh.governance.log import verified
from myownmesh.governance.rules import STRICT
from myownmesh.governance.signatures import Checks, finish
from myownmesh.governance.words import Speaker
from myownmesh.protocol.codec import decode_frame
from myownmesh.protocol.frames import Deny, NetworkStateAck, NetworkStatePropose, RosterEntries
from support.governance import CAROL, IDS, NETWORK, V038
from support.vectors import load

if TYPE_CHECKING:
    from myownmesh.governance.rules import Rules
    from myownmesh.protocol.frames import Frame

FLEET = next(case for case in load("governance", "captured") if case["id"] == "fleet")
FRAMES = [
    (IDS[frame["from"]], decode_frame(frame["json"].encode()))
    for step in FLEET["steps"]
    for frame in step.get("frames_to_carol", [])
]


class Carol:
    """A device that hears the frames, one after the other."""

    def __init__(self, rules: Rules) -> None:
        self.book = Book(NETWORK, CAROL, rules=rules)
        self.checks = Checks(NETWORK)
        self.said: dict[str, frozenset[str]] = {}
        self.now = 0
        self.results: list[str] = []

    def hear(self, link: str, frame: Frame) -> None:
        speaker = Speaker(link, said=self.said.get(link, frozenset()))
        match frame:
            case NetworkStatePropose():
                self.now = frame.created_at
                done = hear_propose(self.book, frame, link, self.checks, self.now)
            case NetworkStateAck():
                self.now = frame.at
                done = hear_ack(self.book, frame, link, self.checks, self.now)
            case RosterEntries():
                log = finish(verified(frame.transitions, self.checks, self.book.rules))
                self.book = hear_log(self.book, log, speaker, self.now).book
                self.book = hear_entries(
                    self.book, frame.member_log, speaker, self.checks, self.now, max_checks=99
                ).book
                return
            case Deny():
                proof = finish(read_denial(self.book, frame, self.checks))
                assert proof is not None
                self.book = take_denial(self.book, frame, proof, self.checks, self.now)
                return
            case _:
                return
        self.book = done.book
        self.results.append(done.result)
        if done.word is not None:
            self.said[link] = self.said.get(link, frozenset()) | {done.word}


def keys(book: Book) -> list[str]:
    return [entry_key(each).decode() for each in (*book.log.entries, *book.members.entries())]


def test_with_every_switch_on_the_same_entries_come_together() -> None:
    carol = Carol(V038)
    for link, frame in FRAMES:
        carol.hear(link, frame)
    assert set(carol.results) == {"ratified", "pending"}
    assert sorted(keys(carol.book)) == sorted(FLEET["expect"]["entry_keys"])
    assert dict(carol.book.standing.roles) == FLEET["expect"]["roles"]
    assert carol.book.bench.removed() == sorted(FLEET["expect"]["evicted"])


@pytest.mark.parametrize("agrees", [True, False], ids=["consent", "nobody agreed"])
def test_ours_asks_once_and_then_believes_what_is_signed(agrees: bool) -> None:
    carol = Carol(STRICT)
    for link, frame in FRAMES:
        carol.hear(link, frame)
        if agrees and carol.book.questions.claims:
            (question,) = carol.book.questions.claims
            carol.book = consent(carol.book, question, carol.now).book
    book = carol.book
    if not agrees:
        assert (book.kind, len(book.log), book.members.count) == ("open", 0, 0)
        assert not book.is_evicted(CAROL), "an unfounded device stands down on nobody's word"
        return
    assert "ratified" not in carol.results
    assert sorted(keys(book)) == sorted(FLEET["expect"]["entry_keys"])
    assert dict(book.standing.roles) == FLEET["expect"]["roles"]
    assert book.is_evicted(CAROL)
    assert not book.questions.replays
