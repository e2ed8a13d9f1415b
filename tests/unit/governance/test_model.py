"""Many devices, random partitions, owners and controllers who act apart, and a hostile member: a plain reading of the
rules holds at every moment, and afterwards all agree.

Each device has a book and nothing else; frames are handed over by the test. The hostile one keeps all that it ever saw
and shows it again: with other times, other co-signers, cut short, with one left out, and appended where it was undone.
"""

from __future__ import annotations

import itertools
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest

from myownmesh.governance.adoption import hear_log
from myownmesh.governance.authoring import Refused, propose
from myownmesh.governance.book import Book
from myownmesh.governance.hearing import hear_again, hear_entries
from myownmesh.governance.log import BadLog
from myownmesh.governance.pins import Pin
from myownmesh.governance.saved import load_book, pin_of, state_of
from myownmesh.governance.signatures import finish
from myownmesh.governance.state_file import read_state, write_state
from myownmesh.governance.succession import Anew, kept_removals, legacy, orphans, sign_anew
from myownmesh.governance.sync import answer, request
from myownmesh.governance.words import Speaker
from myownmesh.protocol.frames import RosterEntries
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke
from support.governance import (
    ALICE,
    BOB,
    CAROL,
    CHECKS,
    DAVE,
    ERIN,
    FRANK,
    GRACE,
    HEIDI,
    MALLORY,
    NETWORK,
    entry,
    log_of,
    merged,
    sign,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownmesh.protocol.transitions import Transition, Variant

NAMES = (ALICE, BOB, CAROL, DAVE, ERIN, FRANK)
TARGETS = (DAVE, ERIN, GRACE, HEIDI)
START = 1_000_000
FOUNDING = (
    entry(KindChange("closed"), ALICE),
    entry(RoleGrant(BOB, "owner"), ALICE),
    entry(RoleGrant(CAROL, "controller"), ALICE),
)


class World:
    """The devices, what was ever signed, and one who wishes them ill."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = START
        log = log_of(FOUNDING)
        pin = Pin(NETWORK).on(log)
        self.books = {
            name: hear_log(Book(NETWORK, name, pin), log, Speaker(trusted=True), START - 10**6).book for name in NAMES
        }
        self.granted = {(each.variant.target, each.at) for each in FOUNDING if isinstance(each.variant, RoleGrant)}
        self.seats = {(ALICE, "owner"), (BOB, "owner"), (CAROL, "controller")}
        self.seen: list[Transition] = list(FOUNDING)
        self.logs: list[tuple[Transition, ...]] = [FOUNDING]
        self.proposals = itertools.count()

    # ── what honest people do ──

    def act(self, name: str) -> None:
        book = self.books[name]
        variant = self.rng.choice(self.choices(book))
        if isinstance(variant, Evict | RoleRevoke) and book.standing.is_authority(variant.target):
            for anew in legacy(book, variant.target):
                book = sign_anew(book, anew, sign(name, anew.variant))
        try:
            done = propose(book, variant, sign(name, variant), f"prop_{next(self.proposals)}", self.now)
        except Refused:
            return
        if done.entry is None:
            return
        self.books[name] = done.book
        if isinstance(variant, RoleGrant):
            self.granted.add((variant.target, done.entry.at))
            self.seats.add((variant.target, variant.role))
        self.see(done.book)

    def choices(self, book: Book) -> list[Variant]:
        role = book.standing.role(book.me)
        if role == "member":
            return [RoleGrant(self.rng.choice(TARGETS), "member")]
        target = self.rng.choice(TARGETS)
        found: list[Variant] = [RoleGrant(target, "member"), Evict(target), Evict(target)]
        if role == "owner":
            found += [RoleGrant(target, "controller"), RoleRevoke(self.rng.choice((CAROL, DAVE))), Evict(CAROL)]
        return found

    def keep_up(self, name: str) -> None:
        """What devices of ours do by themselves."""
        book = hear_again(self.books[name], CHECKS, self.now, max_checks=999).book
        for anew in kept_removals(book):
            book = sign_anew(book, anew, sign(name, anew.variant))
        self.books[name] = book

    def decide(self) -> None:
        """Alice confirms removals whose authors fell before she could count them."""
        for removal in orphans(self.books[ALICE]).values():
            assert isinstance(removal.variant, Evict)
            anew = Anew(removal.variant, removal.at)
            self.books[ALICE] = sign_anew(self.books[ALICE], anew, sign(ALICE, anew.variant))

    def restart(self, name: str) -> None:
        book = self.books[name]
        state = read_state(b"".join(write_state(state_of(book))))
        loaded = finish(load_book(NETWORK, name, "open", state, pin_of(book), CHECKS, self.now))
        assert not loaded.faults
        for device in TARGETS:
            assert loaded.book.bench.verdict(device).membership == book.bench.verdict(device).membership
        self.books[name] = loaded.book

    # ── what travels ──

    def pull(self, name: str, other: str, *, ours: bool = True) -> None:
        asked = request(self.books[name], knows_digests=ours)
        for frame in answer(self.books[other], (), asked.subtree_hashes, vouching=ours):
            if frame is not None:
                self.hear(name, other, frame)
        self.see(self.books[name])

    def hear(self, name: str, other: str, frame: RosterEntries) -> None:
        book, speaker = self.books[name], Speaker(other, vouched=frame.vouched is True)
        if frame.transitions:
            try:
                log = log_of(frame.transitions)
            except BadLog:
                return
            heard = hear_log(book, log, speaker, self.now)
            book = heard.book
            if heard.left is not None and book.standing.is_authority(name):
                book = merged(book, heard.left, name, self.now)
        rest = frame.member_log
        while rest:
            slice_ = hear_entries(book, rest, speaker, CHECKS, self.now, max_checks=self.rng.randrange(1, 9))
            book, rest = slice_.book, slice_.rest
        self.books[name] = book

    def see(self, book: Book) -> None:
        self.seen += [each for each in (*book.members.entries(), *book.log.entries) if each not in self.seen]
        if book.log.entries not in self.logs:
            self.logs.append(book.log.entries)

    # ── what Mallory does ──

    def attack(self, name: str) -> None:
        rng = self.rng
        members = [self.twisted(each) for each in rng.choices(self.seen, k=6)]
        log = list(rng.choice(self.logs))
        match rng.randrange(6):
            case 0:
                log = log[: rng.randrange(1, len(log) + 1)]
            case 1:
                log += rng.choices(self.seen, k=2)
            case 2:
                log.append(entry(RoleGrant(MALLORY, "owner"), MALLORY))
            case 3:
                log.insert(0, entry(RoleGrant(MALLORY, "owner"), MALLORY))  # while the network was open
            case 4:
                log = [self.twisted(each) for each in log]
            case 5:
                del log[rng.randrange(len(log))]
        vouched = True if rng.random() < 0.5 else msgspec.UNSET
        self.hear(name, MALLORY, RosterEntries((), tuple(log), tuple(members), vouched))

    def twisted(self, each: Transition) -> Transition:
        at = self.rng.choice([each.at, self.now, self.now + 3000, 0, 2**63])
        if self.rng.random() < 0.3 and MALLORY not in each.signers:
            return msgspec.structs.replace(
                each,
                at=at,
                signers=(*each.signers, MALLORY),
                signatures=(*each.signatures, sign(MALLORY, each.variant)),
            )
        return msgspec.structs.replace(each, at=at)

    # ── the plain reading ──

    def check(self, *, at_the_end: bool = False) -> None:
        """A first copy with another time counts until the honest one comes along, so that times are compared last."""
        for name, book in self.books.items():
            for device in TARGETS:
                verdict = book.bench.verdict(device)
                if verdict.membership == "present" and verdict.entry is not None:
                    assert any(device == target for target, _ in self.granted), "nobody is let in whom nobody admitted"
                    if at_the_end and device != name:
                        latest = max(at for target, at in self.granted if target == device)
                        assert verdict.entry.at <= latest, "nor at a later time than anybody said"
            for device, role in book.standing.roles.items():
                assert (device, role) in self.seats, "nobody has a seat that nobody gave"
            assert book.pin.founder == ALICE
            assert book.kind == "closed"


def everybody_asks(world: World, names: Iterable[str], *, ours: bool = True) -> None:
    pairs = list(itertools.permutations(names, 2))
    world.rng.shuffle(pairs)
    for name, other in pairs:
        world.pull(name, other, ours=ours)


@pytest.mark.heavy
@pytest.mark.parametrize("hostile", [False, True], ids=["honest", "hostile"])
@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_the_rules_hold_and_all_agree_in_the_end(seed: int, hostile: bool) -> None:
    world = World(seed)
    for _ in range(60):
        world.now += world.rng.randrange(0, 120)
        island = world.rng.sample(NAMES, 3)
        match world.rng.randrange(5):
            case 0 | 1:
                world.act(world.rng.choice(NAMES))
            case 2 | 3:
                world.pull(*world.rng.sample(island, 2))
            case _:
                world.restart(world.rng.choice(NAMES))
        if hostile:
            world.attack(world.rng.choice(NAMES))
        world.check()
    for _ in range(6):
        world.now += 60
        everybody_asks(world, NAMES)
        for name in NAMES:
            world.keep_up(name)
        world.decide()
        world.check()
    world.check(at_the_end=True)
    asking = [name for name in NAMES if world.books[name].questions.rivals or world.books[name].questions.replays]
    logs = {world.books[name].log.digest for name in NAMES}
    assert len(logs) == 1 or asking, "one log, or a question for a person"
    if len(logs) == 1:
        for device in TARGETS:
            views = {world.books[name].role(device) for name in NAMES if name != device}
            assert len(views) == 1 or asking, f"{device}: {views}"
