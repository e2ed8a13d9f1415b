"""Devices whose clocks are wrong, through our own relay and through strict ones, meet as fast as with right clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from myownmesh.protocol.signals import Announce, AnswerReceived, OfferReceived, PeerAnnounced, SendAnswer, SendOffer
from support.signaling import hostile_relay, new_device, relay_server, running, url_of
from support.strict_relay import StrictRelay

if TYPE_CHECKING:
    from support.signaling import Device

YEAR = 365 * 86_400
SINCE_1970 = 1_790_000_000
"""Back to the first days of a clock that was never set, in 1970."""
AT_ONCE_S = 1.5
"""On a busy machine; what `since` hides, and what a relay refuses, comes after half a minute or never."""

OFFSETS = [600, -600, YEAR, -YEAR, -SINCE_1970]
PAIRS = [(wrong, 0) for wrong in OFFSETS] + [(wrong, wrong) for wrong in OFFSETS] + [(600, -600), (YEAR, -YEAR)]


async def meet(first: Device, second: Device) -> None:
    """Each hears of the other, and an offer is answered; who hears of somebody says that it is there, as the engine."""
    with trio.fail_after(AT_ONCE_S):
        async with trio.open_nursery() as nursery:
            for here, there in ((first, second), (second, first)):
                nursery.start_soon(reflect, here, there)
        first.signaling.publish(SendOffer(second.id, "v=0\r\noffer"))
        await second.hears(OfferReceived)
        second.signaling.publish(SendAnswer(first.id, "v=0\r\nanswer", "v=0\r\noffer"))
        await first.hears(AnswerReceived)


async def reflect(here: Device, there: Device) -> None:
    await here.hears(PeerAnnounced, lambda signal: signal.peer == there.id)
    here.signaling.publish(Announce())


async def announced(device: Device) -> None:
    """It is there, and nothing of its start is under way any more."""
    with trio.fail_after(AT_ONCE_S):
        while not device.signaling.admitted:
            await trio.sleep(0.005)


@pytest.mark.parametrize("wrong", PAIRS)
async def test_through_our_own_relay_which_tells_no_time(wrong: tuple[int, int]) -> None:
    async with relay_server() as server:
        first = new_device(1, url_of(server), ahead_s=wrong[0])
        second = new_device(2, url_of(server), ahead_s=wrong[1])
        async with running(second):
            await announced(second)
            async with running(first):  # the one that was restarted
                first.signaling.publish(Announce())
                await announced(first)
                await meet(first, second)


@pytest.mark.parametrize("wrong", PAIRS)
async def test_through_a_strict_relay_that_tells_its_time(wrong: tuple[int, int]) -> None:
    strict = StrictRelay(window_s=60)
    async with hostile_relay(strict.script) as url:
        first, second = new_device(1, url, ahead_s=wrong[0]), new_device(2, url, ahead_s=wrong[1])
        async with running(second):
            await announced(second)
            async with running(first):
                await announced(first)
                await meet(first, second)
    assert strict.refused == []


@pytest.mark.parametrize("wrong", OFFSETS)
async def test_through_a_strict_relay_that_tells_no_time(wrong: int) -> None:
    """Its refusal says that something is wrong, and the announces that it has taken say what."""
    strict = StrictRelay(window_s=300, says_date=False)
    async with hostile_relay(strict.script) as url:
        first, second = new_device(1, url, ahead_s=wrong), new_device(2, url)
        async with running(second):
            await announced(second)
            async with running(first):
                await meet(first, second)
    assert len(strict.refused) == 1


@pytest.mark.parametrize("lie", [YEAR, -YEAR, 600, -600])
async def test_a_relay_that_lies_beside_an_honest_one_keeps_nobody_apart(lie: int) -> None:
    """Right clocks, a strict relay, and one that would have us stamp by its own time."""
    honest, liar = StrictRelay(window_s=60), StrictRelay(ahead_s=lie)
    # Two names of this machine, for all relays of one host are one voice.
    async with hostile_relay(honest.script) as url, hostile_relay(liar.script) as other:
        relays = (url.replace("127.0.0.1", "localhost"), other)
        first, second = new_device(1, *relays), new_device(2, *relays)
        async with running(first, second):
            await first.admitted_by(relays[0])
            await second.admitted_by(relays[0])
            for device in (first, second):
                device.signaling.publish(Announce())
            await meet(first, second)


async def test_a_relay_whose_own_clock_is_wrong_serves_who_is_right() -> None:
    async with hostile_relay(StrictRelay(window_s=60, ahead_s=-3 * YEAR // 4).script) as url:
        first, second = new_device(1, url), new_device(2, url)
        async with running(first, second):
            await meet(first, second)


@pytest.mark.parametrize("header", ["soon", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "\xff"])
async def test_a_date_that_cannot_be_is_no_date(header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = StrictRelay(window_s=60)
    monkeypatch.setattr("support.strict_relay.formatdate", lambda *_, **__: header)
    async with hostile_relay(strict.script) as url:
        first, second = new_device(1, url), new_device(2, url)
        async with running(first, second):
            await meet(first, second)
    assert strict.refused == []
