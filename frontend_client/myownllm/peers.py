"""A peer as a person sees it, from what the daemon reports about it (spec 08 §5.5). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import attrs
from attrs import validators

from mesh_common.views import CapabilityAdvert, PeerInfo
from myownllm import capabilities
from myownllm.coerce import as_object, tolerant
from myownllm.ids import bare_id, short_display

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mesh_common.views import RosterRow, SelectedPair, TurnPath
    from myownllm.capabilities import Capabilities
    from myownllm.coerce import Json, JsonObject

PeerStatus = Literal[
    "active", "shelved", "pending_approval", "pending_remote", "handshaking", "reconnecting", "offline", "failed"
]
CONNECTED: Final = ("active", "shelved")
_TEXT_MAX_CHARS: Final = 64
"""Of a conversation's id, its mode and its time."""

_PLAIN: Final[dict[str, PeerStatus]] = {
    "sighted": "handshaking",
    "handshaking": "handshaking",
    "shelved": "shelved",
    "reconnecting": "reconnecting",
    "offline": "offline",
    "dropped": "offline",
    "error": "failed",
}


def ui_status(info: PeerInfo) -> PeerStatus:
    """The status to show; a word that no daemon is known to send counts as a handshake under way."""
    if info.status in ("active", "approved"):
        return "shelved" if info.local_shelved and info.remote_shelved else "active"
    if info.status in ("pending_approval", "authenticated"):
        return "pending_remote" if info.local_approve_sent and not info.remote_approve_seen else "pending_approval"
    return _PLAIN.get(info.status, "handshaking")


def path_class(pair: SelectedPair | None) -> str | None:
    """LAN, STUN or TURN for a selected candidate pair; None while there is none."""
    if pair is None:
        return None
    if "relay" in (pair.local, pair.remote):
        return "TURN"
    return "LAN" if pair.local == pair.remote == "host" else "STUN"


def signaling_word(sealed: bool | None) -> str:
    """How a link was set up, in a word; empty where that is not known."""
    return "" if sealed is None else "sealed" if sealed else "clear"


@attrs.frozen
class CatalogEntry:
    """One conversation of a device, as it announces it (spec 08 §9.8)."""

    guid: str = attrs.field(validator=validators.max_len(_TEXT_MAX_CHARS))
    title: str = ""
    mode: str = attrs.field(default="text", validator=validators.max_len(_TEXT_MAX_CHARS))
    updated_at: str = attrs.field(default="", validator=validators.max_len(_TEXT_MAX_CHARS))
    """ISO 8601"""
    path: str = ""
    """folder; empty for the root"""
    pending_move: bool = False

    def to_json(self) -> JsonObject:
        told: JsonObject = {"guid": self.guid, "title": self.title, "mode": self.mode, "updated_at": self.updated_at}
        if self.path:
            told["path"] = self.path
        if self.pending_move:
            told["pending_move"] = True
        return told


