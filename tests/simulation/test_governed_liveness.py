"""What a closed network goes on with: a lost file, an absent authority, wrong clocks, v0.3.8 (spec 02 §24.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from myownmesh.engine import hearing, notices
from myownmesh.governance.adoption import switch
from myownmesh.governance.authoring import Refused
from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.ratifying import append
from myownmesh.governance.remnant import go_on, is_short
from myownmesh.governance.words import OURSELVES
from myownmesh.protocol.modes import Ring
from myownmesh.protocol.transitions import Evict, RoleGrant, RoleRevoke, TopologyChange
from myownmesh.simulator import World
from myownmesh.simulator.node import NETWORK
from myownmesh.simulator.reference_governance import signed_entry
from support.governed import book, evict, grant, propose
from support.holdouts import decided, kept_apart, three_branches
from support.seated import CHECKS, admits, book_of, seats, start, start_old

if TYPE_CHECKING:
    from myownmesh.governance.book import Book
    from myownmesh.governance.hearing import Heard
    from myownmesh.identity import Identity
    from myownmesh.simulator import Node
    from support.holdouts import Three

LINKED_S = 60.0
YEAR_MS = 365 * 24 * 3600 * 1000


def now_of(world: World) -> int:
    return world.clock.now(0).wall_ms // 1000


def agreed(nodes: list[Node], device: Identity, role: str | None) -> bool:
    return all(book(node).role(device.device_id) == role for node in nodes)


@pytest.mark.parametrize("elsewhere", [True, False], ids=["its last entry is elsewhere", "nobody else has it"])
def test_a_sole_owner_that_lost_its_state_file_decides_again(elsewhere: bool) -> None:
    world = World()
    owner, one, two = world.identities(3)
    now = now_of(world)
    log, members = seats(owner, at=now), admits(owner, [one, two], at=now)
    last = signed_entry(NETWORK, owner, TopologyChange(Ring(3)), now)
    before = book_of(owner, log, members, now)
    newest = book_of(owner, (*log, last), members, now)
    others = [
        start(world, each, book_of(each, newest.log.entries if elsewhere else log, members, now)) for each in (one, two)
    ]
    back = start(world, owner, newest, state_lost=True)
    assert (len(book(back).log), book(back).lost) == (0, 2), "its pin knows how much there was"
    with pytest.raises(Refused):
        grant(back, others[0], "controller")
    world.run_until(lambda: all(back.is_linked(node) for node in others), LINKED_S)
    if not elsewhere:
        world.run_until(lambda: len(book(back).log) == len(before.log), LINKED_S)
        with pytest.raises(Refused, match="1 of 2 entries are back"):
            grant(back, others[0], "controller")
        world.run_until(lambda: bool(book(back).questions.remnants), 3600.0)
        [question] = book(back).questions.remnants
        back.switch.govern(lambda governor, now: governor.take(go_on(governor.book, question), now))
    world.run_until(lambda: not is_short(book(back)), LINKED_S)
    grant(back, others[0], "controller")
    world.run_until(lambda: agreed([back, *others], one, "controller"), LINKED_S)
    assert len({book(node).log.digest for node in (back, *others)}) == 1


def test_two_members_meet_while_the_authority_is_away() -> None:
    world = World()
    owner, one, two = world.identities(3)
    now = now_of(world)
    log, members = seats(owner, at=now), admits(owner, [one, two], at=now)
    first, second = (start(world, each, book_of(each, log, members, now)) for each in (one, two))
    world.run_until(lambda: first.is_linked(second) and second.is_linked(first), LINKED_S)
    held = book(second)
    second.kill()
    world.run(5.0)
    second = start(world, two, held)
    world.run_until(lambda: first.is_linked(second) and second.is_linked(first), 2 * LINKED_S)


@pytest.mark.parametrize("clock", ["1970", "a year ahead"])
@pytest.mark.parametrize("wrong", ["author", "receiver"])
def test_a_wrong_clock_keeps_nobody_from_coming_and_going(clock: str, wrong: str) -> None:
    """Whatever a device thinks the time is: what its person decides is heard, and what others decide it hears."""
    world = World()
    owner, one, two, guest = world.identities(4)
    now = now_of(world)
    log, members = seats(owner, at=now), admits(owner, [one, two, guest], at=now)
    lying = owner if wrong == "author" else one
    world.skews_ms[lying.device_id] = YEAR_MS if clock != "1970" else -world.clock.now(0).wall_ms + 1000
    nodes = [start(world, each, book_of(each, log, members, now)) for each in (owner, one, two, guest)]
    author, _, right, out = nodes
    world.run_until(world.all_linked, LINKED_S)
    inside = nodes[:3]
    for _ in range(2):
        evict(author, out)
        world.run_until(lambda: agreed(inside, guest, None), LINKED_S)
        world.run_until(lambda: out.engine.governor.is_down, LINKED_S)
        grant(author, out)
        world.run_until(lambda: agreed(inside, guest, "member"), LINKED_S)
        world.run_until(lambda: all(node.is_linked(out) and out.is_linked(node) for node in inside), 720.0)
        assert not out.engine.governor.is_down
    # Another authority, whose clock is right, has the last word about what was said with a wrong one.
    grant(author, right, "controller")
    world.run_until(lambda: agreed(inside, two, "controller"), LINKED_S)
    evict(right, out)
    world.run_until(lambda: agreed(inside, guest, None), LINKED_S)
    assert len({book(node).members.digests() for node in inside}) == 1


@pytest.mark.parametrize("knows", [True, False], ids=["an authority tells the time", "its clock is set"])
def test_a_device_that_starts_in_1970_with_nothing_has_all_once_it_can_know_the_time(
    knows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that it holds tells it the time. Without an authority's clock it refuses what is decades ahead, which is
    said in its diagnostics; it asks again when its own is set."""
    refusals: list[str] = []

    def entries_judged(_core: object, device: str, done: Heard, *_: object) -> int:
        refusals.extend(judgement.why for _, judgement in done.judged if device == owner.device_id)
        return 0

    monkeypatch.setattr(notices, "entries_judged", entries_judged)
    world = World()
    owner, one, new = world.identities(3)
    now = now_of(world)
    log, members = seats(owner, at=now), admits(owner, [one, new], at=now)
    world.skews_ms[new.device_id] = -world.clock.now(0).wall_ms + 1000
    others = [start(world, each, book_of(each, log, members, now)) for each in (owner, one)]
    if not knows:
        monkeypatch.setattr(hearing, "judged_at", lambda _, at: at.wall_ms // 1000)
    joiner = start(world, new, book_of(new, log, [], 1))
    world.run_until(lambda: joiner.is_linked(others[0]), LINKED_S)
    world.run(120.0)
    if not knows:
        assert set(refusals) == {"FAR-FUTURE"}
        assert book(joiner).role(one.device_id) is None
        joiner.skew_ms = 0
    world.run_until(lambda: agreed([joiner, *others], one, "member"), 2 * LINKED_S)


def test_a_device_that_v038_lets_in_again_comes_back_without_a_click() -> None:
    world = World()
    owner, controller, one, guest = world.identities(4)
    now = now_of(world)
    log, members = seats(owner, [(controller, "controller")], at=now), admits(owner, [one, guest], at=now)
    ours = [start(world, each, book_of(each, log, members, now)) for each in (owner, one, guest)]
    old = start_old(world, controller, log, members)
    *inside, out = ours
    world.run_until(world.all_linked, LINKED_S)
    old.decide(Evict(guest.device_id))
    world.run_until(lambda: out.engine.governor.is_down, LINKED_S)
    world.run_until(lambda: agreed(inside, guest, None), LINKED_S)
    world.run(5.0)
    old.decide(RoleGrant(guest.device_id, "member"))
    world.run_until(lambda: agreed(inside, guest, "member"), LINKED_S)
    world.run_until(lambda: not out.engine.governor.is_down, 720.0)
    world.run_until(lambda: all(node.is_linked(out) for node in inside), 720.0)
    assert not any(book(node).questions.replays for node in ours), "nobody is asked"


def test_two_peers_with_lying_clocks_keep_no_owner_from_evicting() -> None:
    """Members say what time it is, and nobody has to believe them: what the owner signs outranks what stands."""
    world = World()
    owner, one, two, guest = world.identities(4)
    world.skews_ms |= {one.device_id: 40 * YEAR_MS, two.device_id: 40 * YEAR_MS}
    now = now_of(world)
    log, members = seats(owner, at=now), admits(owner, [one, two, guest], at=now)
    nodes = [start(world, each, book_of(each, log, members, now)) for each in (owner, one, two, guest)]
    world.run_until(world.all_linked, LINKED_S)
    propose(nodes[0], Evict(guest.device_id))
    world.run_until(lambda: agreed(nodes[:3], guest, None), LINKED_S)
    world.run_until(lambda: nodes[3].engine.governor.is_down, LINKED_S)


def apart(world: World) -> tuple[Three, list[Node], Node]:
    """An owner and whom it promoted, on a branch that their persons chose, and a member whom a liar keeps from it."""
    owner, member, *others = world.identities(6)
    now = now_of(world)
    three = three_branches(NETWORK, owner, others, at=now)
    promoted = next(each for each in others if each.device_id == three.held.places[-1].entry.signers[0])
    members = admits(owner, [member, promoted], at=now)

    def held(branches: Book) -> Book:
        return hear_entries(branches, members, OURSELVES, CHECKS, now, max_checks=1000).book

    there = [start(world, each, held(decided(each.device_id, three, now))) for each in (owner, promoted)]
    return three, there, start(world, member, held(kept_apart(member.device_id, three, now)))


def test_a_member_whom_a_liar_keeps_from_the_branch_of_the_others_is_asked_within_a_minute_also_after_a_restart() -> (
    None
):
    world = World()
    three, there, lone = apart(world)
    world.run_until(world.all_linked, LINKED_S)
    world.run_until(lambda: [*book(lone).questions.rivals.values()] == [three.better], 60.0)
    held = book(lone)
    lone.kill()
    world.run(5.0)
    lone = start(world, lone.identity, held)
    assert book(lone).log == three.held
    world.run_until(lambda: all(lone.is_linked(node) for node in there), 2 * LINKED_S)
    world.run_until(lambda: [*book(lone).questions.rivals] == [*held.questions.rivals], 60.0)
    [question] = held.questions.rivals
    lone.switch.govern(
        lambda governor, now: governor.take(switch(governor.book, question, now.wall_ms // 1000).book, now)
    )
    world.run(120.0)
    assert {book(node).log.digest for node in (lone, *there)} == {three.better.digest}
    assert not any(book(node).questions.rivals for node in (lone, *there))


def test_a_member_that_comes_after_the_others_by_itself_is_not_asked() -> None:
    """An owner settles the quarrel, so that what kept the branch out does no more."""
    world = World()
    three, there, lone = apart(world)
    asked: list[bool] = []
    world.run_until(world.all_linked, LINKED_S)
    [struck] = [place.entry.variant.target for place in three.better.places[-1:]]
    settles = signed_entry(NETWORK, there[0].identity, RoleRevoke(struck), now_of(world))
    there[0].switch.govern(lambda governor, now: governor.take(append(governor.book, settles, now_of(world)), now))
    for _ in range(120):
        world.run(1.0)
        asked.append(bool(book(lone).questions.rivals))
    assert not any(asked)
    assert {book(node).log.digest for node in (lone, *there)} == {book(there[0]).log.digest}
    assert len(book(lone).log) == len(three.better) + 1
