"""What a change of signed state does to links, rows and this device itself (spec 02 §15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec import Raw

from myownmesh.engine import EngineConfig, EngineError, evictions
from myownmesh.engine.actions import SendDone
from myownmesh.engine.links import ChannelClosed
from myownmesh.governance import judging, newcomers
from myownmesh.governance.book import Book
from myownmesh.governance.rules import Rules
from myownmesh.identity import Identity
from myownmesh.protocol.frames import Approve, Channel, Deny
from myownmesh.protocol.transitions import KindChange, RoleGrant
from myownmesh.roster import Roster
from unit.engine.bench import NETWORK, Bench
from unit.engine.charters import OWNER, STRANGER, THEN, book_of, closed, entry, evicted, grant, hints, of_kind, told

if TYPE_CHECKING:
    from collections.abc import Collection

    from myownmesh.protocol.transitions import Transition

LOW, HIGH = Bench("lower").us.device_id, Bench("lower").peer_id


def hears(bench: Bench, *members: Transition, about: Collection[str]) -> list[str]:
    """The member log grew by these."""
    bench.engine.governor.take(told(bench.engine.governor.book, members), bench.now, about)
    return bench.collect()


def rows(bench: Bench) -> set[str]:
    return set(bench.engine.roster.ids)


# ── who is put out ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_who_was_only_sighted_is_not_dialled_any_more() -> None:
    bench = closed("higher", members=(grant(LOW),))
    bench.announce()
    assert bench.status == "sighted"
    hears(bench, evicted(LOW), about=[LOW])
    assert bench.wait(40.0) == [], "its offer did not come, and is not waited for"
    assert LOW not in rows(bench)


def test_a_link_that_is_no_channel_yet_ends_without_a_word() -> None:
    bench = closed(members=(grant(HIGH),))
    bench.up_to("connecting")
    assert hears(bench, evicted(HIGH), about=[HIGH]) == ["close A1"]
    assert not bench.has_entry
    assert "evicted" in hints(bench)


def test_the_row_of_a_device_that_is_not_there_goes_too() -> None:
    bench = closed(members=(grant(STRANGER.device_id),))
    assert STRANGER.device_id in rows(bench)
    hears(bench, evicted(STRANGER.device_id), about=[STRANGER.device_id])
    assert STRANGER.device_id not in rows(bench)


def test_what_waits_for_a_device_that_is_not_there_fails_with_its_removal_and_nothing_more_waits() -> None:
    out = STRANGER.device_id
    bench = closed(members=(grant(out),))
    bench.engine.send_reliable(out, Channel("c", Raw(b"1")), 600.0, 1, bench.now)
    bench.collect()
    assert not any(isinstance(each, SendDone) for each in bench.actions)
    hears(bench, evicted(out), about=[out])
    text = f"transport: reliable send to {out} abandoned: Denied"
    assert [each for each in bench.actions if isinstance(each, SendDone)] == [SendDone(1, text)]
    with pytest.raises(EngineError, match=text):
        bench.engine.send_reliable(out, Channel("c", Raw(b"2")), 600.0, 2, bench.now)


def test_a_removal_that_nobody_named_lets_nobody_in() -> None:
    """Whatever else lets devices in: here the switch that makes a person's consent count."""
    bench = Bench("lower", EngineConfig(rules=Rules(closed_local_approve=True)))
    book = Book(NETWORK, LOW, rules=Rules(closed_local_approve=True), branch=book_of(LOW).branch)
    bench.engine.governor.begin(told(book, [grant(LOW)]), (), bench.now)
    bench.up_to("pending")
    hears(bench, evicted(HIGH), about=[])
    bench.engine.configure(EngineConfig(auto_approve=True, rules=Rules(closed_local_approve=True)), bench.now)
    bench.collect()
    assert not of_kind(bench, Approve)
    assert bench.status == "pending_approval"


def test_who_may_be_whom_a_full_log_had_no_room_to_put_out_is_off_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = closed()
    bench.up_to("pending")
    for module in (judging, newcomers):
        monkeypatch.setattr(module, "MAX_COPIES", 1)
    hears(bench, evicted(STRANGER.device_id), about=[STRANGER.device_id])
    assert not bench.has_entry
    assert of_kind(bench, Deny)
    assert rows(bench) == {bench.us.device_id, OWNER.device_id}, "whoever is signed in stays"


def test_the_approve_of_a_device_that_was_put_out_meanwhile_ends_its_link() -> None:
    bench = closed(members=(grant(HIGH),))
    bench.up_to("pending")
    hears(bench, evicted(HIGH), about=[])
    bench.frame(Approve())
    assert not bench.has_entry
    assert of_kind(bench, Deny)


def test_a_device_that_comes_back_at_once_gets_no_second_proof() -> None:
    bench = closed(members=(grant(HIGH), evicted(HIGH)))
    for _ in range(2):
        bench.offer("B1")
        bench.open_channel()
        bench.hello()
        bench.proof()
        bench.wait(1.0)
    first, second = of_kind(bench, Deny)
    assert first.transitions
    assert second == Deny("evicted"), "it may want nothing but our bandwidth"


