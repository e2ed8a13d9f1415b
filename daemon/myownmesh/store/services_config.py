"""The ``services`` block of ``config.json``: what this device hosts for others (spec 07 §4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec.structs import replace

from .shape import U16, U32, U64, boolean, list_of, members, string, unsigned

if TYPE_CHECKING:
    from .shape import Decoder

_ANYWHERE = "0.0.0.0"

Unknown = Mapping[str, object]
"""Members that this release does not know; kept and written back behind the known ones (spec 07 C2)."""


class NodeService(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this device joins its configured networks at all; false makes it pure infrastructure."""

    enabled: bool = True
    unknown: Unknown = {}

    @classmethod
    def from_json(cls, value: object) -> NodeService:
        """Raises `ShapeError`."""
        known, unknown = members(value, _NODE, expected="struct NodeServiceConfig")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The block in schema order."""
        return {"enabled": self.enabled, **self.unknown}


class RelayService(msgspec.Struct, frozen=True, kw_only=True):
    """Forwarding for peers that have no link of their own; `max_fanout` 0 means unlimited."""

    enabled: bool = False
    max_fanout: int = 0
    unknown: Unknown = {}

    @classmethod
    def from_json(cls, value: object) -> RelayService:
        """Raises `ShapeError`."""
        known, unknown = members(value, _RELAY, expected="struct RelayServiceConfig")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The block in schema order."""
        return {"enabled": self.enabled, "max_fanout": self.max_fanout, **self.unknown}


class SignalingLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the hosted relay, per connection unless named otherwise; 0 lifts a limit."""

    max_event_rate: int = 50  # events a second
    max_req_rate: int = 20  # subscriptions a second
    max_subscriptions: int = 64
    max_filters_per_req: int = 16
    max_message_bytes: int = 65536
    max_connections_per_ip: int = 64
    unknown: Unknown = {}

    @classmethod
    def from_json(cls, value: object) -> SignalingLimits:
        """Raises `ShapeError`."""
        known, unknown = members(value, _LIMITS, expected="struct SignalingLimits")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The block in schema order."""
        return {
            "max_event_rate": self.max_event_rate,
            "max_req_rate": self.max_req_rate,
            "max_subscriptions": self.max_subscriptions,
            "max_filters_per_req": self.max_filters_per_req,
            "max_message_bytes": self.max_message_bytes,
            "max_connections_per_ip": self.max_connections_per_ip,
            **self.unknown,
        }


class SignalingService(msgspec.Struct, frozen=True, kw_only=True):
    """The hosted WebSocket relay."""

    enabled: bool = False
    bind: str = _ANYWHERE
    port: int = 4848
    limits: SignalingLimits = msgspec.field(default_factory=SignalingLimits)
    unknown: Unknown = {}

    @property
    def public_url(self) -> str | None:
        """The address to advertise instead of `bind`; our own optional member (spec 10 §2.3), left out when unset."""
        value = self.unknown.get("public_url")
        return value if isinstance(value, str) and value else None

    @classmethod
    def from_json(cls, value: object) -> SignalingService:
        """Raises `ShapeError`."""
        known, unknown = members(value, _SIGNALING, expected="struct SignalingServiceConfig")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The block in schema order."""
        return {
            "enabled": self.enabled,
            "bind": self.bind,
            "port": self.port,
            "limits": self.limits.to_json(),
            **self.unknown,
        }


class StunService(msgspec.Struct, frozen=True, kw_only=True):
    """The hosted STUN server; folded into TURN when both are on."""

    enabled: bool = False
    bind: str = _ANYWHERE
    port: int = 3478
    unknown: Unknown = {}

    @classmethod
    def from_json(cls, value: object) -> StunService:
        """Raises `ShapeError`."""
        known, unknown = members(value, _STUN, expected="struct StunServiceConfig")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The block in schema order."""
        return {"enabled": self.enabled, "bind": self.bind, "port": self.port, **self.unknown}


