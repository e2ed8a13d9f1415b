"""One joined network, as local clients see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio

from myownmesh.engine import EngineError
from myownmesh.mesh import clock
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.rpc import CALL_CEILING_S
from myownmesh.protocol.frames import Channel
from myownmesh.protocol.ids import BadDeviceId, is_device_id, parse_device_id
from myownmesh.topology.modes import topology_json

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from myownmesh.mesh.driver import Driver
    from myownmesh.mesh.rpc import InboundCall
    from myownmesh.protocol.capabilities import Capabilities
    from myownmesh.protocol.views import PeerInfo, Traffic
    from myownmesh.store.network_config import NetworkConfig
    from myownmesh.topology.modes import TopologyMode

T = TypeVar("T")

PIN_WAIT_S = 0.001
"""Spec 05 §8.5: a pin without a wait looks once whether the peer is up."""


class Network:
    """One network: its peers, its roster, calls and channels. Made by `Mesh.add_network`."""

    def __init__(self, config: NetworkConfig, network_id: str, driver: Driver) -> None:
        self.config = config
        self.network_id = network_id
        """The wire id: normalised."""
        self.driver = driver
        self.at_join = self.summary()
        """The summary as it was when the network was joined: what `network_add` answers, however long the save took."""

    @property
    def config_id(self) -> str:
        return self.config.id

    @property
    def label(self) -> str:
        return self.config.label

    @property
    def phase(self) -> str:
        return self.driver.engine.phase

    @property
    def topology(self) -> TopologyMode:
        return self.driver.engine.topology

    @property
    def traffic(self) -> Traffic:
        return self.driver.engine.traffic

    def summary(self) -> dict[str, object]:
        """The NetworkSummary of spec 05 §7.3."""
        return {
            "config_id": self.config_id,
            "network_id": self.network_id,
            "label": self.label,
            "phase": self.phase,
            "topology": topology_json(self.topology),
            "traffic": self.traffic.to_json(),
        }

    def peers(self) -> list[PeerInfo]:
        return self.driver.engine.peers()

    def roster(self) -> list[dict[str, object]]:
        """The rows of `roster_list` in insertion order."""
        return self.driver.engine.roster.rows()

    # ── membership ───────────────────────────────────────────────────────────────────────────────────────────

    async def approve(self, device_id: str, label: str) -> None:
        """Admit a device and wait until the roster is on disk. Raises `MeshError`."""
        peer = _device_id(device_id)
        self._command(lambda: self.driver.engine.approve(peer, label, clock.now()))
        await self.driver.roster_saved()

    async def remove_peer(self, device_id: str) -> None:
        """Take a device off the roster and drop its link; no error when it is not there. Raises `MeshError`."""
        peer = _device_id(device_id)
        self._command(lambda: self.driver.engine.remove(peer, clock.now()))
        await self.driver.roster_saved()

    # ── shape and links ──────────────────────────────────────────────────────────────────────────────────────

    def set_topology(self, mode: TopologyMode) -> None:
        self._command(lambda: self.driver.engine.set_topology(mode, clock.now()))

    def set_capabilities(self, capabilities: Capabilities) -> None:
        self._command(lambda: self.driver.engine.set_capabilities(capabilities, clock.now()))

    def reconnect(self, peer: str | None) -> None:
        """Renegotiate with one peer, or redial all relays and renegotiate with everybody (spec 05 §8.4)."""
        bare = None if peer is None else _peer_id(peer)
        if bare is None or is_device_id(bare):  # an unknown peer is no error, and no other text is a peer
            self._command(lambda: self.driver.engine.reconnect(bare, clock.now()))

    async def connect_peer(self, peer: str, *, pin: bool, wait_ms: int) -> bool:
        """Dial a peer; True when it is active at the end of the wait. Raises `MeshError` (spec 05 §8.5)."""
        bare = _device_id(peer)
        if not wait_ms and not pin:
            self._connect(bare, pin=False, done=None)
            return False
        outcome: list[str | None] = []
        ended = trio.Event()

        def done(error: str | None) -> None:
            outcome.append(error)
            ended.set()

        abandon = self._connect(bare, pin=pin, done=done)
        with trio.move_on_after(wait_ms / 1000 if wait_ms else PIN_WAIT_S):
            await ended.wait()
        if not outcome:
            abandon()
            if not wait_ms:
                return False
            note = "the dial keeps going; the pin stays armed" if pin else "the dial keeps going"
            raise MeshError(f"network: connect to {peer} still pending after {_duration(wait_ms)} ({note})")
        if (error := outcome[0]) is not None:
            raise MeshError(error)
        return True

    def _connect(self, peer: str, *, pin: bool, done: Callable[[str | None], None] | None) -> Callable[[], None]:
        try:
            return self.driver.connect(peer, pin=pin, done=done)
        except EngineError as error:
            raise MeshError(str(error)) from error

    # ── channels ─────────────────────────────────────────────────────────────────────────────────────────────

    def post_to(self, peer: str, channel: str, payload: msgspec.Raw, on_done: Callable[[str | None], None]) -> None:
        """Send one channel frame to one peer; `on_done(error)` is called once, None when the link took it."""
        try:
            self.driver.send(_peer_id(peer), Channel(channel=channel, payload=payload), on_done)
        except MeshError as error:
            on_done(str(error))

    def post_all(self, channel: str, payload: msgspec.Raw, on_done: Callable[[int], None]) -> None:
        """Send one channel frame to every peer that takes broadcasts; raises `MeshError` when it is too large."""
        self.driver.broadcast(channel, payload, on_done)

    async def send_to(self, peer: str, channel: str, payload: msgspec.Raw) -> None:
        """`post_to` for tasks. Raises `MeshError`."""

        def post(done: Callable[[str | None], None]) -> None:
            self.post_to(peer, channel, payload, done)

        if (error := await _result(post)) is not None:
            raise MeshError(error)

    async def send_all(self, channel: str, payload: msgspec.Raw) -> int:
        """`post_all` for tasks; returns how many links took the frame. Raises `MeshError`."""
        return await _result(lambda done: self.post_all(channel, payload, done))

    def listen(self, channel: str, callback: Callable[[str, msgspec.Raw], None]) -> Callable[[], None]:
        """Call back with (sender, payload) for every frame of `channel`; returns what ends that."""
        return self.driver.channels.listen(channel, callback)

    # ── calls ────────────────────────────────────────────────────────────────────────────────────────────────

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
        cancel = self.driver.rpc.call(
            _peer_id(peer), method, payload, on_done, now_s=clock.now().mono, timeout_s=timeout_s
        )
        self.driver.rearm()
        return cancel

    def call_stream(
        self,
        peer: str,
        method: str,
        payload: msgspec.Raw,
        on_chunk: Callable[[msgspec.Raw], None],
        on_end: Callable[[str | None], None],
    ) -> Callable[[], None]:
        """Call a peer's streaming method. Raises `MeshError` when the request cannot be sent."""
        return self.driver.rpc.call_stream(_peer_id(peer), method, payload, on_chunk, on_end)

    def serve(self, method: str, handler: Callable[[InboundCall], None], *, streaming: bool) -> None:
        """Serve `method` to peers; an earlier handler is replaced."""
        self.driver.rpc.serve(method, handler, streaming=streaming)

    def unserve(self, method: str) -> None:
        self.driver.rpc.unserve(method)

    def _command(self, act: Callable[[], object]) -> None:
        try:
            self.driver.command(act)
        except EngineError as error:
            raise MeshError(str(error)) from error


async def _result(start: Callable[[Callable[[T], None]], None]) -> T:
    """Run a callback-style operation from a task; its own bound (2 s for sends) ends the wait."""
    results: list[T] = []
    ended = trio.Event()

    def done(result: T) -> None:
        results.append(result)
        ended.set()

    start(done)
    await ended.wait()
    return results[0]


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