# ── who is welcome again ──────────────────────────────────────────────────────────────────────────────────────────────


def test_who_is_welcome_again_is_dialled_whenever_it_is_heard_until_it_is_linked() -> None:
    bench = closed("higher", members=(grant(LOW), evicted(LOW)))
    assert "offer A1" in hears(bench, grant(LOW, at=THEN + 2), about=[LOW])
    bench.event(ChannelClosed("it has not heard of it yet"))
    assert "offer A2" in bench.announce(), "where the lower id would have to offer"
    bench.answer("B1")
    bench.open_channel()
    bench.hello()
    bench.proof()
    bench.frame(Approve())
    assert bench.status == "active"


def test_who_is_on_the_line_already_is_not_dialled() -> None:
    bench = closed(members=(grant(HIGH), evicted(HIGH)))
    bench.offer("B1")
    bench.open_channel()
    words = hears(bench, grant(HIGH, at=THEN + 2), about=[HIGH])
    assert not any("offer" in word for word in words)
    bench.hello()
    bench.proof()
    bench.frame(Approve())
    assert bench.status == "active", "over the link that it has"


def test_of_too_many_that_are_welcome_again_the_first_are_heard_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evictions, "MAX_LET_IN_AGAIN", 1)
    other = STRANGER.device_id
    bench = closed("higher", members=(grant(LOW), evicted(LOW), grant(other), evicted(other)))
    hears(bench, grant(LOW, at=THEN + 2), about=[LOW])
    hears(bench, grant(other, at=THEN + 2), about=[other])
    bench.event(ChannelClosed("nobody there"))
    bench.wait(60.0)
    assert not any("offer" in word for word in bench.announce())


# ── this device ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_device_that_is_let_in_again_gets_up_and_says_that_it_is_here() -> None:
    pinned = EngineConfig(auto_approve=True, pinned_peers=frozenset({HIGH}))
    bench = Bench("lower", pinned)
    bench.engine.governor.begin(book_of(LOW, (), (grant(LOW), grant(HIGH), evicted(LOW))), (), bench.now)
    bench.wait(0.1)
    assert bench.engine.governor.is_down
    assert bench.engine.is_put_out
    words = hears(bench, grant(LOW, at=THEN + 2), about=[LOW])
    assert not bench.engine.governor.is_down
    assert not bench.engine.is_put_out
    assert "announce" in words
    assert "self_readmitted" in hints(bench)
    assert any("offer" in word for word in bench.announce()), "it dials again"


def test_a_device_that_stands_down_does_not_dial_whom_it_loses() -> None:
    bench = closed(members=(grant(HIGH), evicted(LOW)))
    assert bench.engine.governor.is_down
    bench.offer("B1")
    bench.open_channel()
    bench.hello()
    bench.proof()
    bench.frame(Approve())
    assert bench.status == "active", "it may hear there that it is let in again"
    bench.wait(10.0)
    bench.event(ChannelClosed("crash"))
    assert bench.status == "dropped ice_failed"
    assert not any("offer" in word for word in bench.wait(100.0))


def test_a_device_that_stands_down_dials_nobody_whom_the_record_pins_either() -> None:
    bench = closed("higher", members=(grant(LOW),))
    bench.announce()
    assert bench.status == "sighted"
    hears(bench, evicted(HIGH), about=[HIGH])
    bench.engine.configure(EngineConfig(auto_approve=True, pinned_peers=frozenset({LOW})), bench.now)
    assert not any("offer" in word for word in bench.collect() + bench.wait(60.0))


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_on_an_open_network_signed_state_has_no_say_about_rows() -> None:
    opened = entry(OWNER, KindChange("open"))
    roster = Roster(NETWORK).approve(HIGH, "", THEN)
    bench = Bench("lower", EngineConfig(kind="closed"), roster=roster)
    book = told(book_of(LOW, (opened,)), [grant(LOW), grant(STRANGER.device_id), evicted(HIGH)])
    bench.engine.governor.begin(book, (), bench.now)
    bench.wait(0.1)
    assert bench.engine.kind == "open"
    assert rows(bench) == {HIGH}


def test_a_log_that_comes_while_rows_are_written_is_what_they_say_in_the_end() -> None:
    devices = [Identity.from_seed(number.to_bytes(32, "big")).device_id for number in range(1, 400)]
    bench = Bench("lower", EngineConfig(kind="closed"))
    before = book_of(LOW, (), (grant(LOW), *(grant(device) for device in devices)))
    bench.engine.governor.begin(before, (), bench.now)
    assert len(rows(bench)) < len(devices), "the rest is for the next slice"
    promoted = entry(OWNER, RoleGrant(devices[-1], "controller"))
    after = book_of(LOW, (promoted,), (grant(LOW), *(grant(device) for device in devices)))
    bench.engine.governor.take(after, bench.now, [])
    bench.wait(1.0)
    assert rows(bench) == {*devices, OWNER.device_id, LOW}
    row = bench.engine.roster.get(devices[-1])
    assert row is not None
    assert row.role == "controller"
