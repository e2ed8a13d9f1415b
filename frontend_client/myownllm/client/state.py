"""What the app knows about the mesh right now, as one immutable snapshot (spec 08 §5.1). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
from msgspec.structs import replace

from mesh_common.values import Value
from myownllm import phases
from myownllm.peers import CONNECTED, peer_entries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mesh_common.views import OurNetwork, PeerInfo, RelayRow, TwinRow
    from myownllm.capabilities import Capabilities
    from myownllm.catalog.model import Catalog
    from myownllm.client.work import FileOffer, FileWork, Resource, Work
    from myownllm.effects import Level
    from myownllm.peers import CatalogEntry, PeerEntry

DIAG_RING: Final = 500


class Diag(Value, frozen=True):
    """One line for the activity log; `ts` is in milliseconds, the daemon's own where it came from the daemon."""

    ts: int
    level: Level
    message: str


class Settings(Value, frozen=True):
    """What became of the last edit of the active network (the drift badge of spec 08 §10)."""

    state: Literal["", "pending", "applied", "rebuilt", "rejected", "waiting"] = ""
    """`rebuilt`: applied, and peers reconnect. `waiting`: not applied, for something runs that it would cut off"""
    text: str = ""
    """why it was rejected or waits, in the daemon's words where they are its; or what is amiss with applied ones"""


class DaemonUpdate(Value, frozen=True):
    """How far the update of a daemon that is older than the pin is (FE-3.21)."""

    state: Literal["idle", "updating", "done", "failed"] = "idle"
    detail: str = ""


class ClientState(Value, frozen=True):
    """A snapshot. `rev` grows with every change, so a reader can tell that it missed one."""

    rev: int = 0
    phase: phases.Phase = "off"
    error: str = ""
    network: str = ""
    """wire id that the client is bound to; empty while it is bound to none"""
    handle: str | None = None
    """label or wire id of the active saved network; None without one"""
    active_config_id: str = ""
    peers: tuple[PeerEntry, ...] = ()
    device_id: str = ""
    daemon_version: str = ""
    daemon_home: str | None = None
    """None from a daemon that does not tell, which is not one of ours"""
    daemon_mode: str = ""
    daemon_socket: str = ""
    pinned_version: str | None = None
    meets_pin: bool = True
    daemon_update: DaemonUpdate = DaemonUpdate()
    subscription: str = "disconnected"
    recent_ice_failure_at: int | None = None
    relays: tuple[RelayRow, ...] | None = None
    """of the bound network; None from a daemon that does not tell of them"""
    is_joining: bool = False
    """our daemon has heard from no relay of the network yet"""
    twin: TwinRow | None = None
    """another device that uses this one's identity"""
    is_put_out: bool = False
    """signed governance has put this device out of the bound network"""
    is_met_locally: bool = False
    """devices in the local network find each other in it without a relay"""
    settings: Settings = Settings()
    accepting: str = "available"
    auto_gossip: bool = True
    diag_quiet: bool = False
    """info lines of the activity log are hidden"""
    files: tuple[FileWork, ...] = ()
    """under way and ended lately, oldest first"""
    resources: tuple[Resource, ...] = ()
    inbound_offers: tuple[FileOffer, ...] = ()
    is_rediscovering: bool = False
    published: Capabilities | None = None
    """the capabilities that the daemon was told last; None before the first time (FE-7.3)"""

    @property
    def status(self) -> phases.Status:
        """The coarse status; it follows from the phase."""
        return phases.status_of(self.phase)

    @property
    def is_busy(self) -> bool:
        """Is a file, an inference or other work with a peer under way?"""
        return any(not entry.ended_at for entry in (*self.files, *self.resources))

    @property
    def connected_peers(self) -> int:
        """Peers that count in the headline: active and shelved ones."""
        return sum(p.status in CONNECTED for p in self.peers)

    @property
    def pill(self) -> str:
        """What the phase alone says; `headline` knows more."""
        return phases.pill_text(self.handle, self.phase, self.connected_peers, self.error)

    def peer(self, pubkey: str) -> PeerEntry | None:
        return next((p for p in self.peers if p.device_pubkey == pubkey), None)