@attrs.frozen
class PeerEntry:
    """One peer of the bound network."""

    device_pubkey: str
    device_suffix: str
    label: str
    status: PeerStatus
    authorized: bool
    local_approved: bool
    remote_approved: bool
    verification_code: str
    code_received: str | None
    code_sent: str | None
    capabilities: Capabilities = attrs.field(repr=False)
    catalog: tuple[CatalogEntry, ...] = attrs.field(repr=False)
    """its conversations, as far as it has told"""
    local_shelved: bool
    remote_shelved: bool
    announced_label: str
    rtt_ms: int | None
    clock_skew_ms: int | None
    needs_turn: bool
    path: str | None
    turn: TurnPath | None = None
    """what a path over TURN goes by; None for others, and of daemons that do not say"""
    why: tuple[str, str] | None = None
    """why it is not active: the daemon's code and sentence (docs/why.md)"""
    sealed: bool | None = None
    """whether relays could not read how the link was set up; None before it was, and of daemons that do not say"""

    @property
    def display(self) -> str:
        """`abcdefgh…0A1B2`"""
        return short_display(self.device_pubkey, self.device_suffix)

    def to_json(self) -> JsonObject:
        return {
            "peer_id": self.device_pubkey,
            "device_pubkey": self.device_pubkey,
            "device_suffix": self.device_suffix,
            "device_id_display": self.display,
            "label": self.label,
            "status": self.status,
            "authorized": self.authorized,
            "approver_role": False,  # both sides show both codes
            "local_approved": self.local_approved,
            "remote_approved": self.remote_approved,
            "verification_code": self.verification_code,
            "code_received": self.code_received,
            "code_sent": self.code_sent,
            "reconnect_attempts": 0,
            "next_reconnect_at": None,
            "capabilities": self.capabilities.told,
            "catalog": [entry.to_json() for entry in self.catalog],
            "local_shelved": self.local_shelved,
            "remote_shelved": self.remote_shelved,
            "rtt_ms": self.rtt_ms,
            "clock_skew_ms": self.clock_skew_ms,
            "needs_turn": self.needs_turn,
            "path": self.path,
            "sealed": self.sealed,
            "why": None if self.why is None else {"code": self.why[0], "text": self.why[1]},
        }


def away_entries(roster: Iterable[RosterRow], known: Iterable[PeerEntry], me: str) -> list[PeerEntry]:
    """Approved devices that are not among the known ones; `me` is this device, which a closed network's roster has."""
    seen = {*(p.device_pubkey for p in known), bare_id(me)}
    away = (PeerInfo(device_id=row.device_id, status="offline", label=row.label) for row in roster)
    return [peer_entry(info) for info in away if info.device_id not in seen]


def peer_entry(info: PeerInfo, previous_catalog: tuple[CatalogEntry, ...] = ()) -> PeerEntry:
    """Map one row of `peers_list`. The catalog is not in it: it is carried over from the entry before."""
    announced = capabilities.announced_label(info.capabilities) or info.label
    received, sent = info.verification_code_received, info.verification_code_sent
    return PeerEntry(
        device_pubkey=info.device_id,
        device_suffix=info.device_suffix,
        label=announced or info.device_id[:8],
        status=ui_status(info),
        authorized=info.authenticated,
        local_approved=info.local_approve_sent,
        remote_approved=info.remote_approve_seen,
        verification_code=received if received is not None else sent or "",
        code_received=received,
        code_sent=sent,
        capabilities=capabilities.unpack(info.capabilities),
        catalog=previous_catalog,
        local_shelved=info.local_shelved,
        remote_shelved=info.remote_shelved,
        announced_label=announced,
        rtt_ms=info.rtt_ms,
        clock_skew_ms=info.clock_skew_ms,
        needs_turn=info.needs_turn,
        path=path_class(info.selected_pair),
        turn=info.turn,
        sealed=info.sealed,
        why=None if info.why is None else (info.why.code, info.why.text),
    )


def peer_info(row: Json) -> PeerInfo:
    """One row of `peers_list`. What is wrong with what a peer says of itself spoils nothing else."""
    advert = tolerant(CapabilityAdvert, as_object(row).get("capabilities"))
    return tolerant(PeerInfo, row, device_id="", status="", capabilities=advert)


def peer_rows(answer: object) -> tuple[PeerInfo, ...]:
    """The rows in an answer of `peers_list`."""
    rows = as_object(answer).get("peers")
    return tuple(peer_info(row) for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()


def peer_entries(rows: Iterable[PeerInfo], previous: Mapping[str, PeerEntry]) -> tuple[PeerEntry, ...]:
    """Map the rows of `peers_list`, sorted so that a list does not jump; connected peers first."""
    entries = [peer_entry(r, previous[r.device_id].catalog if r.device_id in previous else ()) for r in rows]
    return tuple(sorted(entries, key=lambda p: (p.status not in CONNECTED, p.label.casefold(), p.device_pubkey)))
