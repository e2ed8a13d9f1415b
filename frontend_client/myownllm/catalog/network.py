"""One saved network: what the app keeps about it, and the record that the daemon gets (spec 08 §6.3, §6.7).

Pure. Members that only the app knows (policy, prompts, gossip) never cross to the daemon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from mesh_common.addresses import problems, relay_address, stun_address, turn_address, usable
from myownllm import coerce
from myownllm.errors import NetworkIdError
from myownllm.ids import comparable_network_id, normalize_network_id
from myownllm.policy import Permissions
from myownllm.prompts import Prompts, prompts_from_json, tombstones_from_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.coerce import Json, JsonObject

DEFAULT_STUN: Final = ("stun:stun.l.google.com:19302", "stun:stun1.l.google.com:19302")
RETIRED_RELAYS: Final = frozenset(
    {"wss://0.peerjs.com:443/", "wss://0.peerjs.com:443/peerjs", "wss://mesh.myownllm.net/signal"}
)
RETIRED_MEMBERS: Final = frozenset({"locked", "use_public_turn_fallback"})
SEALING: Final = ("prefer", "require", "off")
"""What may be said of sealing, the usual first."""
USUAL_SIGNALING: Final[JsonObject] = {
    "strategy": "nostr", "mdns": True, "redundancy": 5, "public_fallback": True, "sealed": SEALING[0],
}  # fmt: skip
"""What daemons take where nothing is said; v0.3.8 does not know of the last one."""
LAN_ALONE: Final = "none"
"""The strategy of a network that talks to no relay."""
ACCEPTING: Final = ("available", "limited", "busy")
MEMBERS: Final = frozenset(
    {
        "id", "network_id", "label", "kind", "topology", "auto_approve", "signaling_servers", "stun_servers",
        "turn_servers", "signaling", "accepting", "auto_gossip", "agent_permissions", "held_permissions", "prompts",
        "prompt_tombstones",
    }
)  # fmt: skip


@attrs.frozen
class TurnServer:
    url: str
    username: str | None = None
    credential: str | None = attrs.field(default=None, repr=False)

    def problem(self) -> str | None:
        """Why it will let nobody through, or None."""
        if (self.username is None) == (self.credential is None):
            return None
        missing = "password" if self.credential is None else "user name"
        return f"TURN server {self.url} has no {missing}; write {self.url},user,password"

    def to_json(self) -> JsonObject:
        pairs = {"url": self.url, "username": self.username, "credential": self.credential}
        return {k: v for k, v in pairs.items() if v is not None}

    def to_daemon(self) -> JsonObject:
        pairs = {"urls": [self.url], "username": self.username, "credential": self.credential}
        return {k: v for k, v in pairs.items() if v is not None}


def turn_servers(value: Json) -> tuple[TurnServer, ...]:
    """The usable entries of a TURN list; an empty user name or password counts as none."""
    entries = value if isinstance(value, list) else []
    return tuple(
        TurnServer(e["url"], _text(e.get("username")), _text(e.get("credential")))
        for e in entries
        if isinstance(e, dict) and _text(e.get("url"))
    )


def with_sealing(signaling: JsonObject | None, mode: str) -> JsonObject:
    """How devices find each other, with another mode of sealing (spec 11 §2.2).

    What is usual is said, too: a daemon keeps what it is not told of.
    """
    return {**(signaling or {}), "sealed": mode}


def met_where(signaling: JsonObject | None, *, only_lan: bool) -> JsonObject | None:
    """How devices find each other, in the local network alone or over relays, too; what is usual is not said."""
    rest = {name: value for name, value in (signaling or {}).items() if name != "strategy"}
    return {**rest, "strategy": LAN_ALONE} if only_lan else rest or None


def signaling_servers(value: Json) -> tuple[str, ...]:
    """Relay addresses without those that are gone for good; empty means the daemon's own pool."""
    return tuple(s for s in coerce.strings(value) if s not in RETIRED_RELAYS)


def _for_any_daemon(url: str) -> str:
    """As it is spelled, if every daemon understands that: the reference knows no `WSS:` and no international name."""
    plain = url.isascii() and url.startswith(("ws://", "wss://"))
    return url if plain or not usable([url], relay_address) else relay_address(url).url


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _prompts(raw: JsonObject) -> Prompts | None:
    records, tombstones = prompts_from_json(raw.get("prompts")), tombstones_from_json(raw.get("prompt_tombstones"))
    return None if records is None and not tombstones else Prompts(records or (), tombstones)


UNSEALED_TEXT: Final = "keep nobody out: this daemon cannot seal signaling, nor refuse who does not"