class Picture:
    """The present snapshot and the rules by which it changes. Owned by the machine, painted by its procedures."""

    def __init__(self, pin: str | None) -> None:
        self.state = ClientState(pinned_version=pin)
        self.quiet = False
        """info lines are hidden (`cloud_mesh.diag_quiet`)"""
        self.has_turn = False
        """the bound network has a TURN server"""
        self.wall_ms = 0
        """now, in milliseconds since the epoch"""

    def update(self, **changes: Any) -> None:
        """A new snapshot, if anything is different."""
        changed = replace(self.state, **changes)
        if changed != self.state:
            self.state = replace(changed, rev=changed.rev + 1)

    def show_active(self, catalog: Catalog, wire_id: str) -> None:
        """Which saved network is active, its settings, and the network that the client is bound to."""
        active = catalog.active
        self.quiet = catalog.diag_quiet
        self.update(
            handle=None if active is None else active.handle,
            active_config_id="" if active is None else active.id,
            network=wire_id,
            accepting="available" if active is None else active.accepting,
            diag_quiet=catalog.diag_quiet,
            auto_gossip=True if active is None else active.auto_gossip,
        )

    def show_peers(self, rows: Iterable[PeerInfo]) -> None:
        """The rows of `peers_list`; what only the app knows about a peer is carried over."""
        peers = peer_entries(rows, {p.device_pubkey: p for p in self.state.peers})
        self.update(peers=peers)
        if any(p.status == "active" for p in peers):
            self.update(recent_ice_failure_at=None)
        elif any(p.needs_turn for p in peers) and self.state.status == "online":
            self.show_ice_failure(self.wall_ms, needs_turn=True)

    def show_work(self, work: Work) -> None:
        """What is under way with peers."""
        self.update(files=work.files, resources=work.resources, inbound_offers=work.offers)

    def show_conversations(self, pubkey: str, entries: tuple[CatalogEntry, ...]) -> None:
        """What a peer has, in the place of what it said before; a peer that nobody knows has nothing."""
        changed = (attrs.evolve(p, catalog=entries) if p.device_pubkey == pubkey else p for p in self.state.peers)
        self.update(peers=tuple(changed))

    def show_network(self, row: OurNetwork | None) -> None:
        """How the relays serve the bound network. A row that differs in its times alone is no news."""
        relays = None if row is None else row.relays
        if _standing(relays) == _standing(self.state.relays):
            relays = self.state.relays
        is_ours = self.state.daemon_home is not None  # the reference stays in this phase while it is alone
        joining = is_ours and row is not None and row.phase == "joining"
        self.update(
            relays=relays,
            is_joining=joining,
            twin=None if row is None else row.twin,
            is_put_out=row is not None and row.put_out,
            is_met_locally=row is not None and row.lan,
        )

    def show_ice_failure(self, at_ms: int, *, needs_turn: bool) -> None:
        """No direct path to a peer (FE-5.3); while another one is active that is not the headline."""
        self.update(recent_ice_failure_at=at_ms)
        if needs_turn and not any(p.status == "active" for p in self.state.peers):
            self.update(phase="ice-failed-turn-unreachable" if self.has_turn else "ice-failed-no-turn")

    def show_nothing(self) -> None:
        """The client is off."""
        self.update(
            phase="off", error="", network="", active_config_id="", peers=(), recent_ice_failure_at=None, published=None
        )
        self.show_network(None)


def _standing(relays: tuple[RelayRow, ...] | None) -> list[object] | None:
    """What a person is told of relays, without the times."""
    return None if relays is None else [(r.url, r.state, r.reason) for r in relays]
