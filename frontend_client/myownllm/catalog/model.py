"""The catalog as a value: saved networks, the active one, and what may be done with them (spec 08 §6.3, §6.5, §6.6).

Pure: reading an old or damaged file is a function from JSON to a catalog and a list of notices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from mesh_common.values import Value
from myownllm import coerce, policy
from myownllm.catalog.checking import unusable_members
from myownllm.catalog.network import USUAL_SIGNALING, SavedNetwork
from myownllm.errors import NetworkIdError, UnknownNetworkError
from myownllm.ids import comparable_network_id, normalize_network_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.coerce import JsonObject

_DAEMON_MEMBERS: Final = ("version", "identity_path", "daemon", "networks")
_LEGACY_LISTS: Final = ("signaling_servers", "stun_servers", "turn_servers")
_LEGACY_FLAT: Final = frozenset(
    {"network_id", "locked", "accepting", "use_public_turn_fallback", "auto_gossip", *_LEGACY_LISTS}
)
MEMBERS: Final = frozenset({"enabled", "networks", "active_network_id", "diag_quiet"})
OWN_MEMBERS: Final = frozenset({"strict_single_network", "confirm_relaxing_policy"})
"""Ours alone; a file that does not set them has them not."""


@attrs.frozen
class Catalog:
    """Everything the app saved about networks. Operations return a new catalog."""

    networks: tuple[SavedNetwork, ...] = ()
    active_network_id: str | None = None
    enabled: bool = False
    diag_quiet: bool = False
    strict_single_network: bool = False
    confirm_relaxing_policy: bool = True
    """a peer's policy that lets more pass waits for a person (spec 08 FE-9.42)"""
    unknown: JsonObject = attrs.field(factory=dict, repr=False)

    @property
    def active(self) -> SavedNetwork | None:
        """The record that the pointer names."""
        return self.by_id(self.active_network_id) if self.active_network_id else None

    def by_id(self, config_id: str) -> SavedNetwork | None:
        return next((n for n in self.networks if n.id == config_id), None)

    def by_wire_id(self, handle: str) -> SavedNetwork | None:
        wanted = comparable_network_id(handle)
        return next((n for n in self.networks if n.wire_id == wanted), None)

    def find(self, text: str) -> SavedNetwork | None:
        """What a person typed: local id, handle, or a label that only one network has."""
        labelled = [n for n in self.networks if n.label == text]
        return self.by_id(text) or self.by_wire_id(text) or (labelled[0] if len(labelled) == 1 else None)

    def add_network(self, record: SavedNetwork, *, activate: bool = False) -> Catalog:
        """Append a record, or leave an existing one of the same handle as it is; select it on request.

        Raises NetworkIdError for a handle that the daemon would refuse.
        """
        existing = self.by_wire_id(record.network_id)
        if existing is not None:
            return self.set_active_network(existing.id) if activate else self
        record = attrs.evolve(record, network_id=normalize_network_id(record.network_id))
        grown = attrs.evolve(self, networks=(*self.networks, record))
        return grown.set_active_network(record.id) if activate else grown

    def update_network(self, config_id: str, **changes: Any) -> Catalog:
        """Replace members of one record; its id stays. Raises UnknownNetworkError."""
        if self.by_id(config_id) is None:
            raise UnknownNetworkError(config_id)
        changes.pop("id", None)
        return attrs.evolve(
            self, networks=tuple(attrs.evolve(n, **changes) if n.id == config_id else n for n in self.networks)
        )

    def remove_network(self, config_id: str) -> Catalog:
        """Forget a record; an unknown one is no error. The pointer is cleared with its record."""
        pointer = None if self.active_network_id == config_id else self.active_network_id
        kept = tuple(n for n in self.networks if n.id != config_id)
        return attrs.evolve(self, networks=kept, active_network_id=pointer)

    def set_active_network(self, config_id: str | None) -> Catalog:
        """Select a saved network, or none. Raises UnknownNetworkError, NetworkIdError for one that cannot be joined."""
        if config_id is not None:
            record = self.by_id(config_id)
            if record is None:
                raise UnknownNetworkError(config_id)
            problem = record.problem()
            if problem is not None:
                raise NetworkIdError(f"network '{record.id}' cannot be used: {problem}")
        return attrs.evolve(self, active_network_id=config_id)

    def to_json(self) -> JsonObject:
        """The section `cloud_mesh` of the app's configuration."""
        section: JsonObject = {
            "enabled": self.enabled,
            "networks": [n.to_json() for n in self.networks],
            "active_network_id": self.active_network_id,
            "diag_quiet": self.diag_quiet,
        }
        if self.strict_single_network:
            section["strict_single_network"] = True
        if not self.confirm_relaxing_policy:
            section["confirm_relaxing_policy"] = False
        return {**section, **self.unknown}


