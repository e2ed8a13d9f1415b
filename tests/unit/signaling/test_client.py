"""When links are dialled, redialled and given up; virtual time, no sockets."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import frozen

from myownmesh.protocol import base32
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.signals import Announce, Leave
from myownmesh.signaling import link
from myownmesh.signaling.client import OUTAGE_CONNECT_S, NostrSignaling
from myownmesh.signaling.preload import preload
from myownmesh.signaling.relays import PUBLIC_FALLBACK
from myownmesh.signaling.trouble import Kind, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

    from mesh_common.addresses import RelayAddress
    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.signaling.doubts import Doubts
    from myownmesh.signaling.nostrroom import NostrRoom
    from myownmesh.signaling.sources import RelaySources
    from myownmesh.signaling.standing import RelayRecord
    from myownmesh.signaling.timepiece import Timepiece

ME = base32.encode(random.Random(1).randbytes(32))
RELAY = "wss://relay.example"


@frozen
class Settings:
    servers: tuple[str, ...] = (RELAY,)
    redundancy: int = 5
    denylist: tuple[str, ...] = ()
    public_fallback: bool = True
    listen_only: bool = False


def virtual_clock() -> Instant:
    return Instant(trio.current_time(), 1_700_000_000_000 + int(trio.current_time() * 1000))


class World:
    """Relays that serve for as long as they are told to, and the times at which they were dialled."""

    def __init__(self) -> None:
        self.serves_for: dict[str, float] = {}
        self.dials: dict[str, list[float]] = {}
        self.open: set[str] = set()
        self.limits: list[float | None] = []
        self.mute: set[str] = set()
        """Relays that do not answer when they are doubted."""
        self._began = trio.current_time()

    def now(self) -> float:
        return round(trio.current_time() - self._began, 3)

    def link(
        self,
        room: NostrRoom,
        url: str,
        address: RelayAddress,
        timepiece: Timepiece,
        deliver: Callable[[InboundSignal], None],
        on_up: Callable[[], None],
        sources: RelaySources,
        record: RelayRecord,
    ) -> FakeLink:
        return FakeLink(self, room, url, record)


class FakeLink:
    def __init__(self, world: World, room: NostrRoom, url: str, record: RelayRecord) -> None:
        self._world, self._room, self._url, self._record = world, room, url, record
        self.was_stable = self.was_up = False

    async def run(self, redial: trio.Event, doubts: Doubts, *, connect_limit_s: float | None = None) -> Trouble:
        self.was_mute = False
        self._world.limits.append(connect_limit_s)
        self._world.dials.setdefault(self._url, []).append(self._world.now())
        lifetime = self._world.serves_for.get(self._url)
        if lifetime is None:
            return Trouble(Kind.UNREACHABLE, "nobody listens")
        conversation = self._room.open_link(self._url, virtual_clock())
        conversation.receive('["EOSE","s"]', virtual_clock())
        self._record.links(conversation.standing(virtual_clock()), None, trio.current_time())
        self._world.open.add(self._url)
        self.was_up = True
        try:
            with trio.move_on_after(lifetime):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._face, doubts, nursery.cancel_scope)
                    await redial.wait()
                    nursery.cancel_scope.cancel()
        finally:
            self._world.open.discard(self._url)
            self._room.close_link(conversation)
            self.was_stable = conversation.is_stable(trio.current_time())
        return Trouble(Kind.CLOSED, "ended")

    async def _face(self, doubts: Doubts, scope: trio.CancelScope) -> None:
        known = doubts.raised
        known = await doubts.after(known)
        while self._url not in self._world.mute:
            known = await doubts.after(known)
        self._world.mute.discard(self._url)
        self.was_mute = True
        scope.cancel()


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    preload()  # otherwise the first dial does it in a thread, and the virtual clock runs on meanwhile
    made = World()
    monkeypatch.setattr(link, "RelayLink", made.link)
    return made


def new_client(settings: Settings | None = None) -> NostrSignaling:
    return NostrSignaling(
        device_id=ME,
        network_id="office-mesh",
        app_id="app",
        settings=settings or Settings(),
        now=virtual_clock,
        rng=random.Random(1),
    )


async def run_for(client: NostrSignaling, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await client.run(lambda _: None)


async def test_waits_grow_to_a_minute_while_a_relay_is_unreachable(world: World, autojump_clock: MockClock) -> None:
    await run_for(new_client(Settings(public_fallback=False)), 300)
    times = world.dials[RELAY]
    waits = [later - earlier for earlier, later in pairwise(times)]
    for wait, base in zip(waits, (2, 4, 8, 16, 32, 60, 60), strict=False):
        assert base * 0.85 <= wait <= base * 1.15 + 0.002


async def test_a_relay_that_hangs_up_a_few_times_is_dialled_soon_and_not_for_ever(
    world: World, autojump_clock: MockClock
) -> None:
    """Spec 03 §8.2: six ends without a word are forgiven, until a link has served for ten seconds."""
    world.serves_for[RELAY] = 1.0
    await run_for(new_client(Settings(public_fallback=False)), 600)
    gaps = [later - at for at, later in pairwise(world.dials[RELAY])]
    assert all(gap < 3.5 for gap in gaps[:6])
    assert all(gap > 0.85 * 2 ** (n + 2) for n, gap in enumerate(gaps[6:10]))
    assert all(gap > 50 for gap in gaps[11:])
    assert len(gaps) < 20
    world.dials.clear()
    world.serves_for[RELAY] = 11.0
    await run_for(new_client(Settings(public_fallback=False)), 600)
    assert all(later - at < 13.5 for at, later in pairwise(world.dials[RELAY]))


async def test_relays_of_members_are_used_beside_the_networks_own_and_go_when_they_are_told_no_more(
    world: World, autojump_clock: MockClock
) -> None:
    """Spec 06 K; while one of them serves, nobody surfaces on public relays."""
    first, second = "ws://198.51.100.7:4848", "ws://198.51.100.8:4848"
    world.serves_for |= {first: 10_000.0, second: 10_000.0, PUBLIC_FALLBACK[0]: 10_000.0}
    client = new_client(Settings(denylist=("198.51.100.9",)))
    client.adopt([first, f"{RELAY}:443", "ws://198.51.100.9:4848"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run, lambda _: None)
        await trio.sleep(100)
        assert world.open == {first}
        assert set(world.dials) == {RELAY, first}
        assert [(row.url, row.standing.state) for row in client.report()][1:] == [(first, "up")]
        client.adopt([second])
        await trio.sleep(1)
        assert world.open == {second}
        assert [row.url for row in client.report()] == [RELAY, second]
        client.adopt([])
        await trio.sleep(1)
        assert not world.open
        await trio.sleep(60)
        assert world.open == {PUBLIC_FALLBACK[0]}
        nursery.cancel_scope.cancel()


async def test_public_relays_step_in_after_twenty_seconds_and_go_when_the_primary_is_back(
    world: World, autojump_clock: MockClock
) -> None:
    for url in PUBLIC_FALLBACK:
        world.serves_for[url] = 1000.0
    client = new_client()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, client, 200)
        await trio.sleep(19)
        assert world.open == set()
        await trio.sleep(5)
        assert world.open == set(PUBLIC_FALLBACK)
        world.serves_for[RELAY] = 25.0
        await trio.sleep(60)
        assert world.open <= {RELAY}
        del world.serves_for[RELAY]
        await trio.sleep(60)
        assert world.open == set(PUBLIC_FALLBACK)
    assert world.open == set()


@pytest.mark.parametrize(
    "settings",
    [Settings(public_fallback=False), Settings(servers=("ws://192.168.1.5:4848",))],
    ids=["switched off", "a private relay"],
)
async def test_public_relays_stay_out_of_it(world: World, settings: Settings, autojump_clock: MockClock) -> None:
    await run_for(new_client(settings), 100)
    assert list(world.dials) == list(settings.servers)


async def test_without_any_primary_relay_the_public_ones_serve_after_the_grace(
    world: World, autojump_clock: MockClock
) -> None:
    await run_for(new_client(Settings(redundancy=0)), 30)
    assert set(world.dials) == set(PUBLIC_FALLBACK)
    assert 20 <= min(min(times) for times in world.dials.values()) <= 24


async def test_a_redial_skips_the_wait_and_starts_the_backoff_over(world: World, autojump_clock: MockClock) -> None:
    client = new_client(Settings(public_fallback=False))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, client, 60)
        await trio.sleep(20)
        client.redial()
        await trio.sleep(3)
        since = [time for time in world.dials[RELAY] if time >= 20]
        assert since[0] == 20
        assert 21.7 <= since[1] <= 22.3
        nursery.cancel_scope.cancel()


async def test_a_redial_replaces_a_link_that_serves(world: World, autojump_clock: MockClock) -> None:
    world.serves_for[RELAY] = 1000.0
    client = new_client(Settings(public_fallback=False))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, client, 60)
        await trio.sleep(5)
        client.redial()
        await trio.sleep(0.1)
        assert world.dials[RELAY] == [0, 5]
        client.publish(Leave())
        client.redial()
        await trio.sleep(0.1)
        assert world.dials[RELAY] == [0, 5]
        nursery.cancel_scope.cancel()


async def test_a_doubt_replaces_the_links_that_do_not_answer_and_no_other(
    world: World, autojump_clock: MockClock
) -> None:
    other = "wss://other.example"
    world.serves_for = {RELAY: 1000.0, other: 1000.0}
    world.mute = {other}
    client = new_client(Settings(servers=(RELAY, other), public_fallback=False))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, client, 60)
        await trio.sleep(5)
        client.redial(if_mute=True)
        await trio.sleep(0.1)
        assert world.dials == {RELAY: [0], other: [0, 5]}
        nursery.cancel_scope.cancel()


async def test_a_doubt_ends_the_wait_for_the_next_dial(world: World, autojump_clock: MockClock) -> None:
    client = new_client(Settings(public_fallback=False))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, client, 60)
        await trio.sleep(20)
        client.redial(if_mute=True)
        await trio.sleep(3)
        since = [time for time in world.dials[RELAY] if time >= 20]
        assert since[0] == 20
        assert 21.7 <= since[1] <= 22.3
        nursery.cancel_scope.cancel()


async def test_without_a_network_no_dial_is_made_again_but_to_relays_of_this_machine(
    world: World, autojump_clock: MockClock
) -> None:
    here = "ws://127.0.0.1:4848"
    client = new_client(Settings(servers=(RELAY, here)))
    client.network_moved(offline=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, client, 1000)
        await trio.sleep(300)
        assert world.dials[RELAY] == [0], "and no public relay either"
        assert set(world.dials) == {RELAY, here}
        assert len(world.dials[here]) > 5
        assert [report.retry_in_ms for report in client.report() if report.url == RELAY] == [None]
        client.network_moved(offline=False)
        client.redial(if_mute=True)
        await trio.sleep(4)
        assert world.dials[RELAY][1] == 300
        assert len(world.dials[RELAY]) > 2
        nursery.cancel_scope.cancel()


SERVED_S = 5.0
"""Less than makes a link stable."""


async def test_a_relay_that_served_is_dialled_so_often_that_its_return_is_noticed(
    world: World, autojump_clock: MockClock
) -> None:
    """Within a twentieth of its outage; one that never served waits as ever (spec 03 §8.2)."""
    world.serves_for = {RELAY: SERVED_S}
    client = new_client(Settings(public_fallback=False))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, client, 3000)
        await trio.sleep(1)
        del world.serves_for[RELAY]
        await trio.sleep(2900)
        nursery.cancel_scope.cancel()
    first, *again = world.dials[RELAY]
    assert first == 0
    gaps = [(at - SERVED_S, following - at) for at, following in pairwise([SERVED_S, *again])]
    assert all(gap <= max(1.2, 0.06 * since) for since, gap in gaps if 0 < since < 1000), gaps
    assert gaps[0][1] <= 2.3, "a relay that restarts"
    assert all(12 < gap < 18 for since, gap in gaps if since > 400), "from then on a few a minute"
    assert len(again) < 260
    assert world.limits[0] is None
    assert set(world.limits[1:]) == {OUTAGE_CONNECT_S}


async def test_a_relay_that_is_listed_twice_is_dialled_once(world: World, autojump_clock: MockClock) -> None:
    client = new_client(Settings(servers=(RELAY, RELAY), public_fallback=False))
    await run_for(client, 1)
    assert client.relays == [RELAY]
    assert world.dials == {RELAY: [0]}


async def test_publishing_before_and_after_running_never_fails(world: World, autojump_clock: MockClock) -> None:
    client = new_client()
    client.publish(Announce())
    client.redial()
    await run_for(client, 1)
    client.publish(Leave())
    assert client.admitted == []


async def test_a_leave_stops_the_ticker(world: World, autojump_clock: MockClock) -> None:
    world.serves_for[RELAY] = 1000.0
    client = new_client(Settings(public_fallback=False))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, client, 60)
        await trio.sleep(1)
        assert client.admitted == [RELAY]
        client.publish(Leave())
        await trio.sleep(40)
        nursery.cancel_scope.cancel()
