"""One network's record in ``config.json`` (spec 07 §4.3); the same object travels in ``network_add`` requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import msgspec

from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star, TopologyMode

from .services_config import Unknown
from .shape import U32, ShapeError, boolean, list_of, members, nullable, string, unsigned, variant, wrong_type

if TYPE_CHECKING:
    from .shape import Decoder

DEFAULT_STUN_URL = "stun:stun.myownmesh.com:3478"
DEFAULT_TURN_URLS = (
    "turn:turn.myownmesh.com:3478",
    "turn:turn.myownmesh.com:3478?transport=tcp",
    "turns:turn.myownmesh.com:5349?transport=tcp",
)
GUEST_USER, GUEST_PASSWORD = "guest", "theguestpassword"

KINDS = ("open", "closed", "silent")
TOPOLOGIES = ("ring", "star", "hubs", "full_mesh")


class IceServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One STUN or TURN entry; STUN entries carry no credential. Never log the credential."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None
    unknown: Unknown = {}

    def __repr__(self) -> str:
        return f"IceServerConfig(urls={self.urls!r}, username={self.username!r})"

    @classmethod
    def from_stun_json(cls, value: object) -> IceServerConfig:
        """Raises `ShapeError`."""
        known, unknown = members(value, _STUN_ENTRY, required=("urls",), expected="struct StunServer")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    @classmethod
    def from_turn_json(cls, value: object) -> IceServerConfig:
        """Raises `ShapeError`."""
        known, unknown = members(value, _TURN_ENTRY, required=("urls",), expected="struct TurnServer")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    def to_stun_json(self) -> dict[str, object]:
        """The entry as it stands in ``stun_servers``."""
        return {"urls": list(self.urls), **self.unknown}

    def to_turn_json(self) -> dict[str, object]:
        """The entry as it stands in ``turn_servers``, credential included."""
        return {"urls": list(self.urls), "username": self.username, "credential": self.credential, **self.unknown}


class SignalingConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How devices of one network find each other."""

    strategy: str = "nostr"  # "none" turns remote signaling off; an unknown word attaches nothing, loudly
    mdns: bool = True
    servers: tuple[str, ...] = ()  # relay URLs; empty means the built-in list
    redundancy: int = 5
    denylist: tuple[str, ...] = ("relay.damus.io", "chorus.pjv.me")
    public_fallback: bool = True
    listen_only: bool = False
    unknown: Unknown = {}

    @classmethod
    def from_json(cls, value: object) -> SignalingConfig:
        """Raises `ShapeError`."""
        known, unknown = members(value, _SIGNALING, expected="struct SignalingConfig")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The block in schema order."""
        return {
            "strategy": self.strategy,
            "mdns": self.mdns,
            "servers": list(self.servers),
            "redundancy": self.redundancy,
            "denylist": list(self.denylist),
            "public_fallback": self.public_fallback,
            "listen_only": self.listen_only,
            **self.unknown,
        }


class NetworkConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What this device knows about one network before it joins.

    `id` is the local record id, any text; `network_id` the rendezvous name, kept as written, normalised when joining.
    """

    id: str
    network_id: str
    label: str = ""
    kind: str = "open"  # seeds a network without signed history; afterwards the state file rules
    topology: TopologyMode = msgspec.field(default_factory=FullMesh)
    topology_unknown: Unknown = {}  # unknown members inside the topology object
    signaling: SignalingConfig = msgspec.field(default_factory=SignalingConfig)
    stun_servers: tuple[IceServerConfig, ...] = (IceServerConfig(urls=(DEFAULT_STUN_URL,)),)
    turn_servers: tuple[IceServerConfig, ...] = (
        IceServerConfig(urls=DEFAULT_TURN_URLS, username=GUEST_USER, credential=GUEST_PASSWORD),
    )
    roster_path: str | None = None  # stored, ignored
    pinned_peers: tuple[str, ...] = ()  # bare device ids, dialled whenever seen
    auto_approve: bool = False
    unknown: Unknown = {}

    @property
    def compat(self) -> Mapping[str, bool]:
        """Compatibility switches of this network (spec 10 §3); they win over the root's."""
        return switches(self.unknown)

    @classmethod
    def from_json(cls, value: object) -> NetworkConfig:
        """Absent members take their defaults, unknown ones are kept. Raises `ShapeError` (spec 05 §4)."""
        known, unknown = members(value, _NETWORK, required=("id", "network_id"), expected="struct NetworkConfig")
        topology = value.get("topology") if isinstance(value, Mapping) else None
        inner = {} if topology is None else {k: v for k, v in topology.items() if k not in _TOPOLOGY_MEMBERS}
        return cls(**known, topology_unknown=inner, unknown=unknown)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The record in schema order, TURN credentials included."""
        return {
            "id": self.id,
            "network_id": self.network_id,
            "label": self.label,
            "kind": self.kind,
            "topology": {**topology_to_json(self.topology), **self.topology_unknown},
            "signaling": self.signaling.to_json(),
            "stun_servers": [server.to_stun_json() for server in self.stun_servers],
            "turn_servers": [server.to_turn_json() for server in self.turn_servers],
            "roster_path": self.roster_path,
            "pinned_peers": list(self.pinned_peers),
            "auto_approve": self.auto_approve,
            **self.unknown,
        }


def switches(unknown: Unknown) -> Mapping[str, bool]:
    """The boolean members of a ``compat`` object; anything else in it is left alone and counts as unset."""
    value = unknown.get("compat")
    if not isinstance(value, Mapping):
        return {}
    return {name: switch for name, switch in value.items() if isinstance(switch, bool)}


def topology_from_json(value: object) -> TopologyMode:
    """Decode a topology object tagged ``kind``. Raises `ShapeError` (spec 05 §4, §7.3)."""
    if not isinstance(value, Mapping):
        raise wrong_type(value, "internally tagged enum TopologyMode")
    kinds = [kind for name, kind in getattr(value, "pairs", None) or value.items() if name == "kind"]
    if not kinds:
        raise ShapeError("missing field `kind`")
    kind = variant(*TOPOLOGIES, expected="variant identifier")(kinds[0])
    if len(kinds) > 1:
        raise ShapeError("duplicate field `kind`")
    match kind:
        case "ring":
            known, _ = members(value, _RING, expected="struct variant TopologyMode::Ring")
            return Ring(n_preferred=cast("int | None", known.get("n_preferred")))
        case "star":
            known, _ = members(value, _STAR, required=("hub",), expected="struct variant TopologyMode::Star")
            return Star(hub=cast("str", known["hub"]))
        case "hubs":
            known, _ = members(value, _HUBS, required=("hubs",), expected="struct variant TopologyMode::Hubs")
            hubs = cast("tuple[str, ...]", known["hubs"])
            return Hubs(hubs=hubs, spoke_redundancy=cast("int | None", known.get("spoke_redundancy")))
        case _:
            return FullMesh()


def topology_to_json(mode: TopologyMode) -> dict[str, object]:
    """The tagged object of a topology, nullable members spelled out."""
    match mode:
        case Ring(n_preferred=n_preferred):
            return {"kind": "ring", "n_preferred": n_preferred}
        case Star(hub=hub):
            return {"kind": "star", "hub": hub}
        case Hubs(hubs=hubs, spoke_redundancy=spoke_redundancy):
            return {"kind": "hubs", "hubs": list(hubs), "spoke_redundancy": spoke_redundancy}
        case FullMesh():
            return {"kind": "full_mesh"}


_STUN_ENTRY: dict[str, Decoder[object]] = {"urls": cast("Decoder[object]", list_of(string))}
_TURN_ENTRY: dict[str, Decoder[object]] = {
    "urls": cast("Decoder[object]", list_of(string)),
    "username": nullable(string),
    "credential": nullable(string),
}
_SIGNALING: dict[str, Decoder[object]] = {
    "strategy": string,
    "mdns": boolean,
    "servers": cast("Decoder[object]", list_of(string)),
    "redundancy": unsigned(U32),
    "denylist": cast("Decoder[object]", list_of(string)),
    "public_fallback": boolean,
    "listen_only": boolean,
}
_RING: dict[str, Decoder[object]] = {"n_preferred": nullable(unsigned(U32))}
_STAR: dict[str, Decoder[object]] = {"hub": string}
_HUBS: dict[str, Decoder[object]] = {
    "hubs": cast("Decoder[object]", list_of(string)),
    "spoke_redundancy": nullable(unsigned(U32)),
}
_TOPOLOGY_MEMBERS = frozenset({"kind", *_RING, *_STAR, *_HUBS})
_NETWORK: dict[str, Decoder[object]] = {
    "id": string,
    "network_id": string,
    "label": string,
    "kind": variant(*KINDS),
    "topology": cast("Decoder[object]", topology_from_json),
    "signaling": SignalingConfig.from_json,
    "stun_servers": cast("Decoder[object]", list_of(IceServerConfig.from_stun_json)),
    "turn_servers": cast("Decoder[object]", list_of(IceServerConfig.from_turn_json)),
    "roster_path": nullable(string),
    "pinned_peers": cast("Decoder[object]", list_of(string)),
    "auto_approve": boolean,
}
