"""What a driver adds to its switch: WebRTC that is loaded later, the timer, signaling, and bugs that somebody hears of.

The control socket answers before WebRTC is there (spec 05 §1.3 no. 7).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, cast

import pytest
import trio
import trio.testing

from mesh_common.events import Diag, PhaseChanged
from myownmesh.engine import Engine, EngineConfig
from myownmesh.engine.actions import SetPace
from myownmesh.engine.links import ChannelClosed
from myownmesh.engine.moves import Move
from myownmesh.engine.timing import DIAL_ANYWAY_S
from myownmesh.identity import Identity
from myownmesh.mesh import clock
from myownmesh.mesh.driver import MAX_EARLY, Driver
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.signals import Announce, Leave, PeerAnnounced
from myownmesh.roster import Roster
from myownmesh.signaling.standing import News, RelayRecord, Standing, State
from myownmesh.signaling.trouble import Kind, Trouble
from unit.mesh.fake_session import FakeSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

    from mesh_common.events import MeshEvent
    from myownmesh.engine.links import LinkEvent
    from myownmesh.protocol.signals import InboundSignal, OutboundSignal
    from myownmesh.signaling.standing import RelayReport
    from myownmesh.transport.session import SessionFactory

ME, PEER = (Identity.from_seed(bytes([n]) * 32, label="") for n in (1, 2))


class FakeFactory:
    """Hands out sessions once `loaded`; counts them."""

    def __init__(self) -> None:
        self.loaded = trio.Event()
        self.sessions: list[FakeSession] = []

    async def __call__(self) -> SessionFactory:
        await self.loaded.wait()
        return cast("SessionFactory", self)

    def open(
        self,
        *,
        offerer: bool,
        ice_servers: tuple[object, ...],
        on_event: Callable[[LinkEvent], None],
        on_frame: Callable[[bytes], None],
    ) -> FakeSession:
        assert ice_servers == ()
        self.sessions.append(FakeSession(offerer, on_event, on_frame))
        return self.sessions[-1]


class FakeRoom:
    """Implements `signaling.driver.Signaling`."""

    def __init__(self) -> None:
        self.published: list[OutboundSignal] = []
        self.redialled = 0
        self.paces: list[bool] = []
        self.doubted = 0
        self.is_offline = False
        self.on_up: Callable[[], None] = lambda: None
        self.on_news: Callable[[News], None] = lambda _news: None
        self.reports: list[RelayReport] = []
        self.deliver: Callable[[InboundSignal], None] = lambda _signal: None

    def publish(self, signal: OutboundSignal) -> None:
        self.published.append(signal)

    @property
    def is_met_locally(self) -> bool:
        return False

    def report(self) -> list[RelayReport]:
        return self.reports

    def redial(self, *, if_mute: bool = False) -> None:
        self.redialled += 1
        self.doubted += if_mute

    def network_moved(self, *, offline: bool) -> None:
        self.is_offline = offline

    def set_pace(self, *, quiet: bool) -> None:
        self.paces.append(quiet)

    async def run(
        self,
        deliver: Callable[[InboundSignal], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        self.deliver = deliver
        task_status.started()
        await trio.sleep_forever()


class Stage:
    """A driver that runs, with two ways into its room."""

    def __init__(self, nursery: trio.Nursery, me: Identity = ME, rooms: tuple[FakeRoom, ...] | None = None) -> None:
        self.factory = FakeFactory()
        self.rooms = (FakeRoom(), FakeRoom()) if rooms is None else rooms
        self.events: list[MeshEvent] = []
        self.on_event: Callable[[MeshEvent], None] = self.events.append
        self.saved: list[Roster] = []
        self.error: Exception | None = None
        self.ended = trio.Event()
        rng = random.Random(1)
        self.driver = Driver(
            Engine(identity=me, network_id="home", config=EngineConfig(), roster=Roster("home"), rng=rng),
            signaling=self.rooms,
            ice_servers=tuple,
            save_roster=self.saved.append,
            on_event=lambda event: self.on_event(event),
            rng=rng,
        )
        nursery.start_soon(self._run)

    async def _run(self) -> None:
        try:
            await self.driver.run(self.factory)
        except* ZeroDivisionError as group:
            self.error = group
        self.ended.set()

    async def load(self) -> None:
        self.factory.loaded.set()
        await self.settle()

    async def settle(self) -> None:
        await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
def virtual_time(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """The mesh's clock shows trio's virtual time."""
    monkeypatch.setattr(clock, "now", lambda: Instant(trio.current_time() + 1000.0, 0))
    return autojump_clock


@pytest.fixture
async def stage(nursery: trio.Nursery) -> Stage:
    stage = Stage(nursery)
    await stage.settle()
    return stage


def broken(_event: object) -> None:
    raise ZeroDivisionError("a bug")


async def test_a_dial_before_webrtc_is_loaded_happens_afterwards(stage: Stage) -> None:
    stage.driver.switch.connect(PEER.device_id, None, pin=False)
    assert stage.factory.sessions == []
    assert not stage.driver.ready.is_set()
    await stage.load()
    assert stage.driver.ready.is_set()
    assert [session.did for session in stage.factory.sessions] == [["offer restart=False"]]


async def test_what_the_room_says_before_webrtc_is_loaded_is_heard_afterwards(stage: Stage) -> None:
    room = stage.rooms[0]
    room.on_up()
    room.deliver(PeerAnnounced(PEER.device_id))
    await stage.settle()
    assert stage.driver.switch.engine.phase == "joining"
    await stage.load()
    assert stage.driver.switch.engine.phase == "discovering"
    assert [peer.device_id for peer in stage.driver.switch.peers()] == [PEER.device_id]


async def test_what_is_kept_for_then_is_bounded(stage: Stage) -> None:
    for _ in range(MAX_EARLY):
        stage.rooms[0].on_up()
    stage.rooms[0].deliver(PeerAnnounced(PEER.device_id))
    await stage.load()
    assert stage.driver.switch.peers() == []
    stage.rooms[0].deliver(PeerAnnounced(PEER.device_id))  # announces are repeated
    assert [peer.device_id for peer in stage.driver.switch.peers()] == [PEER.device_id]


async def test_whoever_waits_for_an_early_dial_is_told_of_the_end(stage: Stage) -> None:
    told: list[str | None] = []
    abandon = stage.driver.switch.connect(PEER.device_id, told.append, pin=True)
    assert told == []
    stage.driver.stop()
    assert told == ["network: network shut down"]
    assert stage.factory.sessions == []
    abandon()


async def test_an_early_dial_to_oneself_is_refused_at_once(stage: Stage) -> None:
    with pytest.raises(MeshError, match="id of this device"):
        stage.driver.switch.connect(ME.device_id, None, pin=False)


async def test_every_way_into_the_room_is_used(stage: Stage) -> None:
    await stage.load()
    one, other = stage.rooms
    one.deliver(PeerAnnounced(PEER.device_id))
    assert Announce() in one.published
    assert one.published == other.published
    stage.driver.switch.reconnect(None)
    assert (one.redialled, other.doubted) == (1, 1)
    stage.driver.switch.engine.core.out.append(SetPace(True))
    stage.driver.switch.signaling_is_up()
    assert (one.paces, other.paces) == ([True], [True])
    other.on_up()
    assert [event.next for event in stage.events if isinstance(event, PhaseChanged)] != []


async def test_without_a_network_no_way_dials_until_there_is_one(stage: Stage) -> None:
    await stage.load()
    stage.driver.network_moved(Move.OFFLINE, {})
    assert [room.is_offline for room in stage.rooms] == [True, True]
    stage.driver.network_moved(Move.ONLINE, {})
    assert [room.is_offline for room in stage.rooms] == [False, False]
    assert [room.doubted for room in stage.rooms] == [1, 1]
    assert [event.message for event in stage.events if isinstance(event, Diag) and event.category == "network"] == [
        "offline",
        "back online",
    ]


async def test_where_no_relay_is_nothing_waits_for_one(nursery: trio.Nursery) -> None:
    """Spec 04 §7.7: without a relay driver the fan-out runs at once."""
    stage = Stage(nursery, rooms=())
    await stage.load()
    asked = len(stage.events)
    stage.driver.network_moved(Move.MOVED, {})
    assert stage.driver.switch.engine.next_timer() is not None
    assert not stage.driver.switch.engine.core.fan_out_due
    assert len(stage.events) > asked


async def test_what_is_wrong_with_a_relay_reaches_the_diagnostics(stage: Stage) -> None:
    await stage.load()
    for why in (Trouble(Kind.BLOCKED, "blocked: no"), None):
        standing = Standing(State.UP if why is None else State.REFUSING, why)
        stage.rooms[1].on_news(News("wss://relay", standing))
    refusal, end = (event for event in stage.events if isinstance(event, Diag) and event.category == "signaling")
    assert (refusal.level, refusal.message) == ("warn", "relay wss://relay is refusing: blocked: no")
    assert refusal.detail == {"relay": "wss://relay", "state": "refusing", "kind": "blocked", "text": "blocked: no"}
    assert (end.level, end.message) == ("info", "relay wss://relay serves this network")


async def test_the_rows_of_all_ways_are_told_together(stage: Stage) -> None:
    for number, room in enumerate(stage.rooms):
        record = RelayRecord(f"wss://relay{number}", public=False, on_news=lambda _news: None, since=0.0)
        record.down(Trouble(Kind.TLS, "expired"), 1.0, 3.0)
        room.reports = [record.report(2.0)]
    rows = stage.driver.relays()
    assert [row.url for row in rows] == ["wss://relay0", "wss://relay1"]
    assert (rows[0].since_ms, rows[0].retry_in_ms) == (1000, 1000)


async def test_the_alarm_moves_forward_and_rings_on_time(nursery: trio.Nursery, virtual_time: MockClock) -> None:
    """An announce of a lower id that does not offer is answered with a dial after 3 s (spec 04 §5.3 DIAL_ANYWAY)."""
    stage = Stage(nursery, me=max(ME, PEER, key=lambda each: each.device_id))
    await stage.settle()
    await stage.load()
    await trio.sleep(1.0)
    stage.rooms[0].deliver(PeerAnnounced(min(ME.device_id, PEER.device_id)))
    await trio.sleep(DIAL_ANYWAY_S - 0.01)
    assert stage.factory.sessions == []
    await trio.sleep(0.02)
    assert [session.did for session in stage.factory.sessions] == [["offer restart=False"]]
    stage.driver.stop()


async def test_a_departure_has_time_to_reach_the_room(stage: Stage, autojump_clock: MockClock) -> None:
    await stage.load()
    stage.driver.switch.connect(PEER.device_id, None, pin=False)
    began = trio.current_time()
    await stage.driver.leave()
    assert trio.current_time() - began == pytest.approx(0.25)
    assert Leave() in stage.rooms[0].published
    assert stage.factory.sessions[0].closed
    await stage.ended.wait()
    assert stage.error is None


async def test_a_changed_roster_is_on_disk_when_it_is_said_to_be(stage: Stage) -> None:
    await stage.load()
    stage.driver.switch.approve(PEER.device_id, "Phone")
    await stage.driver.roster_saved()
    assert stage.saved[-1].is_authorized(PEER.device_id)


@pytest.mark.parametrize("way", ["signal", "session", "room is up"])
async def test_a_bug_behind_a_foreign_callback_ends_the_driver(stage: Stage, way: str) -> None:
    await stage.load()
    if way == "session":
        stage.driver.switch.connect(PEER.device_id, None, pin=False)
    stage.on_event = broken
    match way:
        case "signal":
            stage.rooms[0].deliver(PeerAnnounced(PEER.device_id))
        case "session":
            stage.factory.sessions[0].on_event(ChannelClosed("gone"))
        case _:
            stage.rooms[1].on_up()
    with trio.fail_after(5.0):
        await stage.ended.wait()
    assert stage.error is not None
    assert all(session.closed for session in stage.factory.sessions)