@attrs.frozen
class SavedNetwork:
    """A saved network. `None` means that the member is absent in the file; `unknown` is carried through untouched."""

    id: str
    network_id: str
    signaling_servers: tuple[str, ...] = ()
    stun_servers: tuple[str, ...] = DEFAULT_STUN
    turn_servers: tuple[TurnServer, ...] = ()
    accepting: str = "available"
    auto_gossip: bool = True
    label: str | None = None
    kind: str | None = None
    topology: JsonObject | None = None
    auto_approve: bool | None = None
    signaling: JsonObject | None = None
    """how devices find each other, where that is not as usual: the members of the daemon's object but its relays"""
    permissions: Permissions = attrs.field(factory=Permissions)
    """`agent_permissions`, and `held_permissions` beside it"""
    prompts: Prompts | None = None
    """with `prompt_tombstones`"""
    unknown: JsonObject = attrs.field(factory=dict, repr=False)

    @property
    def handle(self) -> str:
        """What a person calls this network."""
        return self.label or self.wire_id

    @property
    def wire_id(self) -> str:
        """The rendezvous handle in the form that the daemon reports and compares."""
        return comparable_network_id(self.network_id)

    @property
    def is_lan_alone(self) -> bool:
        """It talks to no relay: devices in the local network meet, and no others."""
        return (self.signaling or {}).get("strategy") == LAN_ALONE

    def unkept_by(self, *, is_ours: bool) -> str:
        """What a daemon cannot do of what these settings demand, ours or the reference; empty for nothing."""
        demands = (self.signaling or {}).get("sealed") == "require"
        return UNSEALED_TEXT if demands and not is_ours else ""

    def problem(self) -> str | None:
        """Why this record cannot be joined, or None."""
        try:
            normalize_network_id(self.network_id)
        except NetworkIdError as error:
            return str(error)
        return None

    def address_problems(self) -> tuple[str, ...]:
        """What is wrong with the addresses that the daemon is not told of (spec 08 FE-6.9)."""
        return (
            *problems(self.signaling_servers, relay_address),
            *problems(self.stun_servers, stun_address),
            *problems((server.url for server in self.turn_servers), turn_address),
        )

    @classmethod
    def from_json(cls, raw: JsonObject, mint_id: Callable[[], str]) -> SavedNetwork:
        """Read one record of any age; whatever is malformed takes its default alone."""
        label = raw["label"].strip() if isinstance(raw.get("label"), str) else ""
        stun = raw.get("stun_servers")
        accepting = raw.get("accepting")
        gossip, approve, kind = raw.get("auto_gossip"), raw.get("auto_approve"), raw.get("kind")
        return cls(
            id=_text(raw.get("id")) or mint_id(),
            network_id=raw["network_id"] if isinstance(raw.get("network_id"), str) else "",
            signaling_servers=signaling_servers(raw.get("signaling_servers")),
            stun_servers=coerce.strings(stun) if isinstance(stun, list) else DEFAULT_STUN,
            turn_servers=turn_servers(raw.get("turn_servers")),
            accepting=accepting if accepting in ACCEPTING else "available",
            auto_gossip=gossip if isinstance(gossip, bool) else True,
            label=label or None,
            kind=kind if kind in ("open", "closed") else None,
            topology=coerce.topology(raw.get("topology")),
            auto_approve=approve if isinstance(approve, bool) else None,
            signaling=coerce.signaling(raw.get("signaling")),
            permissions=Permissions.from_json(raw.get("agent_permissions"), raw.get("held_permissions")),
            prompts=_prompts(raw),
            unknown={k: v for k, v in raw.items() if k not in MEMBERS and k not in RETIRED_MEMBERS},
        )

    def to_json(self) -> JsonObject:
        """The record as it is saved; absent members stay absent."""
        optional = {
            "label": self.label,
            "kind": self.kind,
            "topology": self.topology,
            "auto_approve": self.auto_approve,
            "signaling": self.signaling,
            "agent_permissions": None if self.permissions.policy is None else self.permissions.policy.to_json(),
            "held_permissions": self.permissions.held_json(),
            "prompts": None if self.prompts is None else [p.to_json() for p in self.prompts.records],
            "prompt_tombstones": None if self.prompts is None else self.prompts.tombstones_json(),
        }
        return {
            "id": self.id,
            "network_id": self.network_id,
            "signaling_servers": list(self.signaling_servers),
            "stun_servers": list(self.stun_servers),
            "turn_servers": [t.to_json() for t in self.turn_servers],
            "accepting": self.accepting,
            "auto_gossip": self.auto_gossip,
            **{k: v for k, v in optional.items() if v is not None},
            **self.unknown,
        }

    def to_daemon(self) -> JsonObject:
        """The record of `network_add` and `network_update`: exactly these members (spec 08 FE-6.9).

        Addresses that cannot be used are left out. Relays of which none can be used are not: without any the daemon
        would take its own, and a private network would be seen there. It refuses them and says why.
        """
        relays = usable(self.signaling_servers, relay_address) or self.signaling_servers
        stun = usable(self.stun_servers, stun_address)
        return {
            "id": self.id,
            "network_id": self.wire_id,
            "label": self.label or "",
            "kind": self.kind or "open",
            "topology": self.topology or {"kind": "ring", "n_preferred": None},
            "signaling": {
                "strategy": "nostr",
                **(self.signaling or {}),
                "servers": [_for_any_daemon(url) for url in relays],
            },
            "stun_servers": [{"urls": list(stun)}] if stun else [],
            "turn_servers": [t.to_daemon() for t in self.turn_servers if usable([t.url], turn_address)],
            "auto_approve": self.auto_approve or False,
        }
