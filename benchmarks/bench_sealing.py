"""What sealing costs: a meeting of two daemons sealed and in clear, alternating in one run; a message; a flood.

    python benchmarks/bench_sealing.py [--meetings 20]

Prints one line per figure. Compare the two medians of a run, and processor time where the machine is busy.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

from mesh_client import Control, Pair, wait_active
from myownmesh.identity import Identity
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.offer_ids import new_offer_id
from myownmesh.protocol.signals import SealedReceived, SendOffer, SendSealed
from myownmesh.sealing.desk import Desk, Said, Surroundings

SDP = "v=0\r\n" + "a=candidate:1 1 udp 2130706431 192.168.1.5 54321 typ host\r\n" * 8
MESSAGES = 500
FLOOD_PER_S = 5000


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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--meetings", type=int, default=20)
    meetings = parser.parse_args().meetings
    messages()
    took: dict[str, list[float]] = {"prefer": [], "off": []}
    with Pair() as pair:
        pair.start()
        for number in range(2 * meetings):
            mode = ("prefer", "off")[number % 2]
            took[mode].append(meeting(pair, number, mode))
    medians = {mode: statistics.median(times) * 1000 for mode, times in took.items()}
    ratio = medians["prefer"] / medians["off"]
    told = f"sealed {medians['prefer']:.0f} ms, clear {medians['off']:.0f} ms, {ratio:.3f}"
    print(f"meeting, p50 of {meetings:2}       {told}")


if __name__ == "__main__":
    main()
