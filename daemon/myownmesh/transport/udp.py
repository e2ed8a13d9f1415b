"""UDP sockets that are read in bursts.

asyncio's datagram endpoints hand over one datagram per callback through Python objects of their own; for an SCTP stack
that lives on 1.2 kB packets the socket is then the bottleneck. This one takes up to 64 datagrams per wake-up from a
large kernel buffer and calls the receiver directly (×1.7 and ×1.27 in the measurements). A burst of packets leaves in
one call where the kernel can cut it (UDP_SEGMENT): each call may wake the receiver, which costs more than the packet.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

Address = tuple[str, int]

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""The default holds some 200 packets and loses the rest of every burst."""
SEND_BUFFER_BYTES = 1024 * 1024
MAX_DATAGRAM_BYTES = 2_048
"""Longer ones are cut and fail their checksum; no WebRTC stack sends more than an Ethernet packet."""
UDP_SEGMENT = 103
"""Of linux/udp.h."""
MAX_SEGMENTED_BYTES = 60_000
"""A burst is one IP packet to the kernel until it is cut."""
BURST = 64
"""Datagrams per wake-up; then everybody else gets a turn."""
LOOK_AGAIN = 8
"""Where datagrams come one by one, only every so many wake-ups look for a second one: asking in vain costs as much as
receiving."""

_U16 = struct.Struct("=H")


class UdpSocket:
    """A bound socket with the methods of `asyncio.DatagramTransport` that aioice uses."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str, scope_id: int = 0) -> None:
        """Bind to a free port of the address, an IPv6 link-local one on its interface. Raises `OSError`."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._loop = loop
        self._on_datagram: Callable[[bytes, Address], None] | None = None
        self._on_lost: Callable[[Exception | None], None] | None = None
        self._closed = False
        self._segments = sys.platform == "linux"
        """Whether the kernel cuts a burst into datagrams; found out by trying."""
        self._alone = 0
        """Wake-ups since one looked for a second datagram; -1 while there is one each time."""
        self.dropped = 0
        """Datagrams that the kernel did not take."""
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for option, size in ((socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES), (socket.SO_SNDBUF, SEND_BUFFER_BYTES)):
                self._socket.setsockopt(socket.SOL_SOCKET, option, size)
            self._socket.bind((address, 0, 0, scope_id) if scope_id else (address, 0))
        except OSError:
            self._socket.close()
            raise
        name = self._socket.getsockname()
        self.local_address: Address = (name[0], name[1])

    def start(self, on_datagram: Callable[[bytes, Address], None], on_lost: Callable[[Exception | None], None]) -> None:
        """Read from now on."""
        self._on_datagram = on_datagram
        self._on_lost = on_lost
        self._loop.add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        on_datagram = self._on_datagram
        assert on_datagram is not None
        receive = self._socket.recvfrom
        for number in range(BURST):
            if self._closed:
                return
            try:
                data, address = receive(MAX_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                if number < 2:
                    self._alone = 0
                return
            except OSError:
                continue  # an ICMP error of an earlier send; says nothing about the next datagram
            on_datagram(data, address)
            if number:
                self._alone = -1
            elif self._alone >= 0:
                self._alone += 1
                if self._alone < LOOK_AGAIN:
                    return  # if there is another one after all, the loop calls again

    def pause(self) -> None:
        """Leave what comes to the kernel, which keeps some."""
        if self._on_datagram is not None and not self._closed:
            self._loop.remove_reader(self._socket)

    def resume(self) -> None:
        if self._on_datagram is not None and not self._closed:
            self._loop.add_reader(self._socket, self._readable)

    def sendto(self, data: bytes, address: Address) -> None:
        """Send, or lose the datagram: SCTP, DTLS and ICE repeat what matters."""
        if self._closed:
            return
        try:
            self._socket.sendto(data, address)
        except OSError:
            self.dropped += 1

    def send_burst(self, datagrams: list[bytes], address: Address) -> None:
        """Send several datagrams in their order, those of equal length in one call where the kernel can."""
        position = 0
        while self._segments and position + 1 < len(datagrams):
            size = len(datagrams[position])
            end = position + 1
            last = min(len(datagrams), position + MAX_SEGMENTED_BYTES // size)
            while end < last and len(datagrams[end]) == size:
                end += 1
            if end < last and len(datagrams[end]) < size:
                end += 1  # the last one may be shorter
            if not self._send_segments(datagrams[position:end], size, address):
                break
            position = end
        for data in datagrams[position:]:
            self.sendto(data, address)

    def _send_segments(self, datagrams: list[bytes], size: int, address: Address) -> bool:
        """One call for all; False if the kernel or the interface cannot, in which case nothing has left."""
        if self._closed:
            return True
        try:
            self._socket.sendmsg(datagrams, [(socket.IPPROTO_UDP, UDP_SEGMENT, _U16.pack(size))], 0, address)
        except BlockingIOError:
            self.dropped += len(datagrams)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EINVAL, errno.ENOPROTOOPT, errno.EOPNOTSUPP):
                self.dropped += len(datagrams)
                return True
            self._segments = False
            return False
        return True

    def get_extra_info(self, name: str, default: object = None) -> object:
        if name == "sockname":
            return self.local_address
        return default

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._on_lost is not None:
            self._loop.remove_reader(self._socket)
            self._loop.call_soon(self._on_lost, None)
        self._socket.close()
