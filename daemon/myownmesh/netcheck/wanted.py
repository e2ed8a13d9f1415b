"""Which servers a look asks: those that the networks of this device use, or those that a new network would have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from mesh_common.addresses import RelayAddress, ServerAddress, relay_address, stun_address, turn_address, usable
from myownmesh.signaling.relays import select_relays
from myownmesh.signaling.room import remote_driver
from myownmesh.store.network_config import NetworkConfig
from myownmesh.transport.session import IceServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


MOST_SERVERS: Final = 64
"""All are asked at once, and each takes a socket; a device in twenty networks has the same few servers in each."""


class Server(Struct, frozen=True):
    """One server. One address with two passwords is two. Never log the credential."""

    kind: str
    url: str
    address: RelayAddress | ServerAddress
    username: str | None = None
    credential: str | None = None
    from_member: bool = False

    def __repr__(self) -> str:
        return f"Server({self.url!r})"

    @property
    def over(self) -> str:
        if self.kind == "relay":
            return "tls" if getattr(self.address, "tls", False) else "tcp"
        scheme, transport = getattr(self.address, "scheme", ""), getattr(self.address, "transport", "udp")
        return "tls" if scheme == "turns" else transport


class Wanted(Struct, frozen=True):
    """What one device's networks want."""

    servers: dict[Server, tuple[str, ...]]
    """With the record ids of the networks that use each."""
    networks: tuple[str, ...]
    lan_networks: tuple[str, ...]


class Adopted(Struct, frozen=True):
    """What a running daemon uses beside a record, of members."""

    relays: tuple[str, ...] = ()
    ice: tuple[IceServer, ...] = ()


NOTHING: Final = Adopted()


def wanted(records: Sequence[tuple[NetworkConfig, Adopted]], app_id: str) -> Wanted:
    """Of these networks; without any, of a new one. What is no address that this release can use is left out."""
    found: dict[Server, list[str]] = {}
    for record, adopted in records or [(NetworkConfig(id="", network_id=""), NOTHING)]:
        for server in (*_configured(record, app_id), *_adopted(adopted)):
            if server in found or len(found) < MOST_SERVERS:
                users = found.setdefault(server, [])
                if record.id and record.id not in users:
                    users.append(record.id)
    return Wanted(
        {server: tuple(users) for server, users in found.items()},
        tuple(record.id for record, _ in records),
        tuple(record.id for record, _ in records if record.signaling.mdns and not record.signaling.listen_only),
    )


def _configured(record: NetworkConfig, app_id: str) -> Iterable[Server]:
    signaling = record.signaling
    if remote_driver(signaling.strategy) == "nostr":
        chosen = select_relays(app_id, signaling.servers, signaling.redundancy, signaling.denylist)
        yield from (Server("relay", url, relay_address(url)) for url in chosen)
    for stun in record.stun_servers:
        yield from (Server("stun", url, stun_address(url)) for url in usable(stun.urls, stun_address))
    for turn in record.turn_servers:
        yield from _turn(turn.urls, turn.username, turn.credential)


def _adopted(adopted: Adopted) -> Iterable[Server]:
    for url in usable(adopted.relays, relay_address):
        yield Server("relay", url, relay_address(url), from_member=True)
    for each in adopted.ice:
        for url in usable(each.urls, stun_address):
            yield Server("stun", url, stun_address(url), from_member=True)
        yield from _turn(each.urls, each.username, each.credential, from_member=True)


def _turn(
    urls: Sequence[str], username: str | None, credential: str | None, *, from_member: bool = False
) -> Iterable[Server]:
    for url in usable(urls, turn_address):
        yield Server("turn", url, turn_address(url), username, credential, from_member)
