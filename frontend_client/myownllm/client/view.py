"""The state of the app's mesh half as JSON, for the door (spec 08 §5.1). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from myownllm import capabilities
from myownllm.client.work import ResourceKind

if TYPE_CHECKING:
    from myownllm.client.state import ClientState
    from myownllm.coerce import JsonObject
    from myownllm.peers import PeerEntry

_PLAIN: Final = (
    "phase", "error", "network", "handle", "active_config_id", "device_id", "daemon_version", "daemon_mode",
    "daemon_socket", "pinned_version", "meets_pin", "subscription", "recent_ice_failure_at", "accepting",
    "auto_gossip", "diag_quiet", "is_rediscovering",
)  # fmt: skip


def to_json(state: ClientState) -> JsonObject:
    """Every member that a screen may show; `rev` grows with every change."""
    ours = "" if state.published is None else state.published.app_version
    resources: dict[str, list[Any]] = {kind: [] for kind in get_args(ResourceKind)}
    for entry in state.resources:
        resources[entry.kind].append(entry.to_json())
    return {
        "rev": state.rev,
        "status": state.status,
        "pill": state.pill,
        **{name: getattr(state, name) for name in _PLAIN},
        "peers": [_peer(peer, ours) for peer in state.peers],
        "files": {
            direction: [f.to_json() for f in state.files if f.direction == direction]
            for direction in ("outbound", "inbound")
        },
        "resources": resources,
        "inbound_offers": [offer.to_json() for offer in state.inbound_offers],
        "daemon_update": {"state": state.daemon_update.state, "detail": state.daemon_update.detail},
        "settings": {"state": state.settings.state, "text": state.settings.text},
        "capabilities": None if state.published is None else state.published.told,
    }


def _peer(peer: PeerEntry, ours: str) -> JsonObject:
    blob = peer.capabilities
    return {
        **peer.to_json(),
        "summary": capabilities.summary(blob),
        "badges": capabilities.badges(blob),
        "compatibility": capabilities.compatibility_line(blob, ours),
    }


def patch(before: JsonObject, now: JsonObject) -> JsonObject:
    """The members of `now` that are different."""
    return {name: value for name, value in now.items() if name not in before or before[name] != value}
