"""Branches that refute each other, persons who choose one, and what the merge behind that brings (02 §24.3 no. 46).

A plain reading over random runs: two parts of a network put each other's authorities out, a hostile member shows either
log with an entry left out, in another order or cut short, and persons everywhere choose the same branch. `RUNS` of them
with each run of the suite; `MESH_QUARRELS=5000` for as many.
"""

from __future__ import annotations

import itertools
import os
from random import Random
from typing import TYPE_CHECKING

import pytest

from myownmesh.governance.adoption import hear_log, reconsider, stay, switch
from myownmesh.governance.book import Book
from myownmesh.governance.branches import refutes
from myownmesh.governance.holdouts import Looks, kept_out, look
from myownmesh.governance.log import BadLog, common_length
from myownmesh.governance.pins import Pin
from myownmesh.governance.sync import log_digest
from myownmesh.governance.words import OURSELVES, Speaker
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke
from support.governance import ALICE, BOB, CAROL, DAVE, ERIN, FRANK, MALLORY, NETWORK, entry, followers, log_of, merged

if TYPE_CHECKING:
    from myownmesh.governance.log import Log
    from myownmesh.protocol.transitions import Variant

RUNS = int(os.environ.get("MESH_QUARRELS") or 6)
RANKS = {"member": 0, "controller": 1, "owner": 2}
BASE = (
    entry(KindChange("closed"), ALICE),
    entry(RoleGrant(BOB, "owner"), ALICE),
    entry(RoleGrant(CAROL, "controller"), ALICE),
    entry(RoleGrant(DAVE, "controller"), ALICE),
)
SEATED = (ALICE, BOB, CAROL, DAVE)
EVERYBODY = (*SEATED, ERIN, FRANK)
NOW = 2_000_000


def tail(rng: Random, authors: list[str], against: list[str]) -> Log:
    """What one part of the network decides while it is apart, among it the removal of somebody in the other."""
    acts = [entry(rng.choice((Evict, RoleRevoke))(rng.choice(against)), rng.choice(authors))]
    for _ in range(rng.randrange(1, 5)):
        seated = rng.choice(SEATED)
        variants: list[Variant] = [
            RoleGrant(rng.choice(EVERYBODY), "controller"),
            RoleGrant(rng.choice(EVERYBODY), "owner"),
            RoleRevoke(seated),
            Evict(seated),
        ]
        acts.append(entry(rng.choice(variants), rng.choice(authors)))
    rng.shuffle(acts)
    new = [act for act in dict.fromkeys(acts) if act not in BASE]  # nobody of ours signs alike twice
    return log_of(followers(BASE, [act for act in new if act.variant.target not in act.signers]))  # type: ignore[union-attr]  # each has one


def held(name: str, log: Log) -> Book:
    """What a device has that was there when this log was signed."""
    return hear_log(Book(NETWORK, name, Pin(NETWORK).on(log)), log, OURSELVES, NOW).book


def quarrel(rng: Random) -> tuple[Log, Log]:
    """Two logs that refute each other."""
    while True:
        authors = [*SEATED]
        rng.shuffle(authors)
        cut = rng.randrange(1, 4)
        left, right = tail(rng, authors[:cut], authors[cut:]), tail(rng, authors[cut:], authors[:cut])
        if refutes(left, right) and refutes(right, left) and all(held(FRANK, log).log == log for log in (left, right)):
            return left, right


def twisted(rng: Random, log: Log) -> Log | None:
    """A log as a liar shows it: positions are not signed."""
    entries = [*log.entries]
    match rng.randrange(3):
        case 0:
            del entries[rng.randrange(len(BASE), len(entries))]
        case 1:
            shuffled = entries[len(BASE) :]
            rng.shuffle(shuffled)
            entries[len(BASE) :] = shuffled
        case _:
            entries = entries[: rng.randrange(1, len(entries))]
    try:
        return log_of(entries)
    except BadLog:
        return None


