"""Races that a member of a closed network wins for a moment, and what must be so in the end (02 §24.3 no. 42)."""

from __future__ import annotations

import msgspec
import pytest

from myownmesh.governance import authoring
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.governance.words import Speaker
from myownmesh.protocol import base32
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import NetworkStateAck, NetworkStatePropose, RosterEntries
from myownmesh.protocol.transitions import Evict, RoleGrant, Transition
from myownmesh.simulator import World
from myownmesh.simulator.node import NETWORK
from myownmesh.simulator.reference_governance import signed_entry
from simulation.test_governed_liveness import LINKED_S, agreed, now_of
from support.governed import book, grant, propose
from support.seated import CHECKS, admits, book_of, seats, start, start_old


def test_a_second_evict_of_a_v038_author_counts_though_a_third_party_tells_it() -> None:
    """v0.3.8 signs alike twice, so a repetition looks like a replay; of a removal it has to be believed."""
    world = World()
    owner, controller, one, far, guest = world.identities(5)
    now = now_of(world)
    log = seats(owner, [(controller, "controller")], at=now)
    members = admits(owner, [one, far, guest], at=now)
    ours = [start(world, each, book_of(each, log, members, now)) for each in (owner, one, far, guest)]
    old = start_old(world, controller, log, members)
    first, teller, third, out = ours
    for other in (first, old, out):
        world.cut(third, other)
    world.run_until(lambda: third.is_linked(teller), LINKED_S)
    world.run_until(lambda: teller.is_linked(old) and first.is_linked(old), LINKED_S)
    inside = [first, teller, third]
    world.run(2.0)
    for role in (None, "member", None):
        old.decide(Evict(guest.device_id) if role is None else RoleGrant(guest.device_id, "member"))
        world.run_until(lambda role=role: agreed(inside, guest, role), LINKED_S)  # type: ignore[misc]  # mypy knows no default of a lambda
        world.run(5.0)
    said = [copy.entry for copy in book(third).members.copies() if copy.entry.variant == Evict(guest.device_id)]
    assert len({each.signatures for each in said}) == 1, "one signature, and its later copy counts"


@pytest.mark.parametrize("raised", [True, False], ids=["a raised admit", "a lowered evict"])
def test_who_shows_a_false_time_first_wins_until_the_honest_copy_comes(raised: bool) -> None:
    """A member tells a device of what the owner signed before the owner does: with a time that would outlive the
    eviction, or with one that is older than the admit."""
    world = World()
    owner, mallory, away, guest = world.identities(4)
    now = now_of(world)
    log, members = seats(owner, at=now), admits(owner, [mallory, away], at=now)
    [admit] = admits(owner, [guest], at=now + 10)
    removal = signed_entry(NETWORK, owner, Evict(guest.device_id), now + 20)
    forged = msgspec.structs.replace(admit if raised else removal, at=now + 3600 if raised else now + 5)
    honest = [removal] if raised else [admit]
    misled = hear_entries(
        book_of(away, log, members, now),
        [forged, *honest],
        Speaker(mallory.device_id),
        CHECKS,
        now,
        max_checks=9,
    ).book
    assert misled.role(guest.device_id) == "member", "the lie holds while nobody else is heard"
    victim = start(world, away, misled)
    founder, liar = (
        start(world, each, book_of(each, log, [*members, admit, removal], now)) for each in (owner, mallory)
    )
    world.run_until(lambda: victim.is_linked(founder) and victim.is_linked(liar), LINKED_S)
    world.run_until(lambda: book(victim).is_evicted(guest.device_id), LINKED_S)
    liar.send_raw(victim, encode_frame(RosterEntries((), (), (forged, *honest))))
    world.run(5.0)
    assert book(victim).is_evicted(guest.device_id), "what is sure stays"