class TurnCredential(msgspec.Struct, frozen=True, kw_only=True):
    """One long-term credential of the hosted TURN server. Never log the password."""

    username: str
    password: str
    unknown: Unknown = {}

    def __repr__(self) -> str:
        return f"TurnCredential(username={self.username!r})"

    @classmethod
    def from_json(cls, value: object) -> TurnCredential:
        """Raises `ShapeError`."""
        known, unknown = members(value, _CREDENTIAL, required=tuple(_CREDENTIAL), expected="struct TurnCredential")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The record in schema order, password included."""
        return {"username": self.username, "password": self.password, **self.unknown}


class TurnService(msgspec.Struct, frozen=True, kw_only=True):
    """The hosted TURN server. `max_bps_per_connection` is bytes a second each way; 0 means unlimited."""

    enabled: bool = False
    tcp_enabled: bool = False
    bind: str = _ANYWHERE
    port: int = 3478
    public_ip: str = ""
    realm: str = "myownmesh"
    # Equal to the clients' default on purpose, so that a self-hosted server works without configuration.
    credentials: tuple[TurnCredential, ...] = (TurnCredential(username="guest", password="theguestpassword"),)
    max_bps_per_connection: int = 0
    relay_port_min: int = 0
    relay_port_max: int = 0
    unknown: Unknown = {}

    @classmethod
    def from_json(cls, value: object) -> TurnService:
        """Raises `ShapeError`."""
        known, unknown = members(value, _TURN, expected="struct TurnServiceConfig")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The block in schema order, passwords included."""
        return {
            "enabled": self.enabled,
            "tcp_enabled": self.tcp_enabled,
            "bind": self.bind,
            "port": self.port,
            "public_ip": self.public_ip,
            "realm": self.realm,
            "credentials": [credential.to_json() for credential in self.credentials],
            "max_bps_per_connection": self.max_bps_per_connection,
            "relay_port_min": self.relay_port_min,
            "relay_port_max": self.relay_port_max,
            **self.unknown,
        }


class ServicesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything this device hosts."""

    node: NodeService = msgspec.field(default_factory=NodeService)
    relay: RelayService = msgspec.field(default_factory=RelayService)
    signaling: SignalingService = msgspec.field(default_factory=SignalingService)
    stun: StunService = msgspec.field(default_factory=StunService)
    turn: TurnService = msgspec.field(default_factory=TurnService)
    unknown: Unknown = {}

    @classmethod
    def from_json(cls, value: object) -> ServicesConfig:
        """Absent members take their defaults. Raises `ShapeError` with the reference's words (spec 05 §4)."""
        known, unknown = members(value, _SERVICES, expected="struct ServicesConfig")
        return cls(**known, unknown=unknown)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The block in schema order, passwords included."""
        return {
            "node": self.node.to_json(),
            "relay": self.relay.to_json(),
            "signaling": self.signaling.to_json(),
            "stun": self.stun.to_json(),
            "turn": self.turn.to_json(),
            **self.unknown,
        }

    def keeping_own_members(self, stored: ServicesConfig) -> ServicesConfig:
        """Take members that only this implementation knows from `stored` where they are absent here.

        The reference's ``ctl services enable`` sends back what it can decode, so an absent ``public_url`` does not
        mean that somebody removed it (spec 05 §14).
        """
        unknown = dict(self.signaling.unknown)
        if "public_url" not in unknown and (url := stored.signaling.public_url) is not None:
            unknown["public_url"] = url
        elif unknown.get("public_url", "") is None:
            del unknown["public_url"]  # whoever says null wants it unset, and an unset member is left out of the file
        return replace(self, signaling=replace(self.signaling, unknown=unknown))

    def redacted(self) -> ServicesConfig:
        """The same without passwords, for whoever shows or logs it (spec 06 §3)."""
        credentials = tuple(replace(each, password="") for each in self.turn.credentials)
        return replace(self, turn=replace(self.turn, credentials=credentials))


_NODE: dict[str, Decoder[object]] = {"enabled": boolean}
_RELAY: dict[str, Decoder[object]] = {"enabled": boolean, "max_fanout": unsigned(U32)}
_LIMITS: dict[str, Decoder[object]] = {
    name: unsigned(U32)
    for name in (
        "max_event_rate",
        "max_req_rate",
        "max_subscriptions",
        "max_filters_per_req",
        "max_message_bytes",
        "max_connections_per_ip",
    )
}
_SIGNALING: dict[str, Decoder[object]] = {
    "enabled": boolean,
    "bind": string,
    "port": unsigned(U16),
    "limits": SignalingLimits.from_json,
}
_STUN: dict[str, Decoder[object]] = {"enabled": boolean, "bind": string, "port": unsigned(U16)}
_CREDENTIAL: dict[str, Decoder[object]] = {"username": string, "password": string}
_TURN: dict[str, Decoder[object]] = {
    "enabled": boolean,
    "tcp_enabled": boolean,
    "bind": string,
    "port": unsigned(U16),
    "public_ip": string,
    "realm": string,
    "credentials": cast("Decoder[object]", list_of(TurnCredential.from_json)),
    "max_bps_per_connection": unsigned(U64),
    "relay_port_min": unsigned(U16),
    "relay_port_max": unsigned(U16),
}
_SERVICES: dict[str, Decoder[object]] = {
    "node": NodeService.from_json,
    "relay": RelayService.from_json,
    "signaling": SignalingService.from_json,
    "stun": StunService.from_json,
    "turn": TurnService.from_json,
}
