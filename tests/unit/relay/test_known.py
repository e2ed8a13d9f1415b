"""What a relay remembers of what it has told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from myownmesh.relay import known
from myownmesh.relay.known import Known, mark_of
from myownmesh.relay.store import STORED_EVENTS
from myownmesh.signaling.nostr import NostrKey

if TYPE_CHECKING:
    import pytest

KEY = NostrKey(b"\x07" * 32)


def test_all_that_other_relays_may_say_anew_is_remembered() -> None:
    assert known.GENERATION >= 4 * STORED_EVENTS


def test_the_last_ones_are_known_by_all_that_they_say_and_the_others_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "GENERATION", 4)
    events = [KEY.sign(created_at=number, kind=1, tags=(), content="") for number in range(12)]
    seen = Known()
    for event in events:
        mark = mark_of(event.encoded())
        assert mark not in seen
        seen.add(mark)
        assert mark in seen
        for other in (replace(event, sig="0" * 128), replace(event, id="0"), replace(event, content="x")):
            assert mark_of(other.encoded()) not in seen
    assert [mark_of(event.encoded()) in seen for event in events] == [False] * 8 + [True] * 4
