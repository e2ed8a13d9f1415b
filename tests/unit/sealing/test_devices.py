"""Who is known to seal, and which announces are stale (spec 11 §2.1)."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.protocol import base32
from myownmesh.protocol.offer_ids import new_offer_id
from myownmesh.sealing.budgets import ALL_PER_S, OTHERS_PER_S, Allowance, Budgets
from myownmesh.sealing.devices import (
    APART_S,
    CLEAR_FOR_S,
    FORMS,
    KEYS,
    MAX_DEVICES,
    OPENED_PER_S,
    Device,
    Devices,
    Newest,
    newest_form,
    remember,
)
from myownmesh.sealing.replays import REMEMBERED, Replays


def test_a_device_seals_from_a_good_announce_on_until_a_newer_one_says_otherwise() -> None:
    device = Device()
    assert device.announced("k", 100, seals=True)
    assert device.seals
    assert device.announced("k", 101, seals=False), "it was told not to"
    assert not device.seals


@pytest.mark.parametrize(
    ("before", "now", "is_new"),
    [
        (("k", 100), ("k", 100), False),  # the same one, brought again under another id
        (("k", 100), ("k", 99), False),
        (("k", 100), ("k", 101), True),
        (("k", 100), ("l", 100), True),  # a restart in the same second
        (("k", 102), ("l", 100), True),  # whose predecessor was 2 s ahead of the clock
        (("k", 100), ("l", 100 - APART_S), True),
        (("k", 100), ("l", 100 - APART_S - 1), False),  # a clock that was set back, or a late copy
        (("k", 100), ("l", 5000), True),
    ],
)
def test_times_are_compared_with_others_of_the_device(
    before: tuple[str, int], now: tuple[str, int], is_new: bool
) -> None:
    device = Device()
    device.announced(*before, seals=True)
    assert device.announced(*now, seals=True) is is_new
    assert device.newest == Newest(*(now if is_new else before))


def test_a_stale_announce_takes_nothing_back() -> None:
    device = Device()
    device.announced("k", 100, seals=True)
    assert not device.announced("l", 10, seals=False)
    assert device.seals


def test_processes_of_a_device_keep_their_own_times_and_few_are_kept() -> None:
    device = Device()
    for number in range(KEYS):
        assert device.announced(f"k{number}", 100, seals=True)
    assert not device.announced("k0", 100, seals=True), "a copy of the first one"
    assert device.announced("another", 100, seals=True)
    assert device.announced("k0", 100, seals=True), "so many are remembered"


def test_a_leave_counts_of_the_process_that_announced_itself_last() -> None:
    device = Device()
    assert not device.left("k", 100), "of whom nothing is known"
    device.announced("k", 100, seals=True)
    assert not device.left("other", 200)
    assert not device.left("k", 99)
    assert device.left("k", 100)
    assert not device.announced("k", 100, seals=True), "it is the newest then"
    assert device.announced("l", 100, seals=True)


def clear(device: Device, *times: float) -> bool:
    for at in times:
        device.announced_clear(at)
    return device.seals


def sealing() -> Device:
    device = Device()
    device.announced("k", 100, seals=True)
    return device


def test_ten_minutes_of_clear_announces_end_it() -> None:
    """As v0.3.8 makes them, every two minutes."""
    device = sealing()
    assert clear(device, 0, 120, 240, 360, 480, 599.9), "ten minutes are not over"
    assert not clear(device, 600)


def test_three_at_once_do_not() -> None:
    assert clear(sealing(), 5000, 5001, 5002, 5003)


def test_two_in_ten_minutes_do_not() -> None:
    assert clear(sealing(), 0, 590, 1180)


def test_silence_ends_nothing_and_begins_the_ten_minutes_anew() -> None:
    assert clear(sealing(), 0, 1, 2, CLEAR_FOR_S + 10, CLEAR_FOR_S + 11, CLEAR_FOR_S + 12)


def test_whatever_shows_that_it_seals_or_is_linked_begins_them_anew() -> None:
    for shown in (lambda d: d.announced("k", 101, seals=True), lambda d: d.opened(), lambda d: d.stands_proved()):
        device = sealing()
        clear(device, 0, 120, 240, 360, 480)
        shown(device)
        assert clear(device, 600, 700, 800, 1100)
        assert not clear(device, 1200)


@given(st.lists(st.floats(0, 10_000), max_size=40))
def test_clear_announces_of_less_than_ten_minutes_change_nothing(times: list[float]) -> None:
    span = sorted(time % (CLEAR_FOR_S - 1) for time in times)
    assert clear(sealing(), *span)


def test_what_the_roster_remembers_outlasts_what_is_heard() -> None:
    rostered = {"anna"}
    devices = Devices(rostered.__contains__)
    assert devices.seals("anna")
    assert not devices.seals("ben")
    assert not clear(devices.of("anna"), *range(0, 601, 100))
    assert not devices.seals("anna"), "what is heard goes before"
    for number in range(MAX_DEVICES):
        devices.of(str(number))
    assert len(devices) == MAX_DEVICES
    assert devices.seals("anna"), "it was pushed out, so the roster counts"


def test_forms_of_the_last_offers() -> None:
    forms = Device().ours
    assert newest_form(forms) is None
    for number in range(FORMS + 1):
        remember(forms, str(number), sealed=number % 2 == 0)
    assert len(forms) == FORMS
    assert newest_form(forms) is True
    remember(forms, "3", sealed=True)
    assert forms["3"] is False, "an offer keeps its form"


def test_offers_that_opened_are_remembered_each_by_itself() -> None:
    replays, rng = Replays(), Random(1)
    ids = [new_offer_id("a", "b", rng) for _ in range(REMEMBERED + 1)]
    for each in ids:
        assert each not in replays
        replays.add(each)
    assert ids[0] not in replays
    assert all(each in replays for each in ids[1:])


def test_an_id_that_two_others_make_side_by_side_is_none_of_them() -> None:
    """They lie one behind the other: the end of one and the beginning of the next spell a third."""
    replays = Replays()
    first, second, between = (base32.encode(each) for each in (b"aaaabbbb", b"ccccdddd", b"bbbbcccc"))
    replays.add(first)
    replays.add(second)
    assert between not in replays
    replays.add(between)
    assert between in replays, "behind the place where it only seemed to be"


def test_only_what_is_known_by_its_key_has_a_budget_of_its_own() -> None:
    budgets, device = Budgets(Allowance()), sealing()

    def tried(of: Device | None, key: str, at: float) -> int:
        return sum(budgets.allows(of, key, at) for _ in range(1000))

    assert tried(device, "forged", 10.0) == OTHERS_PER_S
    assert tried(None, "k", 10.0) == 0, "a bare id has none"
    assert tried(device, "k", 10.0) == OPENED_PER_S
    assert tried(device, "k", 11.0) == OPENED_PER_S


def test_all_networks_share_one_allowance() -> None:
    allowance = Allowance()
    rooms = [Budgets(allowance) for _ in range(10)]
    assert sum(room.allows(None, "x", 1.0) for room in rooms for _ in range(200)) == ALL_PER_S
