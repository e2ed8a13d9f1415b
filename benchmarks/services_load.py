"""A load for a hosted service, as a process of its own: `services_load.py turn|relay PORT`, until its stdin is closed.

TURN: 10,000 packets of 1,200 bytes a second from one allocation to another, through a channel. Relay: 500 events a
second among 300 sockets in rooms of ten. It says `ready`, and at last how many a second it was.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from services_beside import HERE, PASSWORD, USER
from services_relay import connected, eose, event, join_words, masked
from services_turn import Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from services_relay import Crowd

PACKETS_S: Final = 10_000
EVENTS_S: Final = 500
SOCKETS: Final = 300
ROOM: Final = 10
STEP_S: Final = 0.001


def turn(port: int) -> tuple[Callable[[int], None], int]:
    one = Client(HERE, (HERE, port), USER, PASSWORD)
    two = Client(HERE, (HERE, port), USER, PASSWORD)
    one.bind(two.relayed)
    two.bind(one.relayed)
    two.socket.setblocking(False)

    def step(count: int) -> None:
        for _ in range(count):
            one.send(one.frame)
        try:
            while two.socket.recv(2000):
                pass
        except BlockingIOError:
            return

    return step, PACKETS_S


def relay(port: int) -> tuple[Callable[[int], None], int]:
    crowd: Crowd = connected(port, SOCKETS, lambda number: join_words(f"room{number // ROOM}", f"device{number}"))
    crowd.read_until(eose, 1)
    made = [masked(event(number + 10**6, f"room{number % (SOCKETS // ROOM)}")) for number in range(15_000)]

    def step(count: int) -> None:
        for _ in range(count):
            crowd.sockets[len(made) % (SOCKETS // ROOM) * ROOM].send(made.pop())
        crowd.read_what_is_there()

    return step, EVENTS_S


def main() -> None:
    step, per_second = {"turn": turn, "relay": relay}[sys.argv[1]](int(sys.argv[2]))
    print("ready", flush=True)
    began = due = time.monotonic()
    sent = 0
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        wanted = int((time.monotonic() - began) * per_second)
        step(wanted - sent)
        sent, due = wanted, time.monotonic() + STEP_S
    print(sent / (time.monotonic() - began), flush=True)


if __name__ == "__main__":
    main()
