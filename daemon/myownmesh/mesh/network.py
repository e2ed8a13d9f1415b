"""One joined network, as local clients see it."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import trio

from mesh_common.answers import ServiceOffer
from mesh_common.switching import program_goes_on
from mesh_common.views import JoinedNetwork, NetworkSummary, OurNetwork, TwinRow
from myownmesh.mesh import clock
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.outcome import outcome
from myownmesh.mesh.rpc import CALL_CEILING_S
from myownmesh.protocol.frames import Channel
from myownmesh.protocol.ids import BadDeviceId, is_device_id, parse_device_id
from myownmesh.topology.modes import shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh_common.events import ConnTrace
    from mesh_common.views import PeerInfo, RosterRow, Traffic
    from myownmesh.engine import EngineConfig
    from myownmesh.engine.moves import Move
    from myownmesh.flight.tape import Piece, Tape
    from myownmesh.mesh.adopting import Adopting
    from myownmesh.mesh.driver import Driver
    from myownmesh.mesh.governing import Governing, Outcome
    from myownmesh.mesh.inviting import Inviting
    from myownmesh.mesh.rpc import InboundCall
    from myownmesh.protocol.capabilities import Capabilities
    from myownmesh.protocol.frames import NetworkKind
    from myownmesh.store.network_config import NetworkConfig
    from myownmesh.topology.modes import TopologyMode

BETWEEN_WAIT_S = 5.0
BETWEEN_LOOK_S = 0.01
PIN_WAIT_S = 0.001
"""Spec 05 §8.5: a pin without a wait looks once whether the peer is up."""


class Network:
    """One network: its peers, its roster, calls and channels. Made by `Mesh.add_network`."""

    def __init__(
        self,
        config: NetworkConfig,
        network_id: str,
        driver: Driver,
        tape: Tape,
        inviting: Inviting,
        governing: Governing,
        adopting: Adopting,
    ) -> None:
        self.config = config
        self.network_id = network_id
        """The wire id: normalised."""
        self.driver = driver
        self.inviting = inviting
        self.governing = governing
        self.adopting = adopting
        self._tape = tape
        self._switch = driver.switch
        self.at_join = self._as_it_is()
        """The network as it was when it was joined: what `network_add` answers, however long the save took."""

    @property
    def config_id(self) -> str:
        return self.config.id

    @property
    def names(self) -> tuple[str, str]:
        """What clients may call it: its record id and its wire id (spec 05 §5)."""
        return self.config_id, self.network_id

    @property
    def kind(self) -> NetworkKind:
        """What the network is now: signed state decides once there is any."""
        return self._switch.engine.kind

    @property
    def phase(self) -> str:
        return self._switch.engine.phase

    def _as_it_is(self) -> JoinedNetwork:
        engine = self._switch.engine
        return JoinedNetwork(self.config_id, self.network_id, self.config.label, engine.phase, shape(engine.topology))

    def summary(self) -> NetworkSummary:
        """What `networks_list` shows; its counters go on counting (spec 05 §7.3)."""
        engine = self._switch.engine
        summary = NetworkSummary(
            self.config_id,
            self.network_id,
            self.config.label,
            engine.phase,
            shape(engine.topology),
            engine.traffic,
            tuple(relay.row() for relay in self.driver.relays()),
            engine.left_out,
        )
        lan = self.driver.is_met_locally
        if engine.twin is None and not engine.is_put_out and not lan:
            return summary
        twin = None if engine.twin is None else TwinRow(engine.twin.is_proved, engine.twin.stands_aside)
        return OurNetwork(**msgspec.structs.asdict(summary), twin=twin, put_out=engine.is_put_out, lan=lan)

    @property
    def most_queued_bytes(self) -> int:
        """What waits for room on the fullest link."""
        return self._switch.most_queued_bytes

    @property
    def traffic(self) -> Traffic:
        """Its counters, which go on counting."""
        return self._switch.engine.traffic

    @property
    def under_way(self) -> int:
        """Calls, streams and messages that a restart would cut off."""
        return self._switch.rpc.under_way + self.traffic.reliable_pending

    def peers(self) -> list[PeerInfo]:
        return self._switch.peers()

    def be_watched(self, *, watched: bool) -> None:
        """Whether anybody reads events; while nobody does, no diagnostics are made."""
        self._switch.be_watched(watched=watched)

    def trace(self, on_record: Callable[[ConnTrace], None]) -> Callable[[], None]:
        """Call back with how every peer's link stands and with each change (spec 04 §9.5); returns what ends that."""
        return self._switch.trace(on_record)

    async def record(self, seconds: float) -> tuple[bytes, int]:
        """Record for so long, or with 0 take what went in lately; the file (`myownmesh.flight`) and its inputs.

        Raises `MeshError` when there is nothing to take.
        """
        if seconds:
            with trio.move_on_after(BETWEEN_WAIT_S):  # no recording begins in the midst of work on signatures
                while self._switch.engine.core.government.has_jobs:  # noqa: ASYNC110  # slices end without a word
                    await trio.sleep(BETWEEN_LOOK_S)
            end = self._tape.ask(clock.now().mono)
            try:
                await trio.sleep(seconds)
            finally:
                pieces = end()
        else:
            pieces = list(self._tape.pieces)
        if not pieces:
            raise MeshError("nothing is recorded of a network of more than 64 peers unless it is asked for: --for 1m")
        return await trio.to_thread.run_sync(_written, [piece.still() for piece in pieces], self.network_id)

    def roster(self) -> tuple[RosterRow, ...]:
        """The admitted devices in the order of their admission."""
        return self._switch.engine.roster.rows()

    # ── membership ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def approve(self, device_id: str, label: str, code: str | None = None) -> Outcome | None:
        """Admit a device and wait until that is on disk. Raises `MeshError`.

        On a closed network an authority signs it in, with its authenticator `code` if a lock is on; anybody else
        proposes it, and the row comes when somebody has signed. None where signatures do not decide.
        """
        return await self._admit(_device_id(device_id), label, code, gated=True)

    async def _admit(self, bare: str, label: str, code: str | None, *, gated: bool) -> Outcome | None:
        outcome = await self.governing.admit(bare, code, gated=gated)
        if outcome is None or outcome.effective:
            self._switch.approve(bare, label)
            self.adopting.look_soon()
            await self.driver.roster_saved()
        return outcome

    async def let_in(self, device_id: str, label: str) -> None:
        """An invitation lets a device in; whoever gave it has passed the lock for that. Raises `MeshError`."""
        await self._admit(device_id, label, None, gated=False)

    def is_removed(self, device_id: str) -> bool:
        """Whether a person has taken this device out of the roster."""
        return device_id in self._switch.engine.roster.removed_devices

    @property
    def linked(self) -> frozenset[str]:
        """Devices that this one talks to, bare ids."""
        return self._switch.engine.governor.linked

    @property
    def linked_v038(self) -> frozenset[str]:
        """Those of them that follow the reference's rules of governance only."""
        return self._switch.engine.governor.linked_v038

    @property
    def left_behind(self) -> frozenset[str]:
        """Those of them that hold a branch which does not count."""
        return self._switch.engine.governor.left_behind

    def labels(self) -> dict[str, str]:
        """Labels by bare id; what a person here called a device goes before what it calls itself."""
        labels = {peer.device_id: peer.label for peer in self.peers() if peer.label}
        return {**labels, **{parse_device_id(row.device_id): row.label for row in self.roster() if row.label}}

    def rostered(self) -> tuple[str, ...]:
        """Bare ids of the admitted devices."""
        return tuple(parse_device_id(row.device_id) for row in self.roster())

    def approved(self) -> dict[str, str]:
        """Whom a person here let in, and on which day of UTC: bare ids to, say, 2026-01-31."""
        return {row.device_id: clock.day(row.approved_at) for row in self._switch.engine.roster.entries if row.by_hand}

    @property
    def last_heard(self) -> dict[str, int]:
        """When authorities were heard last: bare ids to Unix seconds."""
        return self._switch.engine.governor.last_heard

    def is_approved(self, device_id: str) -> bool:
        """Whether the roster has this device."""
        return self._switch.engine.roster.is_authorized(device_id)

    def distrust(self, device_id: str) -> str | None:
        """Why what this device hosts waits for a person here (spec 06 K); None for what is used without asking."""
        engine = self._switch.engine
        entry = engine.roster.get(device_id)
        if entry is None:
            return "it is no member"
        if entry.by_hand:
            return None
        if self.kind == "closed" and engine.governor.book.standing.is_authority(parse_device_id(device_id)):
            return None
        return "nobody here approved this device; `myownmesh ctl roster approve` does"

    def service_offers(self) -> tuple[ServiceOffer, ...]:
        """What members host for others: first what is used, then what waits."""
        name, adopting = self.config_id, self.adopting
        used = [
            ServiceOffer(name, each.device_id, each.kind, each.urls, True, adopting.missing(each))
            for each in adopting.adopted
        ]
        waits = [ServiceOffer(name, each.device_id, each.kind, each.urls, False, each.why) for each in adopting.waiting]
        return (*used, *waits)

    def is_known_to_seal(self, device_id: str) -> bool:
        """Whether the roster remembers that this device seals its signaling."""
        entry = self._switch.engine.roster.get(device_id)
        return entry is not None and entry.seals

    def is_linked(self, device_id: str) -> bool:
        """Whether there is an admitted link to this device."""
        return self._switch.engine.is_linked(device_id)

    async def take_invitation(self, inviter: str, label: str) -> None:
        """Approve who invited us, and show the invitation on a link that is there. Raises `MeshError`."""
        if not self.is_approved(inviter):
            await self.approve(inviter, label)
        self._switch.show_invitation(inviter)

    async def remove_peer(self, device_id: str) -> None:
        """Take a device off the roster and drop its link; no error when it is not there. Raises `MeshError`."""
        self._switch.remove(_device_id(device_id))
        self.adopting.look_soon()
        await self.driver.roster_saved()

    # ── settings ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def configure(self, config: NetworkConfig, engine_config: EngineConfig) -> None:
        """Take a changed record that needs no new join."""
        self.config = config
        self._switch.configure(engine_config)
        self.adopting.look_soon()

    def set_label(self, label: str) -> None:
        """This device's label, as the next handshakes show it."""
        self._switch.set_label(label)

    def set_topology(self, mode: TopologyMode) -> None:
        """Raises `MeshError`."""
        self._switch.set_topology(mode)

    @property
    def capabilities(self) -> Capabilities:
        """Our advert."""
        return self._switch.engine.capabilities

    def set_capabilities(self, capabilities: Capabilities) -> None:
        """Replace our advert and tell every peer. Raises `MeshError`."""
        self._switch.set_capabilities(capabilities)

    # ── links ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def network_moved(self, move: Move, detail: dict[str, object]) -> None:
        """This machine's network changed; `detail` is for the diagnostics (spec 04 §7.7)."""
        self.driver.network_moved(move, detail)

    def woken(self, seconds: float) -> None:
        """This machine slept for so long, or this process stood still."""
        self._switch.woken(seconds)

    def reconnect(self, peer: str | None) -> None:
        """Renegotiate with one peer, or redial all relays and renegotiate with everybody (spec 05 §8.4)."""
        bare = None if peer is None else _peer_id(peer)
        if bare is None or is_device_id(bare):  # an unknown peer is no error, and no other text is a peer
            self._switch.reconnect(bare)

    async def connect_peer(self, peer: str, *, pin: bool, wait_ms: int) -> bool:
        """Dial a peer; True when it is active at the end of the wait. Raises `MeshError` (spec 05 §8.5)."""
        bare = _device_id(peer)
        if not wait_ms and not pin:
            self._switch.connect(bare, None, pin=False)
            return False
        with trio.move_on_after(wait_ms / 1000 if wait_ms else PIN_WAIT_S):
            if (error := await outcome(partial(self._switch.connect, bare, pin=pin))) is not None:
                raise MeshError(error)
            return True
        if not wait_ms:
            return False
        note = "the dial keeps going; the pin stays armed" if pin else "the dial keeps going"
        raise MeshError(f"network: connect to {peer} still pending after {_duration(wait_ms)} ({note})")

    # ── channels ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def post_to(self, peer: str, channel: str, payload: msgspec.Raw, on_done: Callable[[str | None], None]) -> None:
        """Send one channel frame to one peer; `on_done(error)` is called once, None when the link took it."""
        try:
            self._switch.send(_peer_id(peer), Channel(channel=channel, payload=payload), on_done)
        except MeshError as error:
            on_done(str(error))

    def post_reliable(
        self, peer: str, channel: str, payload: msgspec.Raw, ttl_s: float, on_done: Callable[[str | None], None]
    ) -> None:
        """Have one channel frame reach one peer within `ttl_s` seconds (0: a minute), over rebuilt links, too;
        `on_done(error)` is called once, None when the peer has acknowledged it."""
        try:
            self._switch.send_reliable(_peer_id(peer), channel, payload, ttl_s, on_done)
        except MeshError as error:
            on_done(str(error))

    def post_all(self, channel: str, payload: msgspec.Raw, on_done: Callable[[int], None]) -> None:
        """Send one channel frame to every peer that takes broadcasts; raises `MeshError` when it is too large."""
        self._switch.broadcast(channel, payload, on_done)

    async def send_to(self, peer: str, channel: str, payload: msgspec.Raw) -> None:
        """`post_to` for tasks. Raises `MeshError`."""
        if (error := await outcome(partial(self.post_to, peer, channel, payload))) is not None:
            raise MeshError(error)

    async def send_reliable(self, peer: str, channel: str, payload: msgspec.Raw, *, ttl_s: float = 0.0) -> None:
        """`post_reliable` for tasks; a cancelled wait does not take the frame back. Raises `MeshError`."""
        if (error := await outcome(partial(self.post_reliable, peer, channel, payload, ttl_s))) is not None:
            raise MeshError(error)

    async def send_all(self, channel: str, payload: msgspec.Raw) -> int:
        """`post_all` for tasks; returns how many links took the frame. Raises `MeshError`."""
        return await outcome(partial(self.post_all, channel, payload))

    def listen(self, channel: str, callback: Callable[[str, msgspec.Raw], None]) -> Callable[[], None]:
        """Call back with (sender, payload) for every frame of `channel`; returns what ends that."""
        return self._switch.channels.listen(channel, callback)

    # ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def call(
        self,
        peer: str,
        method: str,
        payload: msgspec.Raw,
        on_done: Callable[[msgspec.Raw | None, str | None], None],
        timeout_ms: int | None = None,
    ) -> Callable[[], None]:
        """Call a peer's method; `on_done(ok, error)` is called once unless the returned cancel is called first."""
        timeout_s = CALL_CEILING_S if timeout_ms is None else timeout_ms / 1000
        return self._switch.call(_peer_id(peer), method, payload, on_done, timeout_s)

    def call_stream(
        self,
        peer: str,
        method: str,
        payload: msgspec.Raw,
        on_chunk: Callable[[msgspec.Raw], None],
        on_end: Callable[[str | None], None],
    ) -> Callable[[], None]:
        """Call a peer's streaming method. Raises `MeshError` when the request cannot be sent."""
        return self._switch.rpc.call_stream(_peer_id(peer), method, payload, on_chunk, on_end)

    def serve(self, method: str, handler: Callable[[InboundCall], None], *, streaming: bool) -> None:
        """Serve `method` to peers; an earlier handler is replaced."""
        self._switch.rpc.serve(method, handler, streaming=streaming)

    def unserve(self, method: str) -> None:
        self._switch.rpc.unserve(method)


def _device_id(text: str) -> str:
    try:
        return parse_device_id(text)
    except BadDeviceId as error:
        raise MeshError(f"network: {error}") from error


def _peer_id(text: str) -> str:
    """The bare id; text that is no id stays as it is and ends as an unknown peer."""
    try:
        return parse_device_id(text)
    except BadDeviceId:
        return text


def _duration(ms: int) -> str:
    """Spec 05 §8.5: whole seconds as `5s`, otherwise `250ms` or `1.5s`."""
    if ms % 1000 == 0:
        return f"{ms // 1000}s"
    return f"{ms}ms" if ms < 1000 else f"{ms / 1000:g}s"


def _written(pieces: list[Piece], network_id: str) -> tuple[bytes, int]:
    from myownmesh.flight.recording import written  # for nobody who does not ask for it

    with program_goes_on():
        return written(pieces, network_id, secrets.token_bytes(16))
