"""STUN servers that see their clients as they would behind a router that uses another port for each destination.

`strange_router.py ADDRESS…`: one server on port 3478 of each address; prints a line when all serve.
"""

from __future__ import annotations

import select
import socket
import sys

from myownmesh.turn import stun

PUBLIC = "198.51.100.9"


def main(addresses: list[str]) -> None:
    ports: dict[socket.socket, int] = {}
    for number, address in enumerate(addresses):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((address, 3478))
        ports[server] = 40_000 + number
    print("ready", flush=True)
    while True:  # until it is killed
        readable, _, _ = select.select(list(ports), [], [])
        for server in readable:
            data, client = server.recvfrom(2000)
            message = stun.decode(data)
            if message is not None and message.kind == stun.BINDING:
                seen = stun.xor_address(PUBLIC, ports[server], message.transaction)
                answer = stun.encode(stun.BINDING | stun.SUCCESS, message.transaction, [(stun.A_MAPPED, seen)])
                server.sendto(answer, client)


if __name__ == "__main__":
    main(sys.argv[1:])
