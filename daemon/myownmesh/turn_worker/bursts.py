"""Datagrams that leave together: those of one length to one address in a single call, where the kernel can cut it.

Most of what a relayed datagram costs is its own way through the kernel. A link that carries much sends datagrams of one
length behind each other, and a file that is sent through TURN pays that way once for fifty of them (UDP_SEGMENT, Linux
4.18). Nothing waits for it: what is held is sent before the callback that held it returns.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from myownmesh.turn.binding import Client

UDP_SEGMENT: Final = 103
MOST_SEGMENTS: Final = 50
LONGEST_SEGMENT: Final = 1232
"""What passes everywhere in one piece; longer ones may have to be cut otherwise, each for itself."""
_CANNOT: Final = (errno.EIO, errno.EINVAL, errno.ENOPROTOOPT, errno.EOPNOTSUPP)
_U16: Final = struct.Struct("=H")


class Burst:
    """What one callback sends."""

    __slots__ = ("_address", "_held", "_segments", "_size", "_socket")

    def __init__(self, *, segments: bool = True) -> None:
        """Without `segments` each goes by itself, as on systems that cannot do better."""
        self._segments = segments
        self._socket: socket.socket | None = None
        """Of the last one that was sent; what is like it is held."""
        self._address: Client = ()
        self._size = 0
        self._held: list[bytes] = []

    def put(self, through: socket.socket, data: bytes, address: Client) -> None:
        """Send this now or with those behind it; lost where there is no room or no way, as any datagram may be."""
        held, size = self._held, len(data)
        if through is self._socket and size == self._size and address == self._address:
            held.append(data)
            if len(held) == MOST_SEGMENTS:
                self.flush()
            return
        if held:
            self.flush()
        if self._segments and 0 < size <= LONGEST_SEGMENT:
            self._socket, self._address, self._size = through, address, size
        else:
            self._socket = None
        try:
            through.sendto(data, address)
        except OSError:
            return

    def flush(self) -> None:
        """Send what is held."""
        held, through = self._held, self._socket
        if not held or through is None:
            return
        if len(held) == 1:
            send(through, held.pop(), self._address)
        else:
            if not self._sent_at_once(through, held, self._address):
                for data in held:
                    send(through, data, self._address)
            self._held = []

    def _sent_at_once(self, through: socket.socket, held: list[bytes], address: Client) -> bool:
        """False when nothing has left, because the kernel or the interface cannot."""
        try:
            through.sendmsg(held, [(socket.IPPROTO_UDP, UDP_SEGMENT, _U16.pack(self._size))], 0, address)
        except BlockingIOError:
            return True  # no room, and for one after the other there would be none either
        except OSError as error:
            if error.errno in _CANNOT:
                self._segments, self._socket = False, None
            return False
        return True


def send(through: socket.socket, data: bytes, address: Client) -> None:
    """Send one by itself; lost where there is no room or no way, as any datagram may be."""
    try:
        through.sendto(data, address)
    except OSError:
        return
