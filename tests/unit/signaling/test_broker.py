"""The room inside one process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
import trio.testing

from myownmesh.protocol.signals import (
    Announce,
    AnswerReceived,
    Candidate,
    CandidateReceived,
    InboundSignal,
    Leave,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
    SendAnswer,
    SendCandidate,
    SendOffer,
)
from myownmesh.signaling.broker import QUEUE_CAPACITY, Broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from myownmesh.signaling.broker import BrokerSignaling


@asynccontextmanager
async def joined(
    broker: Broker, device: str, *, room: str = "room", listen_only: bool = False
) -> AsyncIterator[tuple[BrokerSignaling, list[InboundSignal]]]:
    signaling, heard = broker.signaling(room, device, listen_only=listen_only), list[InboundSignal]()
    ups: list[None] = []
    signaling.on_up = lambda: ups.append(None)
    async with trio.open_nursery() as nursery:
        await nursery.start(signaling.run, heard.append)
        await trio.testing.wait_all_tasks_blocked()
        assert len(ups) == 1
        yield signaling, heard
        nursery.cancel_scope.cancel()
    await trio.testing.wait_all_tasks_blocked()


async def test_members_hear_of_each_other_and_talk() -> None:
    broker = Broker()
    async with joined(broker, "a") as (a, heard_a):
        async with joined(broker, "b") as (b, heard_b), joined(broker, "c", room="elsewhere") as (_, heard_c):
            assert heard_b == [PeerAnnounced("a")]
            assert heard_a == [PeerAnnounced("b"), PeerAnnounced("b")]
            heard_a.clear()
            heard_b.clear()
            a.publish(SendOffer("b", "o"))
            a.publish(SendCandidate("b", Candidate("c")))
            b.publish(SendAnswer("a", "x"))
            b.publish(SendOffer("nobody", "o"))
            b.publish(Announce())
            await trio.testing.wait_all_tasks_blocked()
            assert heard_b == [OfferReceived("a", "o"), CandidateReceived("a", Candidate("c"))]
            assert heard_a == [AnswerReceived("b", "x"), PeerAnnounced("b")]
            assert heard_c == []
            heard_a.clear()
        assert heard_a == [PeerLeft("b")]
        assert broker.rooms() == ["room"]
    assert broker.rooms() == []


async def test_nothing_follows_a_leave() -> None:
    broker = Broker()
    async with joined(broker, "a") as (_, heard), joined(broker, "b") as (b, _):
        heard.clear()
        b.publish(Leave())
        b.publish(Announce())
        b.publish(SendOffer("a", "o"))
        b.redial()
        await trio.testing.wait_all_tasks_blocked()
        assert heard == [PeerLeft("b")]


async def test_a_listener_is_not_seen_until_it_dials() -> None:
    broker = Broker()
    async with joined(broker, "a") as (_, heard), joined(broker, "b", listen_only=True) as (b, heard_b):
        b.publish(Announce())
        await trio.testing.wait_all_tasks_blocked()
        assert heard == []
        assert heard_b == [PeerAnnounced("a")]
        b.publish(SendOffer("a", "o"))
        b.publish(Leave())
        await trio.testing.wait_all_tasks_blocked()
        assert heard == [OfferReceived("b", "o")]


async def test_a_member_that_does_not_run_keeps_only_the_newest() -> None:
    broker = Broker()
    async with joined(broker, "a") as (a, _), joined(broker, "b") as (_, heard):
        heard.clear()
        for number in range(QUEUE_CAPACITY + 10):
            a.publish(SendOffer("b", str(number)))
        await trio.testing.wait_all_tasks_blocked()
        assert len(heard) == QUEUE_CAPACITY + 1  # one was taken already
        assert heard[-1] == OfferReceived("a", str(QUEUE_CAPACITY + 9))


async def test_nobody_is_in_a_room_before_it_runs() -> None:
    broker = Broker()
    broker.signaling("room", "a").publish(Announce())
    assert broker.rooms() == []
