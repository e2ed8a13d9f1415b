"""What a person changes in the saved networks, whether typed as a command or on the screen: the same words. Pure.

Each change is a function of the catalog, for `CatalogFile.mutate`. What cannot be used raises AppError, in its words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from mesh_common.addresses import problems, turn_address
from myownllm.catalog.checking import setting_problems
from myownllm.catalog.envelope import import_envelope
from myownllm.catalog.network import DEFAULT_STUN, SavedNetwork, TurnServer
from myownllm.errors import AppError, NoNetworkError
from myownllm.ids import DEVICE_ID, bare_id, normalize_network_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from myownllm.catalog.model import Catalog
    from myownllm.coerce import JsonObject

CLEARED: Final[dict[str, tuple[str, Any]]] = {
    "label": ("label", None),
    "kind": ("kind", None),
    "topology": ("topology", None),
    "auto-approve": ("auto_approve", None),
    "relays": ("signaling_servers", ()),
    "stun": ("stun_servers", DEFAULT_STUN),
    "turn": ("turn_servers", ()),
    "accepting": ("accepting", "available"),
    "gossip": ("auto_gossip", True),
}
"""By the word that a person has for it: member of the record and its value when nobody has set it."""


def added(catalog: Catalog, record: SavedNetwork, given: dict[str, Any], *, activate: bool) -> Catalog:
    """A record more; of one that is saved already under its name only the members in `given` change."""
    existing = catalog.by_wire_id(record.network_id)
    grown = catalog.add_network(record, activate=activate)
    return grown if existing is None else grown.update_network(existing.id, **given)


def read_settings(text: str | bytes) -> JsonObject:
    """The settings that `networks export` printed. Raises AppError, also for values that cannot be used."""
    settings = import_envelope(text)
    if settings is None:
        raise AppError("these are no network settings; make them with `myownllm networks export`")
    normalize_network_id(settings["network_id"])
    if wrong := setting_problems(SavedNetwork.from_json(settings, lambda: "")):
        raise AppError("; ".join(wrong))
    return settings


def imported(catalog: Catalog, settings: dict[str, Any], new_id: str, *, activate: bool) -> Catalog:
    """Transport lists and `accepting` always come from the settings, the optional members only when they are there."""
    record = SavedNetwork.from_json({**settings, "id": new_id, "kind": settings.get("network_kind")}, lambda: new_id)
    record = attrs.evolve(record, unknown={})
    existing = catalog.by_wire_id(record.network_id)
    if existing is None:
        return catalog.add_network(record, activate=activate)
    optional = {k: getattr(record, k) for k in ("label", "kind", "topology", "auto_approve", "signaling")}
    lists = {k: getattr(record, k) for k in ("signaling_servers", "stun_servers", "turn_servers", "accepting")}
    changed = catalog.update_network(existing.id, **lists, **{k: v for k, v in optional.items() if v is not None})
    return changed.set_active_network(existing.id) if activate else changed


def joined(catalog: Catalog, settings: dict[str, Any], new_id: str) -> Catalog:
    """The network of these settings becomes the active one; of one that is saved already nothing else changes."""
    existing = catalog.by_wire_id(settings["network_id"])
    if existing is not None:
        return catalog.set_active_network(existing.id)
    return imported(catalog, settings, new_id, activate=True)


def find(catalog: Catalog, name: str) -> SavedNetwork:
    """The saved network that a person means."""
    found = catalog.find(name)
    if found is None:
        saved = ", ".join(n.wire_id for n in catalog.networks) or "none"
        raise AppError(f"no saved network '{name}' (saved: {saved})")
    return found


def need_active(catalog: Catalog) -> SavedNetwork:
    """The active network. Raises NoNetworkError."""
    if catalog.active is None:
        raise NoNetworkError
    return catalog.active


def checked(values: Iterable[str] | None, read: Callable[[str], object]) -> tuple[str, ...]:
    """`values` as they are spelled, each an address that `read` takes."""
    given = tuple(values or ())
    if wrong := problems(given, read):
        raise AppError(wrong[0])
    return given


def turn_server(url: str, username: str | None, credential: str | None) -> TurnServer:
    """One TURN server; an empty user name or password is none."""
    checked([url], turn_address)
    server = TurnServer(url, username or None, credential or None)
    if (problem := server.problem()) is not None:
        raise AppError(problem)
    return server


def topology_of(text: str) -> JsonObject:
    """A topology as a person writes it: `ring`, `ring:2`, `full_mesh`, `star:DEVICE`, `hubs:DEVICE,DEVICE`."""
    kind, _, rest = text.partition(":")
    match kind:
        case "full_mesh" if not rest:
            return {"kind": "full_mesh"}
        case "ring" if not rest:
            return {"kind": "ring"}
        case "ring" if rest.isascii() and rest.isdigit() and int(rest) > 0:
            return {"kind": "ring", "n_preferred": int(rest)}
        case "star" if rest:
            return {"kind": "star", "hub": _device(rest)}
        case "hubs" if rest:
            return {"kind": "hubs", "hubs": [_device(each) for each in rest.split(",")]}
        case _:
            raise AppError(f"'{text}' is no topology; write ring, ring:2, full_mesh, star:DEVICE or hubs:DEVICE,DEVICE")


def _device(text: str) -> str:
    key = bare_id(text)
    if DEVICE_ID.match(key) is None:
        raise AppError(f"'{text}' is no whole device id; `myownllm peers --json` and `myownllm label` show them")
    return key