class Persons:
    """The devices, and the persons at them, who all choose the same branch."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = NOW
        self.believed = 0
        """Lies that changed what somebody holds or remembers."""
        self.judged = [0, 0]
        """Looks at a device, and those of them at one that holds what was chosen."""
        self.chosen, self.other = quarrel(self.rng)
        self.given = {
            (each.variant.target, each.variant.role)
            for log in (self.chosen, self.other)
            for each in log.entries
            if isinstance(each.variant, RoleGrant)
        } | {(ALICE, "owner")}
        self.looks: dict[str, Looks] = {}
        self.books: dict[str, Book] = {}
        self.checked: dict[str, Book] = {}
        """What was read plainly already, as it was."""
        for number, name in enumerate(EVERYBODY):
            log = (self.chosen, self.other)[number] if number < 2 else self.rng.choice((self.chosen, self.other))
            self.books[name] = held(name, log)

    def hear(self, name: str, log: Log, speaker: str) -> None:
        heard = hear_log(self.books[name], log, Speaker(speaker), self.now)
        self.books[name] = heard.book
        if heard.left is not None:
            self.merge(name, heard.left)

    def merge(self, name: str, left: Log) -> None:
        if self.books[name].standing.is_authority(name):
            self.books[name] = merged(self.books[name], left, name, self.now)

    def exchange(self) -> None:
        pairs = [*itertools.permutations(EVERYBODY, 2)]
        self.rng.shuffle(pairs)
        for name, other in pairs:
            self.hear(name, self.books[other].log, other)
            self.check()

    def look(self) -> None:
        """Who keeps to a branch that others have left asks its person, once it was told all."""
        for name, book in self.books.items():
            shown = {log_digest(held.log) for other, held in self.books.items() if other != name}
            out, before = kept_out(book.log, book.branches), self.looks.get(name, Looks())
            self.books[name], self.looks[name] = look(book, out, shown, before)

    def lie(self) -> None:
        log = twisted(self.rng, self.rng.choice([self.chosen, self.other, *(book.log for book in self.books.values())]))
        if log is not None:
            name = self.rng.choice(EVERYBODY)
            before = self.books[name]
            self.hear(name, log, MALLORY)
            self.believed += self.books[name] is not before

    def decide(self, name: str) -> None:
        """A person is shown the other branch: which of the two has what they chose?"""
        book = self.books[name]
        for question, rival in [*book.questions.rivals.items()]:
            if self.likes(rival) >= self.likes(book.log):
                found = switch(book, question, self.now)
                self.books[name] = found.book
                if found.left is not None:
                    self.merge(name, found.left)
            else:
                self.books[name] = reconsider(stay(book, question), self.now).book
            return

    def likes(self, log: Log) -> int:
        return common_length(log, self.chosen)

    @property
    def all_agree(self) -> bool:
        return len({book.log.digest for book in self.books.values()}) == 1

    @property
    def somebody_knows(self) -> bool:
        """A person is asked, or has decided against what others hold and is not asked again."""
        held = {book.log.digest for book in self.books.values()}
        return any(
            book.questions.rivals or book.questions.replays or held & {*book.branches.stayed}
            for book in self.books.values()
        )

    # ── the plain reading ──

    def check(self) -> None:
        for name, book in self.books.items():
            if self.checked.get(name) is book:
                continue
            self.checked[name] = book
            for device, role in book.standing.roles.items():
                assert role == "member" or (device, role) in self.given, f"{device} at {name}"
            assert log_of(book.log.entries).standing == book.standing

    def check_choice(self, name: str) -> None:
        """What the click was about holds where the chosen branch, and what was merged behind it, is held."""
        log = self.books[name].log
        self.judged[0] += 1
        if common_length(log, self.chosen) < len(self.chosen):
            return
        self.judged[1] += 1
        now, chosen, other = log.standing, self.chosen.standing, self.other.standing
        common = common_length(self.chosen, self.other)
        authors = {signer for place in self.chosen.places[common:] for signer in place.entry.signers}
        out = {place.puts_out for place in self.chosen.places[common:]} | {
            place.puts_out for place in self.other.places[common:]
        }
        for device in EVERYBODY:
            rank = RANKS[now.role(device)]
            assert rank <= max(RANKS[chosen.role(device)], RANKS[other.role(device)]), "nobody gets more than either"
            if device in authors:
                assert rank >= RANKS[chosen.role(device)], "who was chosen is not put out by the merge"
            if device in out:
                assert rank <= RANKS[chosen.role(device)], "who was put out is not seated by the merge"


@pytest.mark.heavy
@pytest.mark.parametrize("hostile", [False, True], ids=["honest", "hostile"])
def test_what_persons_chose_holds_and_honest_devices_agree(hostile: bool) -> None:
    believed = looks = judged = 0
    for seed in range(RUNS):
        run = Persons(seed)
        for number in range(9 if hostile else 5):
            run.now += 60
            run.exchange()
            run.look()
            for name in run.rng.sample(EVERYBODY, len(EVERYBODY)):
                if hostile and number < 3:
                    run.lie()
                run.decide(name)
                run.check()
                run.check_choice(name)
        if hostile:
            assert run.all_agree or run.somebody_knows, f"seed {seed}"
        else:
            logs = [run.books[name].log for name in EVERYBODY]
            assert len({log.digest for log in logs}) == 1, f"seed {seed}"
            assert all(common_length(log, run.chosen) == len(run.chosen) for log in logs), f"seed {seed}"
        believed, looks, judged = believed + run.believed, looks + run.judged[0], judged + run.judged[1]
    assert 2 * judged > looks, "most of these looks saw a device that holds what was chosen, so they said something"
    assert bool(believed) is hostile, "lies that change nothing show nothing"


def test_a_branch_that_a_person_refused_keeps_no_device_apart_from_those_who_refused_it_too() -> None:
    """Two devices hold the same decisions in another order, and both have refused the branch that refutes them."""
    bob, carol = entry(RoleRevoke(ALICE), BOB), entry(RoleRevoke(DAVE), CAROL)
    here, there = log_of([*BASE, carol, bob]), log_of([*BASE, bob, carol])
    refused = log_of([*BASE, entry(Evict(CAROL), DAVE), bob])
    found = set()
    for own, other in ((here, there), (there, here)):
        book = hear_log(held(FRANK, own), refused, Speaker(DAVE), NOW).book
        [question] = book.questions.rivals
        book = hear_log(stay(book, question), other, Speaker(ERIN), NOW).book
        assert not book.questions.rivals
        found.add(book.log.digest)
    assert len(found) == 1


@pytest.mark.heavy
@pytest.mark.parametrize("seed", [13, 22, 352, 11520])
def test_a_device_that_a_variant_keeps_apart_is_asked_and_comes_after(seed: int) -> None:
    """Who shows a variant of the refused branch keeps a device on its own. Behind the click nobody is promoted whom the
    branch that kept the chosen one out puts out: a device of seed 11520 knows that removal from nowhere else."""
    run = Persons(seed)
    asked = 0
    for number in range(9):
        run.now += 60
        run.exchange()
        before = dict(run.books)
        run.look()
        asked += sum(bool(book.questions.rivals) for name, book in run.books.items() if book is not before[name])
        for name in run.rng.sample(EVERYBODY, len(EVERYBODY)):
            if number < 3:
                run.lie()
            run.decide(name)
            run.check()
            run.check_choice(name)
    assert asked, "this seed shows it no more"
    assert run.all_agree


def test_whoever_leaves_a_branch_by_a_click_is_not_asked_about_it_again() -> None:
    left = log_of([*BASE, entry(Evict(CAROL), DAVE)])
    chosen = log_of([*BASE, entry(RoleRevoke(DAVE), CAROL)])
    book = hear_log(held(FRANK, left), chosen, Speaker(CAROL), NOW).book
    [question] = book.questions.rivals
    book = switch(book, question, NOW).book
    book = hear_log(book, left, Speaker(DAVE), NOW).book
    assert (book.log, dict(book.questions.rivals)) == (chosen, {})
