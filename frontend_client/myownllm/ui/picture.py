"""What the page shows, as one JSON object, and how two of them differ. Pure.

Members in `TABLES` are objects of rows by id, each an object of always the same members: where one member of one peer
of two hundred changes, that is all that a patch tells. Everything else is replaced as a whole. Texts of peers are cut
and cleaned here (spec 08 FE-10.7), and no credential is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import attrs
import msgspec
from msgspec.structs import asdict

from mesh_common.labels import shown
from myownllm import capabilities
from myownllm.features.screens import reason_of, sight
from myownllm.headline import verdict
from myownllm.ids import device_suffix
from myownllm.relays import shown as relay_shown
from myownllm.transfers.offer import TRANSFER_FEATURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from myownllm.catalog.model import Catalog
    from myownllm.catalog.network import SavedNetwork
    from myownllm.client import ClientState, Diag
    from myownllm.client.work import FileOffer, FileWork, Resource
    from myownllm.coerce import JsonObject
    from myownllm.inference.gate import Prompt
    from myownllm.peers import PeerEntry
    from myownllm.remote.state import RemoteState
    from myownllm.supervisor import SupervisorState

TABLES: Final = ("networks", "peers", "files", "offers", "work", "questions", "diag")
TEXT_MAX: Final = 500
"""Of sentences; names are cut to 200."""
DIAG_SHOWN: Final = 80
MODELS_SHOWN: Final = 64
CONVERSATIONS_SHOWN: Final = 50
"""Of one peer, each."""


@attrs.frozen(kw_only=True)
class Seen:
    """Everything that a picture is made of."""

    state: ClientState
    supervisor: SupervisorState
    catalog: Catalog
    label: str
    """what this device is called"""
    questions: tuple[Prompt, ...]
    diag: Iterable[tuple[int, Diag]]
    """lines with their numbers, oldest first"""
    api: str
    """where the local API listens, or why it does not"""
    remote: RemoteState
    log: str
    """the file that holds what the daemon said"""
    folder: str
    """where files of peers go"""
    kept: int
    """grows with each change of the conversations here"""
    pins: Mapping[str, str]
    """devices by what they are pinned for"""


def picture(seen: Seen) -> JsonObject:
    """The whole page."""
    state = seen.state
    ours = "" if state.published is None else state.published.app_version
    lines = [*seen.diag][-DIAG_SHOWN:]
    return {
        "headline": {k: shown(v, TEXT_MAX) for k, v in asdict(verdict(sight(state, seen.supervisor))).items()},
        "device": _device(seen),
        "supervisor": _supervisor(seen.supervisor),
        "active": seen.catalog.active_network_id,
        "mesh": _mesh(state),
        "api": shown(seen.api, TEXT_MAX),
        "remote": seen.remote.to_json(),
        "folder": shown(seen.folder, TEXT_MAX),
        "marks": _marks(seen),
        "networks": {n.id: network_row(n) for n in seen.catalog.networks},
        "peers": {p.device_pubkey: peer_row(p, ours, place, seen.pins) for place, p in enumerate(state.peers)},
        "files": {f.id: _file(f) for f in state.files},
        "offers": {o.id: _offer(o) for o in state.inbound_offers},
        "work": {r.id: _work(r) for r in state.resources},
        "questions": {str(q.id): {**q.to_json(), "literal": shown(q.literal, 4000)} for q in seen.questions},
        "diag": {str(n): {"ts": d.ts, "level": d.level, "message": shown(d.message, TEXT_MAX)} for n, d in lines},
    }


def _marks(seen: Seen) -> JsonObject:
    """Others whenever something has changed that is too large for a picture: a page that shows it asks for it anew."""
    network = seen.catalog.active
    shared: Any = None
    if network is not None:
        prompts = () if network.prompts is None else network.prompts.records
        shared = [network.permissions.to_json(), [(each.id, each.updated_at) for each in prompts]]
    return {
        "chat": _mark([seen.kept, None if seen.state.published is None else seen.state.published.told]),
        "shared": _mark([shared, seen.catalog.confirm_relaxing_policy]),
    }


def _mark(value: Any) -> int:
    return crc32(msgspec.json.encode(value))


def _device(seen: Seen) -> JsonObject:
    state, daemon = seen.state, seen.supervisor.connection
    key = state.device_id.partition("-")[0]
    return {
        "id": state.device_id,
        "suffix": device_suffix(key) if key else "",
        "label": shown(seen.label),
        "daemon_version": state.daemon_version,
        "pinned_version": state.pinned_version,
        "meets_pin": state.meets_pin,
        "update": {"state": state.daemon_update.state, "detail": shown(state.daemon_update.detail, TEXT_MAX)},
        "mode": "" if daemon is None else daemon.mode,
        "socket": "" if daemon is None else str(daemon.socket),
        "log": seen.log,
    }


def _supervisor(state: SupervisorState) -> JsonObject:
    connection = state.connection
    return {
        "state": state.state,
        "reason": shown(reason_of(state), TEXT_MAX),
        "is_up": connection is not None,
        "is_own": connection is not None and connection.owned_child,
        "notes": [shown(note, TEXT_MAX) for note in state.notes],
    }


def _mesh(state: ClientState) -> JsonObject:
    return {
        "status": state.status,
        "phase": state.phase,
        "handle": shown(state.handle or ""),
        "network": state.network,
        "accepting": state.accepting,
        "gossip": state.auto_gossip,
        "quiet": state.diag_quiet,
        "is_rediscovering": state.is_rediscovering,
        "ice_failure_at": state.recent_ice_failure_at,
        "lan": state.is_met_locally,
        "settings": {"state": state.settings.state, "text": shown(state.settings.text, TEXT_MAX)},
        "relays": None
        if state.relays is None
        else [
            {"url": relay_shown(r.url), "state": r.state, "reason": None if r.reason is None else shown(str(r.reason))}
            for r in state.relays
        ],
    }


def network_row(network: SavedNetwork) -> JsonObject:
    """A saved network. Of a TURN server it is told that there is a password, not which."""
    return {
        "id": network.id,
        "network_id": network.wire_id,
        "handle": shown(network.handle),
        "label": shown(network.label or ""),
        "kind": network.kind or "open",
        "topology": network.topology,
        "auto_approve": bool(network.auto_approve),
        "only_lan": network.is_lan_alone,
        "signaling_servers": list(network.signaling_servers),
        "stun_servers": list(network.stun_servers),
        "turn_servers": [
            {"url": t.url, "username": t.username or "", "has_password": t.credential is not None}
            for t in network.turn_servers
        ],
        "accepting": network.accepting,
        "auto_gossip": network.auto_gossip,
    }


def peer_row(peer: PeerEntry, ours: str, place: int, pins: Mapping[str, str]) -> JsonObject:
    """One device; `place` is where it stands in the list."""
    blob = peer.capabilities
    return {
        "id": peer.device_pubkey,
        "place": place,
        "label": shown(peer.label),
        "suffix": peer.device_suffix,
        "display": peer.display,
        "status": peer.status,
        "code_received": None if peer.code_received is None else shown(peer.code_received, 40),
        "code_sent": peer.code_sent,
        "remote_approved": peer.remote_approved,
        "path": peer.path,
        "rtt_ms": peer.rtt_ms,
        "needs_turn": peer.needs_turn,
        "why": None if peer.why is None else {"code": shown(peer.why[0], 40), "text": shown(peer.why[1], TEXT_MAX)},
        "summary": shown(capabilities.summary(blob)),
        "badges": [shown(badge, 40) for badge in capabilities.badges(blob)],
        "compatibility": shown(capabilities.compatibility_line(blob, ours)),
        "is_host": pins.get("text") == peer.device_pubkey,
        "takes_files": capabilities.supports(blob, TRANSFER_FEATURE),
        "models": [{"tag": shown(m.tag), "family": shown(m.family or "")} for m in blob.llms[:MODELS_SHOWN]],
        "conversations": [{"guid": shown(c.guid), "title": shown(c.title)} for c in peer.catalog[:CONVERSATIONS_SHOWN]],
    }


def _file(file: FileWork) -> JsonObject:
    return {
        "id": file.id,
        "peer_id": file.peer_id,
        "peer": shown(file.peer_label),
        "direction": file.direction,
        "name": shown(file.filename),
        "total": file.bytes_total,
        "done": file.bytes_done,
        "status": file.status,
        "error": shown(file.error, TEXT_MAX),
        "started_at": file.started_at,
        "ended_at": file.ended_at or None,
    }


def _offer(offer: FileOffer) -> JsonObject:
    return {
        "id": offer.id,
        "peer_id": offer.peer_id,
        "peer": shown(offer.peer_label),
        "name": shown(offer.filename),
        "total": offer.size_bytes,
        "started_at": offer.started_at,
        "ended_at": offer.ended_at or None,
        "expires_at": offer.expires_at,
    }


def _work(work: Resource) -> JsonObject:
    return {
        "id": work.id,
        "peer_id": work.peer_id,
        "peer": shown(work.peer_label),
        "kind": work.kind,
        "title": shown(work.title or work.family),
        "started_at": work.started_at,
        "ended_at": work.ended_at or None,
        "error": shown(work.error, TEXT_MAX),
    }


# ── differences ───────────────────────────────────────────────────────────────────────────────────────────────────────


def patch_of(before: JsonObject, now: JsonObject) -> JsonObject:
    """What of `now` is different: whole members, and of tables the members of rows, None for a row that is gone."""
    patch: JsonObject = {}
    for name, value in now.items():
        if before[name] == value:
            continue
        if name not in TABLES:
            patch[name] = value
            continue
        old: Mapping[str, JsonObject] = before[name]
        rows = {key: _changed(old.get(key, {}), row) for key, row in value.items() if old.get(key) != row}
        patch[name] = {**rows, **{key: None for key in old if key not in value}}
    return patch


def _changed(old: JsonObject, row: JsonObject) -> JsonObject:
    return {member: value for member, value in row.items() if member not in old or old[member] != value}


def merged(first: JsonObject, second: JsonObject) -> JsonObject:
    """One patch that does what both do, one after the other."""
    both = {**first, **second}
    for name in TABLES:
        if name in first and name in second:
            both[name] = {**first[name], **{key: _both(first[name].get(key), row) for key, row in second[name].items()}}
    return both


def _both(first: JsonObject | None, second: JsonObject | None) -> JsonObject | None:
    """A row that was gone before is told as a whole."""
    return second if first is None or second is None else {**first, **second}
