"""Whether devices can be found in the local network: one question by multicast DNS, and who answers (RFC 6762).

What is sent is the question that any device asks that looks for others. Nothing is advertised.
"""

from __future__ import annotations

import socket as system
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import trio

from mesh_common.netcheck import Multicast
from myownmesh.lan.names import SERVICE_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

GROUP: Final = "224.0.0.251"
PORT: Final = 5353
LISTEN_S: Final = 1.0
"""Who answers a question for everybody does so within an eighth of a second (RFC 6762 §6)."""
AGAIN_S: Final = 0.4
_ALL_TYPES: Final = "_services._dns-sd._udp.local."
"""RFC 6763 §9: every advertiser answers it, printers and televisions too, so it is known whether multicast passes."""
_POINTER, _INTERNET = 12, 1
_ANSWER: Final = 0x80
_MOST_BYTES: Final = 9000


async def look(addresses: Sequence[str]) -> Multicast:
    """Ask on each of these IPv4 addresses of this machine, and listen for `LISTEN_S`."""
    if not addresses:
        return Multicast(state="impossible", reason="this device has no IPv4 address in a local network")
    heard: set[str] = set()
    came_back = trio.Event()
    problems: list[str] = []
    with ExitStack() as sockets:
        try:
            listener = sockets.enter_context(_listener(addresses))
        except OSError as error:
            return Multicast(state="impossible", reason=f"UDP port {PORT}: {error.strerror or error}")
        askers: list[trio.socket.SocketType] = []
        for address in addresses:
            try:
                askers.append(sockets.enter_context(await _asker(address)))
            except OSError as error:
                problems.append(f"{address}: {error.strerror or error}")
        with trio.move_on_after(LISTEN_S):
            async with trio.open_nursery() as nursery:
                ports = {asker.getsockname()[1] for asker in askers}
                for each in (listener, *askers):
                    nursery.start_soon(_hear, each, set(addresses), ports, heard, came_back)
                while True:
                    for asker in askers:
                        try:
                            await asker.sendto(question(), (GROUP, PORT))
                        except OSError as error:
                            problems.append(f"{asker.getsockname()[0]}: {error.strerror or error}")
                    await trio.sleep(AGAIN_S)
    if heard:
        return Multicast(state="heard", answers=len(heard))
    if came_back.is_set():
        return Multicast(state="possible")
    return Multicast(state="impossible", reason=problems[0] if problems else "what is sent does not come back")


def question() -> bytes:
    """Who advertises anything, and who this program's services?"""
    names = (_ALL_TYPES, SERVICE_TYPE)
    asked = b"".join(_name(each) + struct.pack("!HH", _POINTER, _INTERNET) for each in names)
    return struct.pack("!6H", 0, 0, len(names), 0, 0, 0) + asked


def _name(text: str) -> bytes:
    labels = [label.encode() for label in text.rstrip(".").split(".")]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def _listener(addresses: Sequence[str]) -> trio.socket.SocketType:
    """Bound to the group, so that nobody who shares the port misses what is sent to that device alone."""
    with ExitStack() as unless_bound:
        plain = unless_bound.enter_context(system.socket(system.AF_INET, system.SOCK_DGRAM))
        plain.setblocking(False)
        plain.setsockopt(system.SOL_SOCKET, system.SO_REUSEADDR, 1)
        plain.setsockopt(system.SOL_SOCKET, system.SO_REUSEPORT, 1)
        plain.bind((GROUP, PORT))
        joined = [address for address in addresses if _join(plain, address)]
        if not joined:
            raise OSError("no interface takes part in multicast")
        unless_bound.pop_all()
    return trio.socket.from_stdlib_socket(plain)


def _join(plain: system.socket, address: str) -> bool:
    try:
        member = system.inet_aton(GROUP) + system.inet_aton(address)
        plain.setsockopt(system.IPPROTO_IP, system.IP_ADD_MEMBERSHIP, member)
    except OSError:
        return False
    return True


async def _asker(address: str) -> trio.socket.SocketType:
    """Answers to a port of its own come to it alone (RFC 6762 §6.7)."""
    with ExitStack() as unless_bound:
        asker = unless_bound.enter_context(trio.socket.socket(system.AF_INET, system.SOCK_DGRAM))
        await asker.bind((address, 0))
        asker.setsockopt(system.IPPROTO_IP, system.IP_MULTICAST_IF, system.inet_aton(address))
        asker.setsockopt(system.IPPROTO_IP, system.IP_MULTICAST_TTL, 1)
        unless_bound.pop_all()
    return asker


async def _hear(
    listener: trio.socket.SocketType, ours: set[str], ports: set[int], heard: set[str], came_back: trio.Event
) -> None:
    while True:
        try:
            data, (sender, port, *_) = await listener.recvfrom(_MOST_BYTES)
        except OSError:
            continue
        if len(data) < 12:
            continue
        if sender in ours:
            if port in ports:
                came_back.set()
        elif data[2] & _ANSWER and struct.unpack_from("!H", data, 6)[0]:
            heard.add(sender)
