"""What a device's answer means of what it has just said on its own link (spec 02 §24.3 no. 44 b)."""

from __future__ import annotations

import msgspec
import pytest

from myownmesh.governance.hearing import hear_entries
from myownmesh.governance.intake import saying, unanswered
from myownmesh.governance.marking import is_marked
from myownmesh.governance.words import Saying, Speaker, beyond_word
from myownmesh.protocol import base32
from myownmesh.protocol.frames import NetworkStateAck, NetworkStatePropose
from myownmesh.protocol.transitions import Evict, RoleGrant, TopologyChange
from support.governance import ALICE, BOB, CAROL, CHECKS, DAVE, FRANK, book_of, entry, sign
from unit.governance.test_hearing import ADMIT, BASE, NOW, PUT_OUT, founded

SIGNATURE = sign(CAROL, ADMIT)
COPIES = {at: entry(ADMIT, CAROL, at=at) for at in (0, 90, 100, 101, 102, 300, 4000)}


def meant(times: list[int], *sayings: Saying) -> list[int]:
    beyond = beyond_word([COPIES[at] for at in times], CAROL, {SIGNATURE: sayings})
    return [at for at in times if (SIGNATURE, at) not in beyond]


@pytest.mark.parametrize(
    ("times", "sayings", "sure"),
    [
        ([100, 4000], [Saying(100, 0)], [100]),
        ([0, 90, 100, 4000], [Saying(100, 0)], [100]),
        ([100, 300, 4000], [Saying(100, 300)], [100, 300]),  # its author knew of what counts, or did not
        ([300, 4000], [Saying(100, 0)], [300]),  # its author knew of something later
        ([90], [Saying(100, 0)], []),
        ([100, 102, 4000], [Saying(100, 0), Saying(100, 0)], [100, 102]),  # let in, put out and let in in one second
        ([100, 101, 102], [Saying(100, 101), Saying(100, 101)], [100, 101, 102]),
        ([300, 100, 4000], [Saying(100, 0)], [100]),
    ],
)
def test_what_somebody_put_to_a_signature_is_not_its_authors_word(
    times: list[int], sayings: list[Saying], sure: list[int]
) -> None:
    assert sorted(meant(times, *sayings)) == sure


def test_what_another_device_signed_and_what_was_not_said_is_not_looked_at() -> None:
    others = [entry(ADMIT, ALICE, at=1), entry(PUT_OUT, CAROL, at=2)]
    assert beyond_word(others, CAROL, {SIGNATURE: [Saying(100, 0)]}) == frozenset()


def test_a_raised_admit_that_v038_passes_on_with_its_own_ends_before_the_next_eviction() -> None:
    """Once any member could raise an admit within a minute of its signing: v0.3.8 keeps the copy and answers with it,
    and what another authority put out later stayed in (simulator, seed 278003)."""
    frame = NetworkStatePropose("prop_1", ADMIT, CAROL, 100, SIGNATURE)
    book = founded()
    sayings = {SIGNATURE: [saying(book, frame)]}
    answer = [COPIES[100], COPIES[4000]]
    speaker = Speaker(CAROL, said=frozenset(sayings), beyond=beyond_word(answer, CAROL, sayings))
    for entries in (answer, answer[::-1]):
        heard = hear_entries(book, [*entries, entry(PUT_OUT, ALICE, at=300)], speaker, CHECKS, NOW, max_checks=99)
        assert heard.book.is_evicted(DAVE)


def test_a_proposal_and_an_ack_tell_what_the_time_of_their_entry_can_be() -> None:
    book = book_of((*BASE, entry(RoleGrant(BOB, "owner"), ALICE)), FRANK, NOW)
    book = hear_entries(book, [entry(PUT_OUT, ALICE, at=500)], Speaker(ALICE), CHECKS, NOW, max_checks=99).book
    assert saying(book, NetworkStatePropose("prop_1", ADMIT, CAROL, 100, "")) == Saying(100, 501)
    shape = TopologyChange(msgspec.Raw(b'"full_mesh"'))  # type: ignore[arg-type]  # nothing looks at it
    assert saying(book, NetworkStatePropose("prop_1", shape, CAROL, 100, "")) == Saying(100, 0)
    assert saying(book, NetworkStateAck("prop_unknown", CAROL, "sign", 7, "")) == Saying(0, 0)


def test_an_author_of_ours_that_does_not_answer_has_said_the_time_itself() -> None:
    """Beyond all that was heard meanwhile it would outlive what others decide next (simulator, seed 274001)."""
    marked = next(
        text for text in (base32.encode(number.to_bytes(64, "big")) for number in range(100_000)) if _is_marked(text)
    )
    book = hear_entries(founded(), [entry(ADMIT, ALICE, at=4000)], Speaker(ALICE), CHECKS, NOW, max_checks=99).book
    for signature, at in ((marked, 100), (SIGNATURE, 4001)):
        found = unanswered(book, NetworkStatePropose("prop_1", Evict(DAVE), CAROL, 100, signature))
        assert found is not None
        assert found.at == at


def _is_marked(text: str) -> bool:
    return is_marked(base32.decode(text, 64))
