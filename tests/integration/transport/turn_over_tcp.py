"""A TURN server on a TCP port, as a program: `turn_over_tcp.py HOST PORT` (RFC 8656).

Each TCP connection is one client of the UDP server beside it.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from typing import TYPE_CHECKING, Any

from integration.transport.turn_server import turn_server

if TYPE_CHECKING:
    from integration.transport.turn_server import Address

STUN_HEADER_BYTES = 20
CHANNEL_HEADER_BYTES = 4


def is_channel_data(head: bytes) -> bool:
    return head[0] & 0xC0 == 0x40


class ToClient(asyncio.DatagramProtocol):
    """What the UDP server says to one client, back into its connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def datagram_received(self, data: bytes, addr: Any) -> None:
        padding = -len(data) % 4 if is_channel_data(data) else 0
        self._writer.write(data + bytes(padding))


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Address) -> None:
    """Take a connection's messages apart and hand them on, until it ends."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: ToClient(writer), remote_addr=server
    )
    try:
        while True:
            head = await reader.readexactly(CHANNEL_HEADER_BYTES)
            (length,) = struct.unpack("!H", head[2:])
            rest = length + (-length % 4 if is_channel_data(head) else STUN_HEADER_BYTES - CHANNEL_HEADER_BYTES)
            body = await reader.readexactly(rest)
            transport.sendto(head + (body[:length] if is_channel_data(head) else body))
    except asyncio.IncompleteReadError:
        return
    finally:
        transport.close()
        writer.close()


async def main(host: str, port: int) -> None:
    async with turn_server(host) as udp:
        tcp = await asyncio.start_server(lambda reader, writer: forward(reader, writer, udp.address), host, port)
        print("ready", flush=True)
        async with tcp:
            await tcp.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
