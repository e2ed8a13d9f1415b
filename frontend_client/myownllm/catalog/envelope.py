"""Network settings in a form that can be given to another device: export and import (spec 08 FE-6.7, FE-6.8). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from myownllm import coerce
from myownllm.catalog.network import ACCEPTING, signaling_servers, turn_servers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownllm.catalog.network import SavedNetwork
    from myownllm.coerce import Json, JsonObject

KIND: Final = "myownllm.network-settings"
ACCEPTED_KINDS: Final = (KIND, "myownmesh.network-settings")
VERSION: Final = 1


def export_envelope(network: SavedNetwork) -> JsonObject:
    """Everything that another device needs to join: no local id, policy or prompts. Holds TURN passwords."""
    optional = {
        "label": network.label,
        "network_kind": network.kind,
        "topology": network.topology,
        "auto_approve": network.auto_approve,
        "signaling": network.signaling,
    }
    return {
        "kind": KIND,
        "version": VERSION,
        "network_id": network.network_id,
        **{k: v for k, v in optional.items() if v is not None},
        "signaling_servers": list(network.signaling_servers),
        "stun_servers": list(network.stun_servers),
        "turn_servers": [t.to_json() for t in network.turn_servers],
        "accepting": network.accepting,
    }


def import_envelope(text: str | bytes) -> JsonObject | None:
    """A canonical envelope from what someone pasted, or None when it is not recognised."""
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return _canonical(raw)


def invited_settings(told: Mapping[str, Json] | None) -> JsonObject | None:
    """The envelope that a link holds, as the daemon tells it (spec 11 §1.1), or None when it is not recognised.

    STUN servers that the link does not name are the usual ones.
    """
    settings = _canonical(told)
    if settings is not None and told is not None and "stun_servers" not in told:
        del settings["stun_servers"]
    return settings


def _canonical(raw: Json) -> JsonObject | None:
    if not isinstance(raw, dict) or raw.get("kind") not in ACCEPTED_KINDS or not isinstance(raw.get("network_id"), str):
        return None
    label = raw["label"].strip() if isinstance(raw.get("label"), str) else ""
    kind, approve, accepting = raw.get("network_kind"), raw.get("auto_approve"), raw.get("accepting")
    optional = {
        "label": label or None,
        "network_kind": kind if kind in ("open", "closed") else None,
        "topology": coerce.topology(raw.get("topology")),
        "auto_approve": approve if isinstance(approve, bool) else None,
        "signaling": coerce.signaling(raw.get("signaling")),
    }
    return {
        "kind": KIND,
        "version": VERSION,
        "network_id": raw["network_id"],
        **{k: v for k, v in optional.items() if v is not None},
        "signaling_servers": list(signaling_servers(raw.get("signaling_servers"))),
        "stun_servers": list(coerce.strings(raw.get("stun_servers"))),
        "turn_servers": [t.to_json() for t in turn_servers(raw.get("turn_servers"))],
        "accepting": accepting if accepting in ACCEPTING else "available",
    }
