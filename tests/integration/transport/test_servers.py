"""Candidates of STUN and TURN servers: trickled behind the description, used when nothing else works."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from integration.transport.loops import on_loop
from integration.transport.pairs import End, Pair, guest_test
from integration.transport.turn_server import MAPPED, turn_server
from myownmesh.engine.links import (
    ChannelOpened,
    GatheringDone,
    LocalCandidate,
    LocalDescription,
    PairSelected,
    PathState,
)
from myownmesh.transport import IceServer, sdp
from myownmesh.transport.interfaces import host_addresses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.transport.turn_server import TurnServer
    from myownmesh.engine.links import (
        SdpType,
    )
    from myownmesh.transport.session import SessionFactory


@asynccontextmanager
async def serving() -> AsyncIterator[TurnServer]:
    """The test server, from trio."""
    manager = turn_server(host_addresses().offered[0].address)
    server = await on_loop(manager.__aenter__())
    try:
        yield server
    finally:
        with trio.CancelScope(shield=True):
            await on_loop(manager.__aexit__(None, None, None))


def lines(end: End, kind: str) -> list[str]:
    found = [event.candidate.candidate for event in end.all(LocalCandidate)]
    return [line for line in found if f" typ {kind}" in line]


@guest_test
async def test_reflexive_candidate_is_announced_behind_the_description(factory: SessionFactory) -> None:
    async with serving() as server:
        end = End("a")
        end.open(factory, offerer=True, ice_servers=(IceServer((f"stun:{server.address[0]}:{server.address[1]}",)),))
        end.session.make_offer()
        await end.event(GatheringDone)
        (line,) = lines(end, "srflx")
        host = next(candidate for candidate in lines(end, "host") if server.host in candidate).split()
        assert line.split()[4:8] == [MAPPED[0], str(MAPPED[1]), "typ", "srflx"]
        assert line.split()[8:] == ["raddr", host[4], "rport", host[5]]
        assert "srflx" not in end.one(LocalDescription).sdp
        end.session.make_offer()
        assert "srflx" in (await end.event(LocalDescription, count=2)).sdp
        end.session.close()


@guest_test
async def test_a_link_over_a_relay_alone(factory: SessionFactory) -> None:
    """Host candidates are lost on the way, in the descriptions and as messages; both sides reach only the relay's."""

    def relay_only(sender: End, kind: SdpType, text: str) -> str:
        return "\r\n".join(line for line in text.split("\r\n") if not line.startswith("a=candidate"))

    async with serving() as server:
        host, port = server.address
        pair = Pair(
            factory,
            mangle=relay_only,
            candidates=False,
            ice_servers=(IceServer((f"turn:{host}:{port}",), "user", "secret"),),
        )
        pair.a.session.make_offer()
        for sender, receiver in ((pair.a, pair.b), (pair.b, pair.a)):
            await sender.event(GatheringDone)
            (relay,) = lines(sender, "relay")
            receiver.session.add_candidate(
                next(e.candidate for e in sender.all(LocalCandidate) if e.candidate.candidate == relay)
            )
        await pair.a.event(ChannelOpened)
        await pair.b.event(ChannelOpened)
        await pair.check_traffic()
        frames = [bytes([n]) * 30_000 for n in range(20)]
        pair.b.frames.clear()
        for frame in frames:
            pair.a.session.send(frame)
        await pair.b.frames_until(len(frames))
        assert pair.b.frames == frames
        assert server.relayed > 100
        kinds = {
            kind for end in (pair.a, pair.b) for event in end.all(PairSelected) for kind in (event.local, event.remote)
        }
        assert "relay" in kinds
        pair.a.session.close()
        pair.b.session.close()
        await factory.aclose()
        with trio.fail_after(2.0):
            while server.allocations:
                await trio.sleep(0.01)


@guest_test
async def test_wrong_credentials_cost_nothing_but_the_relay(factory: SessionFactory) -> None:
    async with serving() as server:
        host, port = server.address
        pair = Pair(factory, ice_servers=(IceServer((f"turn:{host}:{port}",), "user", "wrong"),))
        await pair.connect()
        await pair.a.event(GatheringDone)
        assert not lines(pair.a, "relay")
        await pair.check_traffic()


@guest_test
async def test_a_server_that_dies_during_gathering(factory: SessionFactory) -> None:
    async with serving() as server:
        host, port = server.address
        server.silent = True
        pair = Pair(factory, ice_servers=(IceServer((f"stun:{host}:{port}", f"turn:{host}:{port}"), "user", "secret"),))
        await pair.connect()
        started = trio.current_time()
        await pair.a.event(GatheringDone)
        assert trio.current_time() - started < 2.5
        assert pair.a.path is PathState.CONNECTED


@guest_test
async def test_names_without_an_address_are_left_out(factory: SessionFactory) -> None:
    pair = Pair(factory, ice_servers=(IceServer(("stun:no-such-host.invalid", "turn:\udcff.invalid"), "u", "p"),))
    await pair.connect()
    await pair.a.event(GatheringDone)
    assert not lines(pair.a, "srflx")
    assert sdp.parse(pair.a.one(LocalDescription).sdp).candidates


@guest_test
async def test_closing_while_servers_are_asked(factory: SessionFactory) -> None:
    async with serving() as server:
        host, port = server.address
        server.silent = True
        pair = Pair(factory, ice_servers=(IceServer((f"stun:{host}:{port}", f"turn:{host}:{port}"), "u", "p"),))
        pair.a.session.make_offer()
        await trio.sleep(0.05)
        started = trio.current_time()
        await factory.aclose()
        assert trio.current_time() - started < 0.5
        assert not [task for task in asyncio.all_tasks() if "gather" in repr(task)]