def test_what_an_owner_denied_is_not_appended_when_its_proposer_is_promoted() -> None:
    """Its signature is good for ever, and by then its proposer could decide it alone (24.3 no. 64). v0.3.8 yields."""
    world = World()
    owner, asker, mallory, far, past, friend = world.identities(6)
    now = now_of(world)
    log, members = seats(owner, at=now), admits(owner, [asker, mallory, far, past], at=now)
    ours = [start(world, each, book_of(each, log, members, now)) for each in (owner, asker, mallory, far)]
    founder, proposer, liar, victim = ours
    old = start_old(world, past, log, members)
    world.run_until(lambda: all(node.is_linked(old) for node in ours), LINKED_S)
    world.run_until(lambda: founder.is_linked(proposer) and liar.is_linked(victim), LINKED_S)
    wanted = RoleGrant(friend.device_id, "owner")
    [frame] = propose(proposer, wanted).frames
    assert isinstance(frame, NetworkStatePropose)
    world.run_until(lambda: all(book(node).proposals.records for node in ours), LINKED_S)
    [known] = book(founder).proposals.records
    signature = base32.encode(owner.sign(authoring.denial_payload(book(founder), known)))
    done = authoring.deny(book(founder), known, signature, now_of(world))
    founder.switch.govern(lambda governor, now: governor.act(done, now))
    world.run_until(lambda: not any(book(node).proposals.records for node in ours), LINKED_S)
    grant(founder, proposer, "owner")
    world.run_until(lambda: agreed(ours, asker, "owner") and asker.device_id in old.mind.roles, LINKED_S)
    kept = Transition(now_of(world), wanted, (asker.device_id,), (frame.signature,))
    for node in (victim, old):
        liar.send_raw(node, encode_frame(RosterEntries((), (*book(founder).log.entries, kept))))
    world.run_until(lambda: old.mind.roles.get(friend.device_id) == "owner", LINKED_S)
    world.run(60.0)
    assert agreed(ours, friend, None), "nor is it taken from a device that believes it"


def test_a_signature_that_only_some_are_shown_leaves_one_log_among_ours_and_two_at_v038() -> None:
    """A member signs what another proposed, and tells it to one of two (FIX 9)."""
    world = World()
    owner, asker, mallory, far, shown, spared = world.identities(6)
    now = now_of(world)
    log, members = seats(owner, at=now), admits(owner, [asker, mallory, far, shown, spared], at=now)
    ours = [start(world, each, book_of(each, log, members, now)) for each in (owner, asker, mallory, far)]
    founder, proposer, liar, victim = ours
    olds = [start_old(world, each, log, members) for each in (shown, spared)]
    world.run_until(lambda: all(node.is_linked(old) for node in ours for old in olds), LINKED_S)
    world.run_until(lambda: founder.is_linked(proposer) and liar.is_linked(victim), LINKED_S)
    wanted = RoleGrant(far.device_id, "controller")
    propose(proposer, wanted)
    world.run_until(lambda: all(book(node).proposals.records for node in ours), LINKED_S)
    world.run_until(lambda: all(old.mind.pending for old in olds), LINKED_S)
    [known] = book(founder).proposals.records
    lie = base32.encode(mallory.sign(signed_bytes(NETWORK, wanted)))
    ack = encode_frame(NetworkStateAck(known, mallory.device_id, "sign", now_of(world), lie))
    for node in (victim, olds[0]):
        liar.send_raw(node, ack)
    world.run(1.0)
    signature = base32.encode(owner.sign(authoring.draft_signature(book(founder), known).payload))
    done = authoring.sign(book(founder), known, signature, now_of(world), "prop_again")
    founder.switch.govern(lambda governor, now: governor.act(done, now))
    world.run_until(lambda: agreed(ours, far, "controller"), LINKED_S)
    world.run(5.0)
    assert [mallory.device_id in old.mind.log[-1].signers for old in olds] == [True, False]
    assert len({book(node).log.digest for node in ours}) == 1
    assert {book(node).log.entries[-1].signers for node in ours} == {done.entry.signers if done.entry else ()}
    assert mallory.device_id not in book(victim).log.entries[-1].signers
