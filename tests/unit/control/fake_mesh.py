"""A mesh without peers' machines: what control calls is recorded, what peers do is done by the test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import trio
from attrs import define, evolve, field, frozen
from msgspec import UNSET, Raw
from msgspec.structs import replace

from mesh_common.answers import NetworksForgotten
from mesh_common.events import ConnTrace
from mesh_common.views import (
    ForwardingReport,
    JoinedNetwork,
    NetworkSummary,
    NodeReport,
    RosterRow,
    ServerReport,
    ServicesReport,
    Shape,
    Traffic,
)
from myownmesh.control.control import About, Control
from myownmesh.custody.provisioning import new_enrolment
from myownmesh.governance.state_file import read_state
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.governing import Outcome
from myownmesh.store.config import MeshConfig
from myownmesh.store.network_config import NetworkConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import UnsetType

    from mesh_common.views import PeerInfo
    from myownmesh.custody import Enrolment
    from myownmesh.governance.state_file import StateFile
    from myownmesh.mesh.mesh import Mesh
    from myownmesh.mesh.network import Network
    from myownmesh.protocol.transitions import Variant
    from myownmesh.signaling.clockoffset import Skew
    from myownmesh.store.config import AutoUpdate
    from myownmesh.store.services_config import ServicesConfig

SELF = "aoqqpp7tzyil4hlq3umoos6atft6jvrqtosq2xy53sdgiesvgg4a"
PEER = "fgwlvykbxtfpbmrodkkngtily43b4utnbp7bfsexss6jgiuwnxlq"
THIRD = "evb3sl7rbfkrcr3k3sbwtw3n3sjtmznbdf4n3ikaj3qqm3fjkwoq"
LIMIT = 65_535


def traced(changed: str, rtt_ms: int | UnsetType = UNSET) -> ConnTrace:
    """A record about `PEER`."""
    return ConnTrace(
        ts_wall_ms=1,
        t_mono_ms=2,
        network_id="office-mesh",
        device_id=PEER,
        epoch=0,
        changed=(changed,),
        status="active",
        tier="steady",
        rtt_ms=rtt_ms,
        authenticated=True,
        local_shelved=False,
        remote_shelved=False,
    )


@frozen
class FakeIdentity:
    device_id: str = SELF
    label: str = "Laptop"


@define(eq=False)
class FakeCall:
    """A call that a peer makes here."""

    peer: str
    request_id: str
    method: str
    payload: Raw
    streaming: bool = False
    closed: bool = False
    on_gone: Callable[[], None] | None = None
    answers: list[tuple[object, ...]] = field(factory=list)
    blocked: list[Callable[[str | None], None]] = field(factory=list)
    """Chunks that the link has not taken; filled while `link_full`."""
    link_full: bool = False

    def respond(self, ok: Raw | None, error: str | None) -> None:
        self.closed = True
        text = None if ok is None else bytes(ok)
        if text is not None and len(text) > LIMIT:
            refusal = f"transport: frame of {len(text)} bytes exceeds the {LIMIT}-byte limit"
            self.answers.append(("response", None, refusal))
            raise MeshError(refusal)
        self.answers.append(("response", text, error))

    def post_chunk(self, payload: Raw, done: Callable[[str | None], None]) -> None:
        text = bytes(payload)
        if len(text) > LIMIT:
            refusal = f"transport: frame of {len(text)} bytes exceeds the {LIMIT}-byte limit"
            self.end(refusal)
            done(refusal)
            return
        self.answers.append(("chunk", text))
        if self.link_full:
            self.blocked.append(done)
        else:
            done(None)

    def end(self, error: str | None) -> None:
        if not self.closed:
            self.closed = True
            self.answers.append(("end", error))

    def drop_link(self) -> None:
        """The caller is gone."""
        self.closed = True
        if self.on_gone is not None:
            self.on_gone()


class FakeGoverning:
    """Signs whatever is asked for; nobody else has to."""

    async def state(self) -> tuple[StateFile, list[str]]:
        return read_state(
            b'{"version":2,"network_id":"office-mesh","kind":"open","roles":{},"transitions":[],'
            b'"pending":[],"splits":[]}'
        ), []

    async def propose(self, _variant: Variant, _code: str | None, **_options: object) -> Outcome:
        return Outcome("prop_00112233445566ff")

    async def sign(self, proposal_id: str, _code: str | None, _digest: str | None, *, keep: object) -> Outcome:
        return Outcome(proposal_id)

    async def deny(self, _proposal_id: str) -> None:
        pass

    async def withdraw(self, _proposal_id: str) -> None:
        pass


@define(eq=False)
class FakeNetwork:
    config_id: str
    network_id: str
    label: str = ""
    phase: str = "joining"
    peer_infos: list[PeerInfo] = field(factory=list)
    handlers: dict[str, tuple[Callable[[Any], None], bool]] = field(factory=dict)
    listeners: dict[str, list[Callable[[str, Raw], None]]] = field(factory=dict)
    sent: list[tuple[str, str, bytes]] = field(factory=list)
    calls: list[tuple[str, str, bytes, int | None]] = field(factory=list)
    pending: list[Callable[[Raw | None, str | None], None]] = field(factory=list)
    """Our calls that await their answer."""
    cancelled: int = 0
    streams: list[tuple[Callable[[Raw], None], Callable[[str | None], None]]] = field(factory=list)
    send_error: str | None = None
    hold_sends: list[Callable[[str | None], None]] | None = None
    done: list[tuple[object, ...]] = field(factory=list)
    """Whatever else control asked for."""
    tracers: list[Callable[[ConnTrace], None]] = field(factory=list)
    governing: FakeGoverning = field(factory=FakeGoverning)

    @property
    def names(self) -> tuple[str, str]:
        return self.config_id, self.network_id

    @property
    def at_join(self) -> JoinedNetwork:
        return JoinedNetwork(self.config_id, self.network_id, self.label, self.phase, Shape("full_mesh"))

    def summary(self) -> NetworkSummary:
        return NetworkSummary(
            self.config_id, self.network_id, self.label, self.phase, Shape("full_mesh"), Traffic(), relays=()
        )

    def peers(self) -> list[PeerInfo]:
        return self.peer_infos

    async def record(self, seconds: float) -> tuple[bytes, int]:
        self.done.append(("record", seconds))
        await trio.sleep(seconds)
        return b"recorded", 7

    def trace(self, on_record: Callable[[ConnTrace], None]) -> Callable[[], None]:
        self.tracers.append(on_record)
        on_record(traced("appeared"))
        return lambda: self.tracers.remove(on_record)

    def roster(self) -> tuple[RosterRow, ...]:
        return (RosterRow(PEER, "Phone", 1755500000, "member"),)

    async def approve(self, device_id: str, label: str, _code: str | None) -> None:
        self.done.append(("approve", device_id, label))

    async def remove_peer(self, device_id: str) -> None:
        self.done.append(("remove", device_id))

    def reconnect(self, peer: str | None) -> None:
        self.done.append(("reconnect", peer))

    async def connect_peer(self, peer: str, *, pin: bool, wait_ms: int) -> bool:
        self.done.append(("connect", peer, pin, wait_ms))
        if wait_ms:
            try:
                await trio.sleep(wait_ms / 1000)
            except trio.Cancelled:
                self.done.append(("wait cancelled", peer))
                raise
            raise MeshError(f"network: connect to {peer} still pending after {wait_ms}ms (the dial keeps going)")
        return False

    def post_to(self, peer: str, channel: str, payload: Raw, on_done: Callable[[str | None], None]) -> None:
        self.sent.append((peer, channel, bytes(payload)))
        if self.hold_sends is not None:
            self.hold_sends.append(on_done)
        else:
            on_done(self.send_error)

    def post_reliable(
        self, peer: str, channel: str, payload: Raw, ttl_s: float, on_done: Callable[[str | None], None]
    ) -> None:
        assert ttl_s >= 0.0
        self.post_to(peer, channel, payload, on_done)

    def post_all(self, channel: str, payload: Raw, on_done: Callable[[int], None]) -> None:
        self.sent.append(("*", channel, bytes(payload)))
        on_done(1)

    def listen(self, channel: str, callback: Callable[[str, Raw], None]) -> Callable[[], None]:
        listeners = self.listeners.setdefault(channel, [])
        listeners.append(callback)
        return lambda: listeners.remove(callback)

    def call(
        self,
        peer: str,
        method: str,
        payload: Raw,
        on_done: Callable[[Raw | None, str | None], None],
        timeout_ms: int | None = None,
    ) -> Callable[[], None]:
        self.calls.append((peer, method, bytes(payload), timeout_ms))
        if method == "echo":
            on_done(payload, None)
        elif method == "fail":
            on_done(None, "handler returned error: busy")
        else:
            self.pending.append(on_done)

        def cancel() -> None:
            self.cancelled += 1

        return cancel

    def call_stream(
        self,
        peer: str,
        method: str,
        payload: Raw,
        on_chunk: Callable[[Raw], None],
        on_end: Callable[[str | None], None],
    ) -> Callable[[], None]:
        if peer != PEER:
            raise MeshError(f"peer peer not found: {peer} not in active set")
        self.calls.append((peer, method, bytes(payload), None))
        self.streams.append((on_chunk, on_end))

        def cancel() -> None:
            self.cancelled += 1

        return cancel

    def serve(self, method: str, handler: Callable[[Any], None], *, streaming: bool) -> None:
        self.handlers[method] = (handler, streaming)

    def unserve(self, method: str) -> None:
        del self.handlers[method]

    # What peers do.

    def receive_call(self, request_id: str, method: str, payload: bytes = b"null", **more: Any) -> FakeCall:
        call = FakeCall(more.pop("peer", PEER), request_id, method, Raw(payload), **more)
        self.handlers[method][0](call)
        return call

    def receive(self, channel: str, payload: bytes, peer: str = PEER) -> None:
        for listener in tuple(self.listeners.get(channel, ())):
            listener(peer, Raw(payload))


class FakeCustody:
    """One lock at most."""

    def __init__(self) -> None:
        self.locked: set[str] = {"office-mesh"}

    async def is_on(self, name: str) -> bool:
        return name in self.locked

    async def enroll(self, name: str) -> Enrolment:
        self.locked.add(name)
        return new_enrolment(name, bytes)

    async def disable(self, name: str, code: str) -> None:
        self.locked.discard(name)


@define(eq=False)
class FakeDanger:
    """Deletes nothing; refuses where the test says why."""

    refusal: str | None = None
    has_begun: bool = False

    async def forget_all(self) -> NetworksForgotten:
        await self._begin()
        return NetworksForgotten(forgotten=("net_k3j2h1g0_m5x8",), restarting=True)

    async def reset(self) -> None:
        await self._begin()

    async def _begin(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise MeshError(self.refusal)
        self.has_begun = True


@define(eq=False)
class FakeMesh:
    joined: list[FakeNetwork] = field(factory=list)
    identity: FakeIdentity = field(factory=FakeIdentity)
    config: MeshConfig = field(factory=MeshConfig)
    on_network_added: list[Callable[[Any], None]] = field(factory=list)
    on_network_removed: list[Callable[[Any], None]] = field(factory=list)
    listeners: list[Callable[[Any], None]] = field(factory=list)
    done: list[tuple[object, ...]] = field(factory=list)
    skew: Skew | None = None
    custody: FakeCustody = field(factory=FakeCustody)
    danger: FakeDanger = field(factory=FakeDanger)

    def networks(self) -> list[FakeNetwork]:
        return [*self.joined]

    def clock_skew(self) -> Skew | None:
        return self.skew

    def get(self, alias: str) -> FakeNetwork | None:
        return next((network for network in self.joined if alias in network.names), None)

    def find(self, alias: str) -> FakeNetwork:
        if (network := self.get(alias)) is None:
            raise MeshError(f"unknown network: {alias}")
        return network

    def subscribe(self, callback: Callable[[Any], None]) -> Callable[[], None]:
        self.listeners.append(callback)
        return lambda: self.listeners.remove(callback)

    def emit(self, event: object) -> None:
        for listener in tuple(self.listeners):
            listener(event)

    def join(self, network: FakeNetwork) -> FakeNetwork:
        self.joined.append(network)
        for added in self.on_network_added:
            added(network)
        return network

    def leave(self, network: FakeNetwork) -> None:
        self.joined.remove(network)
        for removed in self.on_network_removed:
            removed(network)

    async def set_label(self, label: str) -> FakeIdentity:
        self.identity = evolve(self.identity, label=label)
        return self.identity

    async def add_network(self, record: NetworkConfig, code: str | None = None) -> FakeNetwork:
        if any(record.id == network.config_id for network in self.joined):
            raise MeshError(f"config id '{record.id}' already in use")
        return self.join(FakeNetwork(record.id, record.network_id, record.label))

    async def remove_network(self, alias: str, *, purge: bool) -> str:
        network = self.find(alias)
        self.done.append(("remove", alias, purge))
        self.leave(network)
        return network.config_id

    async def update_network(
        self, record: NetworkConfig, given: frozenset[str], code: str | None = None
    ) -> tuple[FakeNetwork, bool]:
        self.done.append(("update", record.id, given))
        for network in self.joined:
            if network.config_id == record.id:
                return network, network.network_id != record.network_id
        raise MeshError(f"unknown network '{record.id}' — join it with network_add first")

    async def keep_recording(self, network: FakeNetwork, data: bytes) -> Path:
        network.done.append(("keep", data))
        return Path("/home/recordings/office.jsonl")

    async def pin(self, network: FakeNetwork, peer: str) -> None:
        network.done.append(("pin", peer))

    async def set_topology(self, network: FakeNetwork, mode: object) -> None:
        network.done.append(("topology", mode))

    def set_capabilities(self, network: FakeNetwork, advert: object) -> None:
        network.done.append(("capabilities", advert))

    async def config_on_disk(self) -> MeshConfig:
        return replace(self.config, networks=(NetworkConfig(id="home", network_id="home"),))

    async def change_updates(self, change: Callable[[AutoUpdate], AutoUpdate]) -> AutoUpdate:
        self.config = replace(self.config, auto_update=change(self.config.auto_update))
        return self.config.auto_update

    def services_report(self) -> ServicesReport:
        off = ServerReport(enabled=False, running=False)
        return ServicesReport(
            NodeReport(enabled=True, joined=len(self.joined)),
            ForwardingReport(enabled=False, networks=0, max_fanout=0),
            signaling=off,
            stun=off,
            turn=off,
        )

    async def services_set(self, services: ServicesConfig) -> ServicesReport:
        self.done.append(("services", services))
        return self.services_report()


def office() -> FakeNetwork:
    return FakeNetwork("net_k3j2h1g0_m5x8", "office-mesh", "Office")


def as_mesh(fake: FakeMesh) -> Mesh:
    return cast("Mesh", fake)


def as_network(fake: FakeNetwork) -> Network:
    return cast("Network", fake)


def control_of(fake: FakeMesh, clock: Callable[[], float] = lambda: 0.0) -> Control:
    control = Control(
        as_mesh(fake), About(version="0.3.8", instance="0123456789abcdef", home=Path("/home/x/.myownmesh")), clock=clock
    )
    control.attach()
    return control
