"""Who speaks in our name: an earlier run, a copy that proves itself, or somebody who pretends (spec 03 §16.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from myownmesh.identity import Identity
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.signals import TwinHeard, TwinLeft
from myownmesh.signaling.envelope import AnnounceBody, LeaveBody, TwinBody
from myownmesh.signaling.nostr import NostrKey
from myownmesh.signaling.twins import Twins

if TYPE_CHECKING:
    from myownmesh.signaling.envelope import Body
    from myownmesh.signaling.nostr import NostrEvent

ROOM = "r" * 64
US = Identity.from_seed(b"\x01" * 32)
BEGAN_S = 1_700_000_000
KEYS = [NostrKey(bytes([number]) * 32) for number in (1, 2, 3)]
MINE, THEIRS, THIRD = KEYS


def at(seconds: float) -> Instant:
    return Instant(1000.0 + seconds, (BEGAN_S * 1000) + round(seconds * 1000))


def process(key: NostrKey = MINE, began: float = 0.0, *, signs: Identity | None = US) -> Twins:
    sign = None if signs is None else signs.sign
    return Twins(device_id=US.device_id, room=ROOM, pubkey=key.pubkey, sign=sign, began=at(began))


def by(key: NostrKey, seconds: float) -> NostrEvent:
    return key.sign(created_at=BEGAN_S + round(seconds), kind=1077, tags=(), content="")


def tell(twins: Twins, body: Body, key: NostrKey = THEIRS, seconds: float = 10.0, *, replayed: bool = False) -> object:
    return twins.heard(by(key, seconds), body, at(seconds), replayed=replayed)


def notice(twins: Twins) -> TwinBody:
    body = twins.take_notice()
    assert body is not None
    return body


def met(one: Twins, other: Twins, seconds: float = 10.0) -> tuple[object, object]:
    """The first hears an announce of the second, and they talk it out."""
    tell(one, AnnounceBody(), THEIRS, seconds)
    second = other.heard(by(MINE, seconds), notice(one), at(seconds), replayed=False)
    first = one.heard(by(THEIRS, seconds), notice(other), at(seconds), replayed=False)
    return first, second


@pytest.mark.parametrize(("began", "other_is_elder"), [(5.0, False), (-5.0, True)])
def test_two_copies_agree_who_was_here_first(began: float, other_is_elder: bool) -> None:
    first, second = met(process(), process(THEIRS, began))
    assert first == TwinHeard(US.device_id, other_is_elder)
    assert second == TwinHeard(US.device_id, not other_is_elder)


def test_of_two_that_came_together_one_is_first() -> None:
    first, second = met(process(), process(THEIRS))
    assert isinstance(first, TwinHeard)
    assert isinstance(second, TwinHeard)
    assert first.is_elder is not second.is_elder


def test_an_earlier_run_of_ours_that_a_relay_has_kept_is_nobody() -> None:
    twins = process()
    for seconds in (-290, -100, -4):
        assert tell(twins, AnnounceBody(), seconds=seconds, replayed=True) is None
    assert twins.take_notice() is None
    assert twins.notice() is None


def test_one_that_is_late_is_asked_once_and_does_not_answer() -> None:
    twins = process()
    assert tell(twins, AnnounceBody(), seconds=-1) is None
    assert notice(twins).re == THEIRS.pubkey
    assert twins.take_notice() is None
    assert tell(twins, AnnounceBody(), seconds=2) is None
    assert twins.take_notice() is None


def test_a_copy_of_another_make_is_known_by_the_time_of_its_events() -> None:
    assert tell(process(), AnnounceBody(), seconds=3) == TwinHeard(US.device_id, None)


def test_a_copy_whose_clock_is_slow_is_asked_all_the_same() -> None:
    twins = process()
    event = by(THEIRS, -3600)
    assert twins.heard(event, AnnounceBody(), at(30), replayed=False) is None
    assert notice(twins).re == THEIRS.pubkey


def test_its_every_word_counts_once_it_has_proved_itself() -> None:
    twins, other = process(), process(THEIRS, 5.0)
    met(twins, other)
    told = twins.heard(by(THEIRS, -3600), AnnounceBody(), at(12), replayed=False)
    assert told == TwinHeard(US.device_id, False)
    assert tell(twins, LeaveBody()) == TwinLeft(US.device_id)
    assert tell(twins, LeaveBody(), THIRD) is None


def heard_notice(twins: Twins, key: NostrKey, began: float, seconds: float = 10.0) -> object:
    other = process(key, began)
    tell(other, AnnounceBody(), MINE, seconds)
    return twins.heard(by(key, seconds), notice(other), at(seconds), replayed=False)


@pytest.mark.parametrize("elder_first", [False, True])
def test_of_three_copies_the_one_between_stands_aside_whoever_spoke_last(elder_first: bool) -> None:
    twins = process()
    for key, began in sorted([(THEIRS, -5.0), (THIRD, 5.0)], key=lambda each: each[1], reverse=not elder_first):
        last = heard_notice(twins, key, began)
    assert last == TwinHeard(US.device_id, True)
    told = twins.notice()
    assert told is not None
    assert told.re == THEIRS.pubkey


@pytest.mark.parametrize("end", ["leave", "silence"])
def test_the_one_between_comes_back_when_the_elder_is_gone_though_the_younger_is_there(end: str) -> None:
    twins = process()
    heard_notice(twins, THEIRS, -5.0)
    heard_notice(twins, THIRD, 5.0)
    if end == "leave":
        assert tell(twins, LeaveBody(), THEIRS, 20) == TwinHeard(US.device_id, False)
        assert tell(twins, AnnounceBody(), THIRD, 30) == TwinHeard(US.device_id, False)
    else:
        assert tell(twins, AnnounceBody(), THIRD, 309) == TwinHeard(US.device_id, True)
        assert tell(twins, AnnounceBody(), THIRD, 311) == TwinHeard(US.device_id, False)
    assert tell(twins, LeaveBody(), THIRD, 320) == TwinLeft(US.device_id)


def test_a_copy_is_asked_again_after_a_minute() -> None:
    twins = process()
    tell(twins, AnnounceBody(), seconds=5)
    notice(twins)
    tell(twins, AnnounceBody(), seconds=64)
    assert twins.take_notice() is None
    tell(twins, AnnounceBody(), seconds=65)
    assert twins.take_notice() is not None


def test_only_the_identity_itself_can_prove_anything() -> None:
    twins = process()
    stranger = process(THEIRS, -5.0, signs=Identity.from_seed(b"\x02" * 32))
    tell(stranger, AnnounceBody(), MINE)
    assert twins.heard(by(THEIRS, 10), notice(stranger), at(10), replayed=False) is None
    assert twins.heard(by(THEIRS, 10), TwinBody(MINE.pubkey, 0, "?"), at(10), replayed=False) is None


def test_a_notice_counts_for_one_key_each_way() -> None:
    twins, other = process(), process(THEIRS, -5.0)
    tell(other, AnnounceBody(), MINE)
    real = notice(other)
    assert twins.heard(by(THIRD, 10), real, at(10), replayed=False) is None, "somebody else's event"
    assert process(THIRD).heard(by(THEIRS, 10), real, at(10), replayed=False) is None, "said to another process"
    later = TwinBody(real.re, real.began_ms + 1, real.proof)
    assert twins.heard(by(THEIRS, 10), later, at(10), replayed=False) is None, "another moment"


def test_who_cannot_sign_asks_nobody() -> None:
    twins = process(signs=None)
    tell(twins, AnnounceBody())
    assert twins.take_notice() is None


def test_foreign_keys_are_bounded() -> None:
    twins = process()
    for number in range(200):
        tell(twins, AnnounceBody(), NostrKey((number + 10).to_bytes(32, "big")), seconds=5)
    tell(twins, AnnounceBody(), NostrKey((10).to_bytes(32, "big")), seconds=5)
    assert notice(twins).re == NostrKey((10).to_bytes(32, "big")).pubkey, "forgotten, so it is asked again"
