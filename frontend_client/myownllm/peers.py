"""A peer as a person sees it, from what the daemon reports about it (spec 08 §5.5). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from myownllm import capabilities
from myownllm.coerce import as_object, is_number
from myownllm.ids import short_display

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from myownllm.coerce import Json, JsonObject

PeerStatus = Literal[
    "active", "shelved", "pending_approval", "pending_remote", "handshaking", "reconnecting", "offline", "failed"
]
CONNECTED: Final = ("active", "shelved")

_PLAIN: Final[dict[str, PeerStatus]] = {
    "sighted": "handshaking",
    "handshaking": "handshaking",
    "shelved": "shelved",
    "reconnecting": "reconnecting",
    "offline": "offline",
    "dropped": "offline",
    "error": "failed",
}


def ui_status(raw: JsonObject) -> PeerStatus:
    """The status to show; a word that no daemon is known to send counts as a handshake under way."""
    word = raw.get("status")
    if word in ("active", "approved"):
        return "shelved" if raw.get("local_shelved") is True and raw.get("remote_shelved") is True else "active"
    if word in ("pending_approval", "authenticated"):
        waiting = raw.get("local_approve_sent") is True and raw.get("remote_approve_seen") is not True
        return "pending_remote" if waiting else "pending_approval"
    return _PLAIN.get(word, "handshaking") if isinstance(word, str) else "handshaking"


def path_class(pair: Json) -> str | None:
    """LAN, STUN or TURN for a selected candidate pair; None while there is none."""
    if not isinstance(pair, dict):
        return None
    ends = {pair.get("local"), pair.get("remote")}
    if "relay" in ends:
        return "TURN"
    return "LAN" if ends == {"host"} else "STUN"


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
    capabilities: dict[str, Any] = attrs.field(repr=False)
    catalog: tuple[Any, ...] = attrs.field(repr=False)
    local_shelved: bool
    remote_shelved: bool
    announced_label: str
    rtt_ms: int | None
    clock_skew_ms: int | None
    needs_turn: bool
    path: str | None

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
            "capabilities": self.capabilities,
            "catalog": list(self.catalog),
            "local_shelved": self.local_shelved,
            "remote_shelved": self.remote_shelved,
            "rtt_ms": self.rtt_ms,
            "clock_skew_ms": self.clock_skew_ms,
            "needs_turn": self.needs_turn,
            "path": self.path,
        }


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _optional_text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _optional_int(value: Json) -> int | None:
    return int(value) if is_number(value) else None


def peer_entry(raw: JsonObject, previous_catalog: Iterable[Json] = ()) -> PeerEntry:
    """Map one record of `peers_list`. The catalog is not in it: it is carried over from the entry before."""
    key, suffix = _text(raw.get("device_id")), _text(raw.get("device_suffix"))
    received = _optional_text(raw.get("verification_code_received"))
    sent = _optional_text(raw.get("verification_code_sent"))
    label = _text(raw.get("label"))
    return PeerEntry(
        device_pubkey=key,
        device_suffix=suffix,
        label=label or key[:8],
        status=ui_status(raw),
        authorized=raw.get("authenticated") is True,
        local_approved=raw.get("local_approve_sent") is True,
        remote_approved=raw.get("remote_approve_seen") is True,
        verification_code=received if received is not None else sent or "",
        code_received=received,
        code_sent=sent,
        capabilities=capabilities.unpack(raw.get("capabilities")),
        catalog=tuple(previous_catalog),
        local_shelved=raw.get("local_shelved") is True,
        remote_shelved=raw.get("remote_shelved") is True,
        announced_label=label,
        rtt_ms=_optional_int(raw.get("rtt_ms")),
        clock_skew_ms=_optional_int(raw.get("clock_skew_ms")),
        needs_turn=raw.get("needs_turn") is True,
        path=path_class(raw.get("selected_pair")),
    )


def peer_rows(answer: object) -> list[JsonObject]:
    """The rows in an answer of `peers_list`. What a peer says of itself is read by `peer_entry`, member by member."""
    rows = as_object(answer).get("peers")
    return [r for r in rows if isinstance(r, dict)] if isinstance(rows, list) else []


def peer_entries(rows: Sequence[JsonObject], previous: Mapping[str, PeerEntry]) -> tuple[PeerEntry, ...]:
    """Map the rows of `peers_list`, sorted so that a list does not jump; connected peers first."""
    entries = [
        peer_entry(r, previous[k].catalog if isinstance(k := r.get("device_id"), str) and k in previous else ())
        for r in rows
    ]
    return tuple(sorted(entries, key=lambda p: (p.status not in CONNECTED, p.label.casefold(), p.device_pubkey)))
