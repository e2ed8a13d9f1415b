"""The connection engine of one network: inputs go in, actions come out (spec 04).

Sans-IO: whoever drives it hands in every moment, frame, signal and link event, and carries out `actions()` in order
after each call. It opens no socket, reads no clock and starts no task, so a whole mesh runs in a simulator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from myownmesh.engine import (
    approval,
    census,
    deadlines,
    dialling,
    gossip,
    intake,
    inviting,
    keepalive,
    lifecycle,
    moving,
    presence,
    reliable,
    routing,
    ruling,
    session_events,
    shelving,
    signals,
    suspicion,
    twin,
    views,
    waiting,
    why,
)
from myownmesh.engine.actions import LinkDown
from myownmesh.engine.core import Core
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.errors import EngineError, NoRoute, PeerNotAdmitted, PeerNotFound, ShutDown
from myownmesh.engine.governor import Governor
from myownmesh.engine.ice_snapshot import verdict
from myownmesh.engine.peer import Live, Pending
from myownmesh.engine.timers import NetworkTimer
from myownmesh.engine.timing import LEAVE_FLUSH_S
from myownmesh.protocol.capabilities import CapabilitiesTooLarge, checked
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import (
    Approve,
    CapabilitiesUpdate,
    Channel,
    NetworkState,
    RosterSummary,
    RpcRequest,
    Shelve,
    Unshelve,
)
from myownmesh.protocol.signals import (
    Leave,
)
from myownmesh.protocol.traffic import count_sent
from myownmesh.topology.hubs import MAX_HUBS
from myownmesh.topology.modes import Hubs

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh_common.events import ConnTrace, Level
    from mesh_common.views import PeerInfo, Phase, Traffic
    from myownmesh.engine.actions import Action, DescribePaths, Hop, SendReliable
    from myownmesh.engine.census import Census
    from myownmesh.engine.config import EngineConfig
    from myownmesh.engine.core import Twin
    from myownmesh.engine.diagnostics import Category
    from myownmesh.engine.ice_snapshot import IceSnapshot
    from myownmesh.engine.links import LinkEvent
    from myownmesh.engine.moves import Move
    from myownmesh.engine.peer import Link
    from myownmesh.engine.trace import Tracer
    from myownmesh.engine.why import Standing
    from myownmesh.identity import Identity
    from myownmesh.protocol.capabilities import Capabilities
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import Frame, NetworkKind
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.introduction import Introduction
    from myownmesh.protocol.modes import TopologyMode
    from myownmesh.protocol.signals import InboundSignal
    from myownmesh.roster import Roster


class Outgoing(NamedTuple):
    """An encoded frame and its links."""

    hops: tuple[Hop, ...]
    data: bytes


class Engine:
    """One network. `now` must not run backwards on its monotonic side.

    Ids that are handed in are bare and valid (spec 01 §3.4). Nothing that a peer or the room sends makes a method
    raise; commands raise `EngineError` before anything has changed.
    """

    def __init__(self, identity: Identity, network_id: str, config: EngineConfig, roster: Roster, rng: Rng) -> None:
        self._core = Core(identity, network_id, config, roster, rng)

    # ── inputs ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, now: Instant) -> None:
        """Begin: from here on peers may be dialled."""
        core = self._core
        core.diag(now, "info", "engine", "driver starting")
        config = core.config
        servers = {"stun_count": config.stun_urls, "turn_count": config.turn_urls}
        core.diag(now, "info", "engine", "options", {**servers, "auto_approve": config.auto_approve})
        core.diag(now, "debug", "engine", "timers", {"tickers": [timer.name.lower() for timer in NetworkTimer]})
        core.started_at = now.mono
        keepalive.rest(core, now)

    def signaling_is_up(self, now: Instant) -> None:
        """A way into the room works: without peers the network is now `alone` and no longer `joining`."""
        core = self._core
        if core.leaving:
            return
        if not core.signaling_up:
            core.diag(now, "info", "signaling", "drivers online")
        core.signaling_up = True
        moving.relay_is_up(core, now)
        core.refresh_phase()

    def paths_described(self, asked: DescribePaths, seen: IceSnapshot, now: Instant) -> None:
        """What the session says of `DescribePaths`. An empty snapshot is not told."""
        if not seen.is_empty:
            detail = {"peer": asked.peer, "context": asked.context, "snapshot": seen.told()}
            self._core.diag(now, asked.level, "ice", f"{short_id(asked.peer)}: {verdict(seen)}", detail)

    @property
    def governor(self) -> Governor:
        """Commands about signed governance, and the book itself."""
        return Governor(self._core)

    @property
    def kind(self) -> NetworkKind:
        """What the network is now."""
        return self._core.kind

    def has_no_relays(self, now: Instant) -> None:
        """Of the relays that `RedialRelays` means there is none: nothing has to wait for them."""
        if not self._core.leaving:
            moving.relay_is_up(self._core, now)

    def network_moved(self, move: Move, detail: dict[str, object], now: Instant) -> None:
        """This machine's network changed; `detail` is told in the diagnostics (spec 04 §7.7)."""
        if not self._core.leaving:
            moving.moved(self._core, move, detail, now)

    def woken(self, seconds: float, now: Instant) -> None:
        """This machine slept for so long, or this process stood still."""
        if not self._core.leaving:
            moving.woken(self._core, seconds, now)

    def tell(self, level: Level, category: Category, message: str, detail: dict[str, Any] | None, now: Instant) -> None:
        """Say in the diagnostics what somebody outside of the engine has noticed."""
        self._core.diag(now, level, category, message, detail)

    def be_watched(self, *, watched: bool) -> None:
        """Whether anybody reads the diagnostics; while nobody does, none are made."""
        self._core.is_watched = watched

    def receive_signal(self, item: InboundSignal, now: Instant) -> None:
        """Take one item of the room."""
        if not self._core.leaving:
            signals.receive(self._core, item, now)

    def receive_link_event(self, peer: str, epoch: int, event: LinkEvent, now: Instant) -> None:
        """Take what the session of `epoch` reports; reports of replaced sessions are ignored."""
        core = self._core
        link = core.link_with(peer, epoch)
        if link is not None and not core.leaving:
            session_events.receive(core, link, event, now)

    def receive_frame(self, peer: str, epoch: int, data: bytes, now: Instant) -> None:
        """Take one message of the data channel of `epoch`."""
        core = self._core
        if not core.leaving:
            intake.receive(core, peer, epoch, data, now)

    def frame_lost(self, peer: str, epoch: int, kind: str, now: Instant) -> None:
        """A frame of `SendFrame` did not leave within its 2 s. What nothing else repeats is said again."""
        entry = self._core.link_with(peer, epoch)
        if self._core.leaving:
            return
        if isinstance(entry, Pending | Live) and kind == Approve.KIND:
            approval.approve_lost(self._core, entry, now)
        elif isinstance(entry, Live) and kind in (Shelve.KIND, Unshelve.KIND):
            shelving.lost(self._core, entry, now)
        elif isinstance(entry, Live) and kind in (RosterSummary.KIND, NetworkState.KIND):
            gossip.lost(self._core, entry, now)

    def reliable_left(self, order: SendReliable, now: Instant, *, taken: bool) -> None:
        """What became of it: its link took the frame, or could not within 2 s."""
        entry = self._core.link_with(order.peer, order.epoch)
        if isinstance(entry, Live) and not self._core.leaving:
            if taken:
                count_sent(self._core.traffic, order.kind, len(order.data))
            reliable.left(self._core, entry, order.seq, now, was_taken=taken)

    def handle_timer(self, now: Instant) -> None:
        """Do what is due; call it at or after `next_timer()`."""
        core = self._core
        while (key := core.timers.pop_due(now.mono)) is not None:
            deadlines.handle(core, *key, now)

    def next_timer(self) -> float | None:
        """Monotonic second of the next `handle_timer`."""
        return self._core.timers.next()

    def actions(self) -> list[Action]:
        """Everything to be done since the last call, in order; the list is the caller's."""
        core = self._core
        if not core.out:
            return []
        out, core.out = core.out, []
        if core.said_at is not None:
            why.explain(core, out, core.said_at)
            core.said_at = None
        return out

    # ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def approve(self, device_id: str, label: str, now: Instant) -> None:
        """A person admits a device, seen or not."""
        self._check_open()
        if self._core.is_evicted(device_id):
            raise EngineError(approval.EVICTED)
        approval.user_approves(self._core, device_id, label, now)

    def introduce_by(self, introduce: Callable[[str, str], Introduction | None]) -> None:
        """Ask `introduce` for what a hello shows: by the peer's id and the binding of our certificate."""
        self._core.introduce = introduce

    def show_invitation(self, device_id: str, now: Instant) -> None:
        """We took an invitation of this peer: a link that waits for its approval shows it at once."""
        self._check_open()
        inviting.show_again(self._core, device_id, now)

    def note_sealing(self, device_id: str, *, seals: bool) -> None:
        """A device is known to seal its signaling, or no more: the roster remembers it."""
        core = self._core
        roster = core.roster.set_seals(device_id, seals)
        if roster is not core.roster and not core.leaving:
            core.save_roster(roster)

    def remove(self, device_id: str, now: Instant) -> None:
        """A person takes a device off the roster; its link ends as `denied`."""
        self._check_open()
        approval.user_removes(self._core, device_id, now)

    def connect(self, peer: str, pin: bool, waiter: int | None, now: Instant) -> None:
        """Dial a peer. `WaiterDone(waiter, …)` follows when it is active, dropped for good, or the network ends."""
        self._check_open()
        if peer == self._core.me:
            raise EngineError("network: this is the id of this device; name a peer's")
        if self._core.stands_aside:
            raise EngineError(twin.STANDS_ASIDE)
        dialling.connect(self._core, peer, pin=pin, waiter=waiter, now=now)

    def abandon_waiter(self, waiter: int) -> None:
        """The caller stopped waiting; the dial goes on."""
        waiting.abandon(self._core, waiter)

    def reconnect(self, peer: str | None, now: Instant) -> None:
        """Restart every link, or that to `peer`; None also redials the relays."""
        self._check_open()
        dialling.reconnect(self._core, peer, now)

    def set_topology(self, mode: TopologyMode, now: Instant) -> None:
        """Change the shape. Raises `EngineError` for more hubs than anybody could rank."""
        self._check_open()
        if isinstance(mode, Hubs) and len(mode.hubs) > MAX_HUBS:
            raise EngineError(f"topology: {len(mode.hubs)} hubs are too many; name at most {MAX_HUBS}")
        if ruling.governed_shape(self._core) is not None:
            raise EngineError(ruling.GOVERNED)
        self._core.config = replace(self._core.config, topology=mode)
        self._core.set_topology(mode)
        shelving.reevaluate(self._core, now)
        presence.reconsider_all(self._core, now)

    def set_capabilities(self, capabilities: Capabilities, now: Instant) -> None:
        """Replace the advert and tell every admitted peer. Raises `EngineError` above 48 KiB."""
        self._check_open()
        core = self._core
        try:
            core.capabilities = checked(capabilities)
        except CapabilitiesTooLarge as error:
            raise EngineError(str(error)) from error
        for peer in core.live_peers():
            if peer.takes("capabilities_update"):
                core.send(peer, CapabilitiesUpdate(capabilities=core.capabilities), now)

    def set_label(self, label: str) -> None:
        """The label of the next hello; peers that are linked keep the old one (spec 01 §2.2)."""
        self._core.label = label

    def configure(self, config: EngineConfig, now: Instant) -> None:
        """Take a changed network record. Advert and features count from the next hello on."""
        self._check_open()
        core = self._core
        unpinned = core.config.pinned_peers - config.pinned_peers
        core.pins = (core.pins - unpinned) | config.pinned_peers
        for peer in unpinned:
            core.intents.clear(peer)
        core.config = config
        ruling.configure(core, now)
        shelving.reevaluate(core, now)
        approval.reconsider_all(core, now)
        presence.reconsider_all(core, now)

    def leave(self, now: Instant) -> None:
        """Announce the departure. After it nothing but `CloseSession` comes out, 0.25 s later or at `stop`."""
        core = self._core
        if core.leaving:
            return
        core.diag(now, "info", "engine", "driver stopping", {"reason": "leaving the network"})
        core.publish(Leave())
        self._end_calls()
        core.leaving = True
        core.timers.clear()
        core.timers.set(NetworkTimer.LEAVE_FLUSH, "", now.mono + LEAVE_FLUSH_S)

    def stop(self, now: Instant) -> None:
        """Close everything at once."""
        core = self._core
        if not core.leaving:
            core.diag(now, "info", "engine", "driver stopping", {"reason": "shutdown command"})
            self._end_calls()
            core.leaving = True
        lifecycle.close_all(core)

    # ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def frame_for(self, peer: str, frame: Frame, now: Instant) -> Outgoing:
        """Encode an application frame for a peer; of its links the first that takes it does, `note_sent` hears of it.

        An admitted peer is reached by its own link, another one in a shaped network by forwarders if it is a channel
        frame. Raises `PeerNotFound`, `PeerNotAdmitted`, `NoRoute`, `FrameTooLarge`.
        """
        core = self._core
        entry = core.peers.get(peer)
        if isinstance(entry, Live) and not core.leaving:
            if type(frame) is RpcRequest and entry.upkeep.expected is None:
                self.call_goes_out(peer, now)
            return Outgoing(((peer, entry.epoch),), encode_frame(frame))
        if isinstance(frame, Channel) and core.shape.prunes and not core.leaving:
            hops = routing.hops_to(core, peer)
            if not hops:
                raise NoRoute(peer)
            return Outgoing(hops, routing.addressed(core, peer, frame))
        raise PeerNotFound(peer) if entry is None or core.leaving else PeerNotAdmitted(peer)

    def call_goes_out(self, peer: str, now: Instant) -> None:
        """The first call to a live peer for a while, by `frame_for`: something of the peer is due soon."""
        entry = self._core.peers.get(peer)
        if isinstance(entry, Live):
            suspicion.expect(self._core, entry, now)

    def broadcast(self, frame: Channel) -> Outgoing:
        """Encode a broadcast; every one of its links takes it. Raises `FrameTooLarge`."""
        core = self._core
        data = routing.addressed(core, "", frame) if core.shape.prunes else encode_frame(frame)
        return Outgoing(() if core.leaving else shelving.broadcast_targets(core), data)

    def send_reliable(self, peer: str, frame: Channel, ttl_s: float, ticket: int, now: Instant) -> None:
        """Have a frame reach a peer once, in order, however many links that takes; `SendDone(ticket, …)` follows.

        `ttl_s` is how long it may take, 0 the minute of the reference. The peer need not be linked, or known. Raises
        `EngineError` when 256 frames or 4 MiB wait for the peer, `FrameTooLarge`.
        """
        self._check_open()
        reliable.send(self._core, peer, frame, ttl_s, ticket, now)

    def note_sent(self, kind: str, nbytes: int) -> None:
        """Count an application frame that left; frames of `SendFrame` are counted already."""
        count_sent(self._core.traffic, kind, nbytes)

    # ── views ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def peers(self, now: Instant) -> list[PeerInfo]:
        """Every peer that is known, each with why it is not active."""
        core = self._core
        return [
            views.peer_info(peer, core.memories.get(name), why.verdict(core, peer, now.mono), core.roster.get(name))
            for name, peer in core.peers.items()
        ]

    def trace(self, tracer: Tracer, now: Instant) -> list[ConnTrace]:
        """What has changed in the links since this tracer looked last."""
        return tracer.look(self._core, now)

    def standings(self, now: Instant) -> list[Standing]:
        """How every peer stands: of `peers` what costs little, for whoever looks at hundreds again and again."""
        core = self._core
        return [why.standing(core, peer, now.mono) for peer in core.peers.values()]

    def census(self) -> Census:
        """How much there is of what is bounded."""
        return census.take(self._core)

    def link(self, peer: str) -> Link | None:
        """The entry of a peer that has a transport."""
        return self._core.link_to(peer)

    def is_linked(self, peer: str) -> bool:
        """Whether there is an admitted link to this peer."""
        return isinstance(self._core.peers.get(peer), Live)

    def wants_link(self, peer: str) -> bool:
        """Has the shape an edge to this peer?"""
        return self._core.wants_link(peer)

    @property
    def core(self) -> Core:
        """For the flight recorder, which takes it down."""
        return self._core

    def go_on_as(self, core: Core) -> None:
        """Be another engine, one that was recorded."""
        self._core = core

    @property
    def phase(self) -> Phase:
        return self._core.phase

    @property
    def topology(self) -> TopologyMode:
        return self._core.topology

    @property
    def capabilities(self) -> Capabilities:
        """Our advert."""
        return self._core.capabilities

    @property
    def twin(self) -> Twin | None:
        """Another process that uses our identity, if there is one."""
        return self._core.twin

    @property
    def is_put_out(self) -> bool:
        """Signed governance has put this device out of the network."""
        return self._core.government.is_down

    @property
    def left_out(self) -> tuple[str, ...]:
        """The addresses of this machine that the last gathering kept back, each with its reason."""
        return self._core.left_out

    @property
    def traffic(self) -> Traffic:
        """Counts that go on counting; what waits for an acknowledgement is looked up now."""
        traffic = self._core.traffic
        traffic.reliable_pending = sum(len(box.entries) for box in self._core.outboxes.values())
        return traffic

    @property
    def roster(self) -> Roster:
        return self._core.roster

    @property
    def pinned_peers(self) -> frozenset[str]:
        """The pins of the record and those that `connect` added."""
        return frozenset(self._core.pins)

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _check_open(self) -> None:
        if self._core.leaving:
            raise ShutDown(waiting.SHUT_DOWN)

    def _end_calls(self) -> None:
        core = self._core
        waiting.shut_down(core)
        reliable.shut_down(core, waiting.SHUT_DOWN)
        for peer in core.live_peers():
            core.out.append(LinkDown(peer.device_id, peer.epoch))
