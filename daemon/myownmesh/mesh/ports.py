"""What the mesh needs from whoever composes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mesh_common.events import MeshEvent
    from mesh_common.views import ServicesReport
    from myownmesh.engine.links import LinkEvent
    from myownmesh.protocol.capabilities import Capabilities
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.signals import OutboundSignal
    from myownmesh.sealing.desk import Desk
    from myownmesh.signaling.driver import Signaling
    from myownmesh.store.network_config import NetworkConfig
    from myownmesh.store.services_config import ServicesConfig
    from myownmesh.transport.session import Session


class SignalingFactory(Protocol):
    """Makes the ways into one network's room; `desk` signs and opens what goes over all of them."""

    def __call__(self, record: NetworkConfig, network_id: str, desk: Desk | None) -> Sequence[Signaling]: ...


class SessionOpener(Protocol):
    """Opens a session. Its callbacks must not come from within a call into it (`transport.session`)."""

    def __call__(
        self, *, offerer: bool, on_event: Callable[[LinkEvent], None], on_frame: Callable[[bytes], None]
    ) -> Session: ...


class Outside(Value, frozen=True, kw_only=True):
    """What a switch does to the outside, all without blocking, and the clock that it reads."""

    now: Callable[[], Instant]
    """Frames leave from callbacks that know no time."""
    publish: Callable[[OutboundSignal], None]
    """Tells the room something."""
    redial: Callable[[bool], None]
    """Replaces the relay connections; True: those that are mute."""
    set_pace: Callable[[bool], None]
    """Says how often to announce us in the room; True: seldom."""
    save_roster: Callable[[], None]
    """Has the engine's roster written soon."""
    on_event: Callable[[MeshEvent], None]
    """Tells local clients."""
    wake_at: Callable[[float], None]
    """Asks for a `handle_timer` at that monotonic second or soon after; it replaces an earlier one."""


class ServiceHost(Protocol):
    """The services that this device hosts for others (spec 06)."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back when a service comes up or goes down by itself, so that the advert is another one."""
        ...

    async def apply(self, config: ServicesConfig) -> None:
        """Start, stop or restart services until they are as configured; a failed start is reported and tried again."""
        ...

    def report(self, *, joined: int) -> ServicesReport:
        """What is hosted here and what of it runs (spec 06 §3)."""
        ...

    def advert(self) -> Capabilities:
        """What the daemon itself advertises in every network (spec 06 §4)."""
        ...
