"""What sealing costs, sealed and in clear in one run: a meeting of two daemons, a message, a flood, a relay.

    python benchmarks/bench_sealing.py [--meetings 40] [--rooms 1000]

Prints one line per figure. Compare the two medians of a run, and processor time where the machine is busy. Meetings
come in fours, sealed, clear, clear, sealed, so that what drifts during a run weighs on both alike; what the first ones
load is not counted.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from mesh_client import Control, Pair, wait_active
from myownmesh.identity import Identity
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.offer_ids import new_offer_id
from myownmesh.protocol.signals import SealedReceived, SendOffer, SendSealed
from myownmesh.relay.client import Limits
from myownmesh.relay.hub import Hub
from myownmesh.sealing.desk import Desk, Said, Surroundings
from myownmesh.signaling.nostr import NostrKey
from support.many_rooms import met

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.sealing.desk import Mode

SDP = "v=0\r\n" + "a=candidate:1 1 udp 2130706431 192.168.1.5 54321 typ host\r\n" * 8
MESSAGES = 500
FLOOD_PER_S = 5000
WARM_UP = 4
IN_FOURS: tuple[Mode, ...] = ("prefer", "off", "off", "prefer")


def meeting(pair: Pair, number: int, sealed: str) -> float:
    """Seconds from the second device's `network_add` until both call the other active."""
    name = f"meeting-{number}"
    controls = [Control(daemon.home) for daemon in (pair.a, pair.b)]
    record = pair.record(name)
    record["signaling"]["sealed"] = sealed
    controls[0].request("network_add", config=record)
    time.sleep(0.3)  # its announce is at the relay
    began = time.perf_counter()
    controls[1].request("network_add", config=record)
    for control in controls:
        wait_active(control, name)
    took = time.perf_counter() - began
    for control in controls:
        control.request("network_remove", network=name, purge=True)
        control.close()
    return took


def desk(identity: Identity) -> Desk:
    return Desk(identity, "room", "prefer", random.SystemRandom(), Surroundings(_no, _no, _no, _no))


def _no(*_told: object) -> bool:
    return False


def messages() -> None:
    a, b = (Identity.from_seed(bytes([each]) * 32) for each in (1, 2))
    ours, theirs = desk(a), desk(b)
    for one, other, who in ((ours, theirs, b), (theirs, ours, a)):
        caps = ("ptag", *other.caps)
        said = Said(who.device_id, "k", 100)
        one.announced(said, caps, other.sign_announce(100, "k", caps, 0.0), 0.0)
    rng, sent = random.Random(1), []
    began = time.process_time()
    for _ in range(MESSAGES):
        closed = ours.close(SendOffer(b.device_id, SDP, new_offer_id(a.device_id, b.device_id, rng)))
        assert isinstance(closed, SendSealed)
        sent.append(closed)
    print(f"seal one offer           {(time.process_time() - began) / MESSAGES * 1e6:8.0f} µs")
    began = time.process_time()
    for number, each in enumerate(sent):
        message = SealedReceived(a.device_id, "offer", each.offer_id, each.eseal)
        assert theirs.open(message, "k", Instant(1.0 + number, 0)) is not None
    print(f"open one offer           {(time.process_time() - began) / MESSAGES * 1e6:8.0f} µs")
    rubbish = [SealedReceived(a.device_id, "candidate", each.offer_id, each.eseal) for each in sent]
    began = time.process_time()
    for number in range(FLOOD_PER_S):
        theirs.open(rubbish[number % MESSAGES], "forged", Instant(2000.0 + number / FLOOD_PER_S, 0))
    took = time.process_time() - began
    print(f"flood of {FLOOD_PER_S} in a second  {took * 1000:8.0f} ms of a processor, {theirs.unopened} tried")


def relay(rooms: int) -> None:
    """What a hosted relay spends on meetings in so many rooms."""
    spent: dict[Mode, float] = {}
    modes: tuple[Mode, Mode] = ("prefer", "off")
    for mode in modes:
        hub = Hub(Limits(), NostrKey(b"\x03" * 32))
        said = [line for number in range(rooms) for line in met(hub, number, mode)]
        began = time.process_time()
        for client, text in said:
            hub.receive(client, text.encode(), 0.0)
            client.take_output()
        spent[mode] = (time.process_time() - began) / rooms
    compared(f"relay with {rooms} rooms, processor time of a meeting", spent)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--meetings", type=int, default=40)
    parser.add_argument("--rooms", type=int, default=1000)
    asked = parser.parse_args()
    meetings: int = asked.meetings
    messages()
    relay(asked.rooms)
    took: dict[Mode, list[float]] = {"prefer": [], "off": []}
    work: dict[Mode, list[float]] = {"prefer": [], "off": []}
    with Pair() as pair:
        pair.start()
        for number in range(-WARM_UP, 2 * meetings):
            mode = IN_FOURS[number % 4]
            before = [daemon.busy_s() for daemon in (pair.a, pair.b)]
            seconds = meeting(pair, number, mode)
            if number >= 0:  # else it loads what later ones have
                took[mode].append(seconds)
                busy = zip((pair.a, pair.b), before, strict=True)
                work[mode].append(sum(daemon.busy_s() - was for daemon, was in busy))
    compared(f"meeting, p50 of {meetings}", {mode: statistics.median(each) for mode, each in took.items()})
    compared(
        f"processor time of both, p50 of {meetings}", {mode: statistics.median(each) for mode, each in work.items()}
    )


def compared(what: str, seconds: Mapping[Mode, float]) -> None:
    sealed, clear = seconds["prefer"] * 1000, seconds["off"] * 1000
    print(f"{what}: sealed {sealed:.2f} ms, clear {clear:.2f} ms, ratio {sealed / clear:.3f}")


if __name__ == "__main__":
    main()