class LoadedCatalog(Value, frozen=True):
    """A configuration after every migration: the catalog, the rest of the file, and what happened on the way."""

    catalog: Catalog
    rest: JsonObject
    """top-level members other than `cloud_mesh`, to be written back untouched"""
    recovered: int
    """networks taken out of a file that the daemon had overwritten"""
    notices: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()
    """members that somebody wrote and that count as their default, with what they must be"""
    minted_ids: bool = False
    """records without a local id got one, which must be saved to stay the same"""


def read_config(raw: JsonObject, now_ms: int, mint_id: Callable[[], str]) -> LoadedCatalog:
    """Salvage, migrate and coerce a configuration of any age (spec 08 §6.5, in its order)."""
    notices: list[str] = []
    section = dict(coerce.as_object(raw.get("cloud_mesh")))
    rest = {k: v for k, v in raw.items() if k != "cloud_mesh"}
    recovered = 0
    if _is_daemon_shape(raw):
        if not section.get("networks"):
            section["networks"] = [_from_daemon(n) for n in raw["networks"]]
            recovered = len(section["networks"])
            notices.append(f"recovered {recovered} network(s) from a configuration that a daemon had overwritten")
        rest = {k: v for k, v in rest.items() if k not in _DAEMON_MEMBERS}
    if not isinstance(section.get("networks"), list) and _is_legacy_single(section):
        section = _from_legacy_single(section, mint_id)
    entries = section.get("networks")
    records = [n for n in entries if isinstance(n, dict)] if isinstance(entries, list) else []
    networks = tuple(SavedNetwork.from_json(n, mint_id) for n in records)
    legacy = policy.legacy(rest.pop("agent_permissions", None), now_ms)
    if legacy is not None:
        networks = tuple(
            n if n.permissions.policy else attrs.evolve(n, permissions=policy.Permissions(legacy)) for n in networks
        )
    pointer = section.get("active_network_id")
    strict = section.get("strict_single_network")
    seen: set[str] = set()
    for network in networks:
        if network.wire_id in seen:
            notices.append(f"two saved networks have the handle '{network.wire_id}'; remove one of them")
        seen.add(network.wire_id)
    catalog = Catalog(
        networks=networks,
        active_network_id=pointer if any(n.id == pointer for n in networks) else None,
        enabled=section.get("enabled") is True,
        diag_quiet=section.get("diag_quiet") is True,
        strict_single_network=strict is True,
        confirm_relaxing_policy=section.get("confirm_relaxing_policy") is not False,
        unknown={k: v for k, v in section.items() if k not in MEMBERS | OWN_MEMBERS | _LEGACY_FLAT},
    )
    handled = list(zip(records, networks, strict=True))
    return LoadedCatalog(
        catalog,
        rest,
        recovered,
        tuple(notices),
        tuple(text for raw_record, network in handled for text in unusable_members(raw_record, network.handle)),
        any(raw_record.get("id") != network.id for raw_record, network in handled),
    )


def _is_daemon_shape(raw: JsonObject) -> bool:
    networks = raw.get("networks")
    return (
        isinstance(networks, list)
        and bool(networks)
        and all(isinstance(n, dict) and all(isinstance(n.get(k), str) for k in ("id", "network_id")) for n in networks)
    )


def _from_daemon(raw: JsonObject) -> JsonObject:
    """A daemon's network record back into a saved one."""
    stun = raw.get("stun_servers")
    turn = raw.get("turn_servers")
    shared = ("id", "network_id", "label", "kind", "topology", "auto_approve")
    record: JsonObject = {k: raw[k] for k in shared if k in raw}
    record["signaling_servers"] = list(coerce.strings(coerce.as_object(raw.get("signaling")).get("servers")))
    told = coerce.signaling(raw.get("signaling")) or {}
    record["signaling"] = {k: told[k] for k, usual in USUAL_SIGNALING.items() if told.get(k, usual) != usual}
    record["stun_servers"] = [
        url for s in (stun if isinstance(stun, list) else []) for url in coerce.strings(coerce.as_object(s).get("urls"))
    ]
    record["turn_servers"] = [
        {"url": urls[0], **{k: t[k] for k in ("username", "credential") if isinstance(t.get(k), str)}}
        for t in (turn if isinstance(turn, list) else [])
        if isinstance(t, dict) and (urls := coerce.strings(t.get("urls")))
    ]
    return record


def _is_legacy_single(section: JsonObject) -> bool:
    return (
        any(isinstance(section.get(k), str) for k in ("network_id", "accepting"))
        or isinstance(section.get("locked"), bool)
        or any(isinstance(section.get(k), list) for k in _LEGACY_LISTS)
    )


def _from_legacy_single(section: JsonObject, mint_id: Callable[[], str]) -> JsonObject:
    kept = {k: v for k, v in section.items() if k not in _LEGACY_FLAT}
    handle = section.get("network_id")
    if not isinstance(handle, str) or not handle:
        return {**kept, "networks": []}
    record = {"id": mint_id(), **{k: section[k] for k in _LEGACY_FLAT if k in section}}
    return {**kept, "networks": [record], "active_network_id": record["id"]}
