"""All probes at once, under one deadline: a server that says nothing costs its own row and nobody else's."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, Literal, cast

import trio
from msgspec.structs import replace

from mesh_common.addresses import RelayAddress, ServerAddress
from mesh_common.groups import leaves
from mesh_common.netcheck import Clock, Ipv6, Multicast, Nat, ServerRow, Surroundings, Udp
from myownmesh.mesh import clock
from myownmesh.netcheck import multicast, relays, turn
from myownmesh.netcheck.asking import Refused, addresses_of, datagrams, error_code, over_stream
from myownmesh.netcheck.judgement import judged
from myownmesh.signaling.lan_access import VARIABLE
from myownmesh.signaling.timepiece import Timepiece
from myownmesh.signaling.tls import OutOfDate, secured
from myownmesh.signaling.websocket import connect_reasons
from myownmesh.transport.interfaces import FAR_AWAY, host_addresses, source_address
from myownmesh.turn.stun import A_MAPPED, BINDING, REQUEST, read_address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from mesh_common.netcheck import Netcheck
    from myownmesh.netcheck.asking import Datagrams
    from myownmesh.netcheck.wanted import Server, Wanted
    from myownmesh.signaling.clockoffset import Skew
    from myownmesh.turn.stun import Address

LIMIT_S: Final = 1.5
"""For all probes together; a command with its start is to end within three seconds."""


async def check(
    wanted: Wanted, environment: Mapping[str, str], *, known: Skew | None = None, limit_s: float = LIMIT_S
) -> Netcheck:
    """Look at everything that `wanted` names, for `limit_s` at most, and say what it means.

    `known`: how wrong the clock is by what others have said before; what relays say now goes before it.
    """
    return judged(await measure(wanted, environment, known=known, limit_s=limit_s))


async def measure(
    wanted: Wanted, environment: Mapping[str, str], *, known: Skew | None = None, limit_s: float = LIMIT_S
) -> Surroundings:
    """The same without the judgement."""
    look = _Look(wanted, known, limit_s)
    since = trio.current_time()
    with trio.move_on_after(limit_s):
        await look.run(environment)
    return look.found(round(1000 * (trio.current_time() - since)))


class _Look:
    """One look. Each probe writes what it found as soon as it has it; what is not written has not answered."""

    def __init__(self, wanted: Wanted, known: Skew | None, limit_s: float) -> None:
        self._wanted = wanted
        self._known = known
        self._timepiece = Timepiece(clock.now, clock.steady)
        self._offered = host_addresses().offered
        self._rows = {server: _row(server, users, limit_s) for server, users in wanted.servers.items()}
        self._seen: dict[Address, Address] = {}
        """How our one IPv4 socket looks to each server."""
        self._seen_by_6 = False
        self._multicast = Multicast(reason="there was no time for it")

    async def run(self, environment: Mapping[str, str]) -> None:
        async with AsyncExitStack() as opened:
            sockets = await self._sockets(opened)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._local, environment)
                for server in self._rows:
                    if server.kind == "relay":
                        nursery.start_soon(self._timed, server, self._relay)
                        continue
                    if server.over == "udp":
                        nursery.start_soon(self._binding, server, sockets)
                    if server.kind == "turn":
                        nursery.start_soon(self._timed, server, self._turn)

    async def _sockets(self, opened: AsyncExitStack) -> dict[int, Datagrams]:
        found: dict[int, Datagrams] = {}
        for family in (trio.socket.AF_INET, trio.socket.AF_INET6):
            try:
                found[int(family)] = await opened.enter_async_context(datagrams(family))
            except OSError:
                continue  # a machine without this family
        return found

    async def _local(self, environment: Mapping[str, str]) -> None:
        if environment.get(VARIABLE, "").lower() == "off":
            self._multicast = Multicast(state="off", reason=f"{VARIABLE} is off")
            return
        addresses = [each.address for each in self._offered if ":" not in each.address]
        self._multicast = await multicast.look(addresses)

    # ── one server ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _timed(self, server: Server, probe: Callable[[Server], Awaitable[None]]) -> None:
        since = trio.current_time()
        try:
            await probe(server)
        except* Refused as group:
            self._rows[server] = replace(self._rows[server], reason=str(leaves(group)[0]))
        else:
            self._works(server, 1000 * (trio.current_time() - since))

    def _works(self, server: Server, took_ms: float) -> None:
        self._rows[server] = replace(self._rows[server], ok=True, ms=round(took_ms), reason=None)

    async def _relay(self, server: Server) -> None:
        assert isinstance(server.address, RelayAddress)
        await relays.question(server.address, self._timepiece)

    async def _binding(self, server: Server, sockets: Mapping[int, Datagrams]) -> None:
        """How this device looks from there; of a STUN server that is its row, too."""
        since = trio.current_time()
        assert isinstance(server.address, ServerAddress)
        try:
            places = await addresses_of(server.address.host, server.address.port)
        except Refused as error:
            self._without(server, str(error))
            return
        usable = [(sockets[family], family, place) for family, place in places if family in sockets]
        async with trio.open_nursery() as nursery:
            for socket, family, place in usable:
                nursery.start_soon(self._bound, server, socket, family, place, since)

    async def _bound(self, server: Server, socket: Datagrams, family: int, place: Address, since: float) -> None:
        try:
            answer, took_ms = await socket.of(place)(REQUEST | BINDING)
        except Refused as error:
            if family == trio.socket.AF_INET:
                self._without(server, str(error))
            return
        value = answer.get(A_MAPPED)
        seen = None if value is None else read_address(value, answer.transaction)
        if error_code(answer) is not None or seen is None:
            self._without(server, "its answer names no address")
            return
        if family == trio.socket.AF_INET:
            self._seen[place] = seen
        else:
            self._seen_by_6 = True
        if server.kind == "stun" and not self._rows[server].ok:
            self._works(server, took_ms)

    def _without(self, server: Server, reason: str) -> None:
        if server.kind == "stun" and not self._rows[server].ok:
            self._rows[server] = replace(self._rows[server], reason=reason)

    async def _turn(self, server: Server) -> None:
        assert isinstance(server.address, ServerAddress)
        if server.over == "udp":
            (family, place), *_ = await addresses_of(server.address.host, server.address.port)
            try:
                async with datagrams(family) as socket:  # one of its own: an address is lent to a socket
                    await turn.lend(socket.of(place), server.username, server.credential)
            except OSError as error:
                raise Refused(error.strerror or str(error)) from error
            return
        stream = await _connected(server)
        try:
            await turn.lend(over_stream(stream), server.username, server.credential)
        finally:
            await trio.aclose_forcefully(stream)

    # ── the whole ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def found(self, took_ms: int) -> Surroundings:
        rows = tuple(self._rows.values())
        skew = self._timepiece.skew() or self._known
        return Surroundings(
            addresses=tuple(each.address for each in self._offered),
            networks=self._wanted.networks,
            lan_networks=self._wanted.lan_networks,
            udp=Udp(state=self._udp(rows)),
            ipv6=self._ipv6(),
            nat=Nat(state=nat_of(self._seen, [each.address for each in self._offered]), seen_as=_shown(self._seen)),
            clock=None if skew is None else Clock(ahead_ms=skew.ahead_ms, by=skew.basis),
            multicast=self._multicast,
            servers=rows,
            took_ms=took_ms,
        )

    def _udp(self, rows: tuple[ServerRow, ...]) -> Literal["open", "blocked", "unknown"]:
        if self._seen or self._seen_by_6 or any(row.ok and row.over == "udp" for row in rows):
            return "open"
        asked = any(row.over == "udp" for row in rows)
        return "blocked" if asked and any(row.ok for row in rows) else "unknown"

    def _ipv6(self) -> Ipv6:
        address = source_address(FAR_AWAY[1])
        if self._seen_by_6:
            return Ipv6(state="works", address=address)
        return Ipv6() if address is None else Ipv6(state="address", address=address)


def nat_of(
    seen: Mapping[Address, Address], ours: Sequence[str]
) -> Literal["none", "independent", "dependent", "unknown"]:
    """What translates addresses on the way out, from how one socket looks to each of several servers. Pure.

    A server in the local network sees the socket as it is, whatever is between this network and others.
    """
    beyond = {server: look for server, look in seen.items() if look[0] not in ours}
    if not beyond:
        return "none" if seen else "unknown"
    if len(set(beyond.values())) > 1:
        return "dependent"
    return "independent" if len({host for host, _ in beyond}) > 1 else "unknown"


def _shown(seen: Mapping[Address, Address]) -> tuple[str, ...]:
    return tuple(sorted({f"{host}:{port}" for host, port in seen.values()}))


def _row(server: Server, users: tuple[str, ...], limit_s: float) -> ServerRow:
    return ServerRow(
        kind=cast("Literal['relay', 'stun', 'turn']", server.kind),
        url=server.url,
        over=cast("Literal['udp', 'tcp', 'tls']", server.over),
        networks=users,
        reason=f"no answer within {limit_s:g} s",
        from_member=server.from_member,
    )


async def _connected(server: Server) -> trio.abc.Stream:
    """TCP or TLS to a TURN server. Raises `Refused`."""
    assert isinstance(server.address, ServerAddress)
    host, port = server.address.host, server.address.port
    try:
        stream: trio.abc.Stream = await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise Refused(f"{host}:{port} cannot be connected to: {connect_reasons(error)}") from error
    except ValueError as error:  # a name that no resolver takes
        raise Refused(f"{host}:{port} cannot be connected to: {error}") from error
    if server.over != "tls":
        return stream
    async with AsyncExitStack() as unless_secured:
        unless_secured.push_async_callback(trio.aclose_forcefully, stream)
        try:
            stream = await secured(stream, host)
        except OutOfDate as error:
            raise Refused("its certificate is not valid at the time that this device's clock shows") from error
        except trio.BrokenResourceError as error:
            raise Refused(f"TLS failed: {error.__cause__ or error}") from error
        unless_secured.pop_all()
    return stream
