"""The ``services`` block of ``config.json``: what this device hosts for others (spec 07 §4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from myownmesh.protocol.schema import U16, U32, U64
from myownmesh.store.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANYWHERE = "0.0.0.0"


class NodeService(Record, frozen=True, kw_only=True):
    """Whether this device joins its configured networks at all; false makes it pure infrastructure."""

    SHAPE = "struct NodeServiceConfig"
    enabled: bool = True


class RelayService(Record, frozen=True, kw_only=True):
    """Forwarding for peers that have no link of their own; `max_fanout` 0 means unlimited."""

    SHAPE = "struct RelayServiceConfig"
    enabled: bool = False
    max_fanout: U32 = 0


class SignalingLimits(Record, frozen=True, kw_only=True):
    """Limits of the hosted relay, per connection unless named otherwise; 0 lifts a limit."""

    max_event_rate: U32 = 50  # events a second
    max_req_rate: U32 = 20  # subscriptions a second
    max_subscriptions: U32 = 64
    max_filters_per_req: U32 = 16
    max_message_bytes: U32 = 65536
    max_connections_per_ip: U32 = 64


MOST_WORKERS = 64
"""Each says everything to each other one, and takes 23 MB."""


class SignalingService(Record, frozen=True, kw_only=True):
    """The hosted WebSocket relay."""

    SHAPE = "struct SignalingServiceConfig"
    enabled: bool = False
    bind: str = _ANYWHERE
    port: U16 = 4848
    limits: SignalingLimits = msgspec.field(default_factory=SignalingLimits)

    @property
    def public_url(self) -> str | None:
        """The address to advertise instead of `bind`; our own optional member (spec 10 §2.3), left out when unset."""
        value = self.unknown.get("public_url")
        return value if isinstance(value, str) and value else None

    @property
    def bus(self) -> str | None:
        """URL of the Redis that makes this relay one with others; our own optional member (spec 10 §2.3)."""
        value = self.unknown.get("bus")
        return value if isinstance(value, str) and value else None

    @property
    def workers(self) -> int:
        """Processes that serve its one address, 1 to 64; our own optional member (spec 10 §2.3)."""
        value = self.unknown.get("workers")
        return min(max(value, 1), MOST_WORKERS) if isinstance(value, int) and not isinstance(value, bool) else 1


class StunService(Record, frozen=True, kw_only=True):
    """The hosted STUN server; folded into TURN when both are on."""

    SHAPE = "struct StunServiceConfig"
    enabled: bool = False
    bind: str = _ANYWHERE
    port: U16 = 3478


class TurnCredential(Record, frozen=True, kw_only=True):
    """One long-term credential of the hosted TURN server. Never log the password."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"TurnCredential(username={self.username!r})"


class TurnTls(msgspec.Struct, frozen=True):
    """Files of the certificate for TURN over TLS; our own optional member `services.turn.tls` (spec 10 §2.3)."""

    cert_file: str
    key_file: str
    port: int = 5349


class TurnService(Record, frozen=True, kw_only=True):
    """The hosted TURN server. `max_bps_per_connection` is bytes a second each way; 0 means unlimited."""

    SHAPE = "struct TurnServiceConfig"
    enabled: bool = False
    tcp_enabled: bool = False
    bind: str = _ANYWHERE
    port: U16 = 3478
    public_ip: str = ""
    realm: str = "myownmesh"
    # Equal to the clients' default on purpose, so that a self-hosted server works without configuration.
    credentials: tuple[TurnCredential, ...] = (TurnCredential(username="guest", password="theguestpassword"),)
    max_bps_per_connection: U64 = 0
    relay_port_min: U16 = 0
    relay_port_max: U16 = 0

    @property
    def tls(self) -> TurnTls | None:
        """Where certificate and key are; None without TLS. Raises `ValueError` for a member that says neither."""
        value = self.unknown.get("tls")
        if value is None:
            return None
        try:
            tls = msgspec.convert(value, TurnTls)
        except msgspec.ValidationError as error:
            raise ValueError(f"services.turn.tls: {error}") from error
        if not 0 <= tls.port <= 65535:
            raise ValueError("services.turn.tls: `port` is from 0 to 65535")
        return tls


class ServicesConfig(Record, frozen=True, kw_only=True):
    """Everything this device hosts."""

    node: NodeService = msgspec.field(default_factory=NodeService)
    relay: RelayService = msgspec.field(default_factory=RelayService)
    signaling: SignalingService = msgspec.field(default_factory=SignalingService)
    stun: StunService = msgspec.field(default_factory=StunService)
    turn: TurnService = msgspec.field(default_factory=TurnService)

    def keeping_own_members(self, stored: ServicesConfig) -> ServicesConfig:
        """Take members that only this implementation knows from `stored` where they are absent here.

        The reference's ``ctl services enable`` sends back what it can decode, so an absent ``public_url`` does not
        mean that somebody removed it (spec 05 §14).
        """
        signaling = _with_own(self.signaling.unknown, stored.signaling.unknown, ("public_url", "bus", "workers"))
        turn = _with_own(self.turn.unknown, stored.turn.unknown, ("tls",))
        return replace(
            self,
            signaling=replace(self.signaling, unknown=signaling),
            turn=replace(self.turn, unknown=turn),
        )

    def redacted(self) -> ServicesConfig:
        """The same without passwords, for whoever shows or logs it (spec 06 §3)."""
        credentials = tuple(replace(each, password="") for each in self.turn.credentials)
        signaling = self.signaling
        if (bus := signaling.bus) is not None:
            signaling = replace(signaling, unknown={**signaling.unknown, "bus": _without_password(bus)})
        return replace(self, signaling=signaling, turn=replace(self.turn, credentials=credentials))


def _with_own(sent: Mapping[str, object], stored: Mapping[str, object], names: tuple[str, ...]) -> dict[str, object]:
    """What was sent, with stored members of these names; one that is null is unset, and left out of the file."""
    kept = {name: stored[name] for name in names if name in stored} | dict(sent)
    return {name: value for name, value in kept.items() if value is not None or name not in names}


def _without_password(url: str) -> str:
    """What stands before the host, and what is asked for behind the place, may be a secret."""
    scheme, _, rest = url.partition("//")
    return f"{scheme}//{rest.partition('?')[0].rpartition('@')[2]}"
