"""The UDP sockets of the worker: those that clients come to, and those that it relays at."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import TYPE_CHECKING, Final

from myownmesh.worker.sockets import CannotListen, bound, resolved

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BUFFER_BYTES: Final = 4 << 20
"""Wanted for the socket that all clients share; the system may give less."""
TRIES: Final = 8
"""For a port that is free for every transport and address at once."""
_EVEN_TRIES: Final = 40
"""For an even port: every other one that the system gives is, and no client is to hear that there was none."""
MOST_ADDRESSES: Final = 64
ANYWHERE: Final = "0.0.0.0"


class Datagrams:
    """The UDP sockets that clients come to: one for each address, so that an answer comes from where the question went.

    A single socket on `0.0.0.0` would answer from whatever address the route prefers, and most clients hear no other
    than the one that they asked.
    """

    def __init__(self, bind: str, port: int) -> None:
        """Raises `CannotListen`. Port 0 takes a free one, the same for all addresses."""
        self._bind = bind
        self._family, self.host = resolved(bind)
        self._is_everywhere = ipaddress.ip_address(self.host).is_unspecified
        self.port = port
        self.sockets: dict[str, socket.socket] = {}

    def follow(self, machine: Iterable[str]) -> list[socket.socket]:
        """Open what this machine's addresses have that is not open yet; those that are new are returned.

        Sockets of addresses that are gone stay until they come back or the worker ends: they cost nothing and hear
        nothing. Raises `CannotListen` when the port is somebody else's.
        """
        made: list[socket.socket] = []
        wanted = sorted(filter(self._serves, machine)) if self._is_everywhere else [self.host]
        for ip in [each for each in wanted if each not in self.sockets][: MOST_ADDRESSES - len(self.sockets)]:
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            try:
                one = bound(family, socket.SOCK_DGRAM, ip, self.port, ip, buffer_bytes=_BUFFER_BYTES)
            except CannotListen as error:
                if self._is_everywhere and error.errno == errno.EADDRNOTAVAIL:  # gone again, or not usable yet
                    continue
                self.close(made)
                raise
            self.port = one.getsockname()[1]
            self.sockets[ip] = one
            made.append(one)
        if not self.sockets:
            raise CannotListen(errno.EADDRNOTAVAIL, f"cannot listen on UDP {self._bind}: this machine has no address")
        return made

    def close(self, which: Iterable[socket.socket]) -> None:
        for one in which:
            one.close()
        self.sockets = {ip: one for ip, one in self.sockets.items() if one.fileno() >= 0}

    def _serves(self, ip: str) -> bool:
        address = ipaddress.ip_address(ip.partition("%")[0])
        if address.version == 4:
            return True
        return self._family == socket.AF_INET6 and not address.is_link_local  # which of many links, it does not say


def window(first: int, last: int) -> range:
    """The ports to relay at; empty: any that the system gives (spec 06 §1)."""
    return range(first, max(first, last) + 1) if first else range(0)


def open_relay(ports: Sequence[int], *, even: bool, told: str = ANYWHERE) -> socket.socket | None:
    """A socket on the first of these ports that is free; any of the system's when there are none; None without one.

    `told` is the IPv4 address that clients are told, and the relay is there, if it is this machine's: from everywhere,
    packets would leave from whichever address the route prefers, and peers drop what comes from another one than the
    relayed address. A router's address cannot be bound, and from loopback no other machine is reached.
    """
    hosts = (ANYWHERE,) if ipaddress.ip_address(told).is_loopback else (told, ANYWHERE)
    for port in ports or (0,) * _EVEN_TRIES:
        if even and port % 2:
            continue
        try:
            relay = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        except OSError:  # no descriptor left
            return None
        if not _bind(relay, hosts, port) or (even and relay.getsockname()[1] % 2):
            relay.close()
            continue
        relay.setblocking(False)
        return relay
    return None


def _bind(relay: socket.socket, hosts: Sequence[str], port: int) -> bool:
    """Whether it could be bound at the first of these addresses that this machine has."""
    for host in hosts:
        try:
            relay.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                return False
        else:
            return True
    return False
