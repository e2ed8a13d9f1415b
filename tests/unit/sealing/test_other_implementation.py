"""Ours against another implementation of spec 11 §2, at random and both ways."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myownmesh.identity import Identity
from myownmesh.protocol.offer_ids import new_offer_id
from myownmesh.protocol.signals import Candidate
from myownmesh.sealing.announce import Signed, announce_text, is_good_announce, is_good_leave, leave_text, sign
from myownmesh.sealing.box import Pair, Way, opened, seal
from myownmesh.sealing.contents import SealedAnswer, SealedOffer, padded, parsed
from myownmesh.sealing.keys import public_of, secret_of
from support import other_sealing as other
from support.examples import examples

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=600)
ROOM = st.binary(min_size=32, max_size=32).map(bytes.hex)
CONTENTS: st.SearchStrategy[Any] = st.one_of(
    st.builds(SealedOffer, TEXT, st.integers(0, 2**64 - 1)),
    st.builds(SealedAnswer, TEXT),
    st.builds(Candidate, TEXT, st.none() | TEXT, st.none() | st.integers(0, 65535), st.none() | TEXT),
)
KINDS = {SealedOffer: "offer", SealedAnswer: "answer", Candidate: "candidate"}


def pair(ours: Identity, theirs: Identity) -> Pair:
    own, far = public_of(ours.device_id), public_of(theirs.device_id)
    assert own is not None
    assert far is not None
    return Pair(secret_of(ours.seed), own, far)


@pytest.mark.heavy
@settings(max_examples=examples(100))
@given(st.integers(0, 2**32), ROOM, CONTENTS)
def test_what_one_seals_the_other_opens(drawn: int, room: str, content: Any) -> None:
    rng = Random(drawn)
    a, b = (Identity.from_seed(rng.randbytes(32)) for _ in range(2))
    kind, offer_id = KINDS[type(content)], new_offer_id(a.device_id, b.device_id, rng)
    members = {name: getattr(content, name) for name in content.__struct_fields__}
    assert other.device_id(a.seed) == a.device_id
    assert other.montgomery(a.device_id) == public_of(a.device_id)

    way = Way(room, a.device_id, b.device_id, kind, offer_id)
    fresh = rng.randbytes(32)
    ours = seal(pair(a, b), way, padded(content), fresh)
    assert ours is not None
    assert other.opened(b.seed, a.device_id, room, kind, offer_id, ours) == members
    theirs = other.seal(a.seed, b.device_id, room, kind, offer_id, members, fresh)
    assert theirs == ours, "byte for byte"
    text = opened(pair(b, a), way, theirs)
    assert text is not None
    assert parsed(type(content), text) == content

    assert other.opened(b.seed, a.device_id, room[::-1] + "x", kind, offer_id, ours) is None
    assert other.opened(a.seed, b.device_id, room, kind, offer_id, ours) is None


@pytest.mark.heavy
@settings(max_examples=examples(100))
@given(st.integers(0, 2**32), ROOM, st.integers(0, 2**40), st.lists(st.from_regex(r"[a-z0-9_]{1,32}", fullmatch=True)))
def test_what_one_signs_the_other_takes(drawn: int, room: str, t: int, caps: list[str]) -> None:
    rng = Random(drawn)
    a, key, caps = Identity.from_seed(rng.randbytes(32)), rng.randbytes(32).hex(), caps[:16]
    for mine, theirs in (
        (announce_text(room, a.device_id, t, key, caps), other.announce(room, a.device_id, t, key, caps)),
        (leave_text(room, a.device_id, t, key), other.leave(room, a.device_id, t, key)),
    ):
        assert mine == theirs
        assert other.is_signed(a.device_id, theirs, sign(a, mine, t).s)
    announced = other.signature(a.seed, other.announce(room, a.device_id, t, key, caps))
    left = other.signature(a.seed, other.leave(room, a.device_id, t, key))
    assert is_good_announce(room, a.device_id, t, key, caps, Signed(t, announced))
    assert is_good_leave(room, a.device_id, t, key, Signed(t, left))
    assert not is_good_announce(room, a.device_id, t, key, caps, Signed(t, left))
    assert not other.is_signed(a.device_id, other.leave(room, a.device_id, t + 1, key), left)
