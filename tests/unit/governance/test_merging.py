"""What a losing branch held: nothing honest is lost with it, and nothing comes back by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from myownmesh.governance.adoption import hear_log, switch
from myownmesh.governance.book import Book
from myownmesh.governance.merging import Merge, merge_of, skip
from myownmesh.governance.pins import Pin
from myownmesh.governance.rules import STRICT
from myownmesh.governance.words import OURSELVES
from myownmesh.protocol.transitions import Evict, KindChange, RoleGrant, RoleRevoke
from support.examples import examples
from support.governance import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    ERIN,
    FRANK,
    MALLORY,
    NETWORK,
    book_of,
    entry,
    followers,
    log_of,
    merged,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.protocol.transitions import Transition


CLOSE = entry(KindChange("closed"), ALICE)


def grant(target: str, role: str = "owner", by: str = ALICE) -> Transition:
    return entry(RoleGrant(target, role), by)  # type: ignore[arg-type]  # one of the words


def revoke(target: str, by: str = ALICE) -> Transition:
    return entry(RoleRevoke(target), by)


BASE = (CLOSE, grant(BOB), grant(CAROL, "controller"))


def merge(winning: Sequence[Transition], losing: Sequence[Transition], me: str = ALICE) -> Merge:
    return merge_of(log_of([*BASE, *winning]), log_of([*BASE, *losing]), me, STRICT)


def skipped(merge: Merge) -> list[Transition]:
    return [place.entry for place in merge.skipped]


def test_what_the_other_owner_did_is_appended_removals_first() -> None:
    promote, remove = grant(DAVE, "controller", by=BOB), revoke(CAROL, by=BOB)
    done = merge([grant(ERIN, "controller")], [promote, remove])
    assert done == Merge((remove, promote))


def test_what_is_there_or_changes_nothing_is_left_out() -> None:
    same = grant(DAVE, "controller")
    already = grant(ERIN, "controller", by=BOB)
    done = merge([same, grant(ERIN, "controller")], [same, already])
    assert done.steps == ()
    assert skipped(done) == [already]


def test_nobody_whom_either_side_removed_is_granted_anything() -> None:
    back = grant(CAROL, "owner", by=BOB)
    assert skipped(merge([revoke(CAROL)], [back])) == [back]
    fallen = [revoke(CAROL, by=BOB), grant(CAROL, "controller", by=BOB)]
    assert merge([grant(ERIN, "controller")], fallen) == Merge((fallen[0],), (log_of([*BASE, *fallen]).places[-1],))


def test_nothing_of_an_owner_who_was_struck_comes_back() -> None:
    tail = [grant(MALLORY, by=BOB), grant(DAVE, by=MALLORY), revoke(CAROL, by=BOB)]
    done = merge([revoke(BOB)], tail)
    assert done.steps == ()
    assert len(skipped(done)) == 3


def test_what_a_person_decided_against_does_not_come_back_by_the_merge() -> None:
    """Two controllers removed each other: nothing against whom the person kept, and nothing by the other one."""
    both = (grant(DAVE, "controller"),)
    chosen = merge([*both, revoke(DAVE, CAROL)], [*both, revoke(CAROL, DAVE), grant(ERIN, "controller", DAVE)], BOB)
    assert chosen.steps == ()
    other = grant(FRANK, "controller", BOB)
    kept = merge([*both, revoke(DAVE, CAROL)], [*both, revoke(CAROL, DAVE), other], BOB)
    assert kept.steps == (other,), "of somebody who took no part in it"
    three = (*both, grant(FRANK, "controller"))
    alone = merge([*three, revoke(DAVE, CAROL)], [*three, revoke(CAROL, DAVE), revoke(FRANK, DAVE)], BOB)
    assert alone.steps == (), "nor what the other one did to a third, which holds where nobody decided against it"
    undecided = merge([*three, revoke(DAVE, CAROL)], [*three, revoke(FRANK, DAVE)], BOB)
    assert undecided.steps == (RoleRevoke(FRANK),)


def test_a_branch_that_is_left_by_a_click_is_merged_as_well() -> None:
    left, chosen = log_of([*BASE, grant(DAVE, "controller", BOB)]), log_of([*BASE, grant(ERIN, "controller")])
    book = book_of(left.entries, ALICE)
    book = replace(
        book,
        branches=book.branches.with_log(book.branch, chosen, 1),
        questions=book.questions.with_rival(chosen),
    )
    [question] = book.questions.rivals
    after = switch(book, question, 2).book
    assert [log.digest for log in after.branches.left] == [left.digest]


def test_a_removal_whose_signer_stands_no_longer_is_signed_anew_and_never_against_oneself() -> None:
    losing = [grant(DAVE, "controller", by=BOB), entry(Evict(CAROL), DAVE)]
    winning = [grant(ERIN)]  # here Dave never had a seat
    done = merge_of(log_of([*BASE, *winning]), log_of([*BASE, *losing]), ALICE, STRICT)
    assert done.steps == (Evict(CAROL), losing[0])
    against_me = merge_of(log_of([*BASE, *winning]), log_of([*BASE, *losing]), CAROL, STRICT)
    assert against_me.steps == (losing[0],)


def test_void_entries_stay_void() -> None:
    opened = entry(KindChange("open"), ALICE)
    planted = grant(MALLORY, by=MALLORY)
    done = merge([grant(ERIN, "controller")], [opened, planted])
    assert done.steps == (opened,)
    assert skipped(done) == [planted]


def test_what_was_skipped_is_spent() -> None:
    back = grant(CAROL, "owner", by=BOB)
    winner, left = log_of([*BASE, revoke(CAROL)]), log_of([*BASE, back])
    book = Book(NETWORK, FRANK, Pin(NETWORK).on(winner))
    book = hear_log(hear_log(book, left, OURSELVES, 0).book, winner, OURSELVES, 0).book
    book = skip(book, merge_of(winner, left, ALICE, STRICT))
    (digest,) = left.places[-1].signatures
    assert book.memory.seen[digest].spent == "skipped"


def test_a_demotion_gives_no_role_back_to_whom_the_winner_put_out() -> None:
    """On its own branch the grant takes an owner down; appended behind her removal it would seat her again."""
    demote = grant(ALICE, "controller", by=BOB)
    done = merge([revoke(ALICE)], [demote, revoke(ALICE)], me=BOB)
    assert (done.steps, skipped(done)) == ((), [demote])
    assert merge([grant(ERIN)], [demote], me=BOB).steps == (demote,), "whoever has the role still loses it"


TAILS = st.lists(
    st.builds(
        entry,
        st.one_of(
            st.builds(RoleGrant, st.sampled_from([ALICE, BOB, CAROL, DAVE]), st.sampled_from(["controller", "owner"])),
            st.builds(RoleRevoke, st.sampled_from([ALICE, BOB, CAROL])),
            st.builds(Evict, st.sampled_from([BOB, CAROL])),
        ),
        st.sampled_from([ALICE, BOB, CAROL]),
    ),
    max_size=5,
)


@settings(max_examples=examples(120), deadline=None)
@given(TAILS, TAILS, st.sampled_from([ALICE, BOB, CAROL]))
def test_a_merge_holds_and_gives_nobody_more_than_either_branch(
    winning: list[Transition], losing: list[Transition], me: Any
) -> None:
    winner, left = log_of(followers(BASE, winning)), log_of(followers(BASE, losing))
    if not winner.standing.is_authority(me):
        return
    done = merge_of(winner, left, me, STRICT)
    book = merged(book_of(winner.entries, me), left, me)
    ranks = {"member": 1, "controller": 2, "owner": 3}
    assert log_of(book.log.entries).standing == book.standing
    for device, role in book.standing.roles.items():
        assert ranks[role] <= max(ranks[winner.standing.role(device)], ranks[left.standing.role(device)])
    assert len(done.steps) + len(done.skipped) <= len(left)
