"""Somebody in the local network who is none of our daemons: DNS packets byte by byte, and lines on bare sockets.

It says what v0.3.8 was seen to say (spec 03 §18, `mdns` in tests/vectors/signaling.json), or what nobody honest does.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from zeroconf import DNSAddress, DNSIncoming, DNSPointer, DNSService, DNSText

from support.devices import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.namespaces import Machine

T = TypeVar("T")

GROUP: Final = ("224.0.0.251", 5353)
SERVICE: Final = "_myownmesh._tcp.local."
_NEW_NETWORK: Final = 0x40000000
"""CLONE_NEWNET."""
A, PTR, TXT, SRV = 1, 12, 16, 33
FLUSH: Final = 0x8001
IN: Final = 1


def inside(machine: Machine, make: Callable[[], T]) -> T:
    """What `make` makes on that machine: sockets stay where they were made."""
    made: list[T] = []

    def run() -> None:
        with (Path("/run/netns") / machine.name).open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _NEW_NETWORK):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        made.append(make())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    [result] = made
    return result


def name(text: str) -> bytes:
    labels = text.removesuffix(".").split(".")
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def record(of: str, kind: int, rdata: bytes, ttl: int) -> bytes:
    flush = IN if kind == PTR else FLUSH
    return name(of) + struct.pack("!HHIH", kind, flush, ttl, len(rdata)) + rdata


def answer(*records: bytes) -> bytes:
    """A packet that nobody asked for, or everybody."""
    return struct.pack("!6H", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def question(of: str, kind: int) -> bytes:
    return struct.pack("!6H", 0, 0, 1, 0, 0, 0) + name(of) + struct.pack("!HH", kind, IN)


def label_of(room: str, device: str) -> str:
    return f"mom-{room[:8]}-{device[:8]}"


def advert(room: str, device: str, port: int, *addresses: str, ttl: int = 120, label: str = "") -> bytes:
    """All records of an advert in one packet, as v0.3.8 writes them."""
    label = label or label_of(room, device)
    full, host = f"{label}.{SERVICE}", f"{label}.local."
    entries = ("v=1", f"room={room}", f"peer={device}")
    text = b"".join(bytes([len(entry)]) + entry.encode() for entry in entries)
    return answer(
        record(SERVICE, PTR, name(full), 4500 if ttl else 0),
        record(full, SRV, struct.pack("!HHH", 0, 0, port) + name(host), ttl),
        record(full, TXT, text, 4500 if ttl else 0),
        *(record(host, A, socket.inet_aton(address), ttl) for address in addresses),
    )


class Lines:
    """One exchange connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._rest = b""
        sock.settimeout(PATIENCE_S)

    def say(self, room: str, sender: str, to: str, **message: Any) -> None:
        """One line, object and newline apart, as v0.3.8 sends them."""
        whole = {"v": 1, "room": room, "from": sender, "to": to, "msg": message}
        self.sock.sendall(json.dumps(whole, separators=(",", ":")).encode())
        self.sock.sendall(b"\n")

    def hear(self, kind: str) -> dict[str, Any]:
        """The next line whose message is of this kind."""
        while True:
            while b"\n" not in self._rest:
                data = self.sock.recv(65_536)
                assert data, f"the connection ended before any {kind}"
                self._rest += data
            line, _, self._rest = self._rest.partition(b"\n")
            whole: dict[str, Any] = json.loads(line)
            if whole["msg"]["kind"] == kind:
                return whole

    def is_ended(self) -> bool:
        """Whether the other side hung up, within the patience of this test."""
        with contextlib.suppress(ConnectionError):
            while self.sock.recv(65_536):
                pass
        return True


class Stranger:
    """On a machine of its own: the multicast socket and a listener."""

    def __init__(self, machine: Machine, address: str) -> None:
        self.machine = machine
        self.address = address
        self.udp = inside(machine, self._multicast)
        self.listener = inside(machine, lambda: socket.create_server((address, 0)))
        self.listener.settimeout(PATIENCE_S)
        self._connections: list[socket.socket] = []
        self.port: int = self.listener.getsockname()[1]

    def _multicast(self) -> socket.socket:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        udp.bind(("", GROUP[1]))
        here = socket.inet_aton(self.address)
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP[0]) + here)
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        return udp

    def send(self, packet: bytes) -> None:
        self.udp.sendto(packet, GROUP)

    def packets(self) -> Iterator[DNSIncoming]:
        """What is said in the local network, until the patience of this test is over."""
        deadline = time.monotonic() + PATIENCE_S
        while (left := deadline - time.monotonic()) > 0:
            self.udp.settimeout(left)
            yield DNSIncoming(self.udp.recv(9000))
        raise AssertionError("nothing was said that this waits for")

    def wait_for_question(self) -> None:
        """Until somebody asks who is there."""
        next(each for each in self.packets() if any(asked.name == SERVICE for asked in each.questions))

    def find(self, label: str) -> tuple[str, int, dict[str, str]]:
        """Address, port and text of an advert, once it is heard: asked for first."""
        self.send(question(SERVICE, PTR))
        full, host = f"{label}.{SERVICE}", f"{label}.local."
        address, port, text = "", 0, dict[str, str]()
        pointed = False
        for packet in self.packets():
            for found in packet.answers():
                match found:
                    case DNSPointer() if found.alias == full and found.ttl:
                        pointed = True
                        assert found.ttl == 4500
                    case DNSService() if found.name == full:
                        port = found.port
                        assert (found.priority, found.weight, found.server, found.ttl) == (0, 0, host, 120)
                    case DNSText() if found.name == full:
                        text = strings(found.text)
                    case DNSAddress() if found.name == host and len(found.address) == 4:
                        address = socket.inet_ntoa(found.address)
                    case _:
                        pass
            if pointed and address and port and text:
                return address, port, text
        raise AssertionError(label)

    def dial(self, address: str, port: int) -> Lines:
        return self._kept(inside(self.machine, lambda: socket.create_connection((address, port), PATIENCE_S)))

    def accept(self) -> Lines:
        return self._kept(self.listener.accept()[0])

    def _kept(self, sock: socket.socket) -> Lines:
        self._connections.append(sock)
        return Lines(sock)

    def close(self) -> None:
        for sock in self._connections:
            sock.close()
        self.udp.close()
        self.listener.close()


def strings(rdata: bytes) -> dict[str, str]:
    found, at = dict[str, str](), 0
    while at < len(rdata):
        key, _, value = rdata[at + 1 : at + 1 + rdata[at]].decode().partition("=")
        found[key] = value
        at += 1 + rdata[at]
    return found
