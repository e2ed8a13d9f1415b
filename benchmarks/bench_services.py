"""What this device hosts for others, and how soon it meets others without anybody's host; each row with its must.

    sudo .venv/bin/python benchmarks/bench_services.py [--turn] [--relay] [--bus] [--kills] [--beside] [--lan] [--apart]
        [--members 10000] [--joins 10]

Without a name all of them (root, Linux). `--turn`, beside coturn where it is installed (`turnserver`): packets of 1,200
bytes a second from clients to a peer with at most 256 on the way; µs of the server's processor for each; ms of a round
trip at 10,000 packets a second each way (p50), how many left and what share came back; KB of the server's memory for
each of 1,000 allocations. `--relay`, beside bare sends: processor time of a delivery to 1,000, of an event among 3,000
sockets in rooms of 10 and of a join, memory of a socket, and how long 4,000 clients take that come at once. `--bus`:
two relays on a Redis beside one. `--kills`: the same with 10,000 members while each part is killed and stopped.
`--beside`: calls over the host's own link while its TURN and relay carry something, idle workers, and a daemon that
hosts nothing. `--lan` joins two devices in a local network without relays in each order of their ids, beside two
daemons of v0.3.8 if MYOWNMESH_REFERENCE names one; `--apart` joins two that reach only a host with relay and TURN.
Milliseconds and packets a second drift with the machine: compare ratios of a run, and give both parties the same
precedence on a busy machine (`nice -n -15`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from services_apart import apart_rows  # noqa: E402
from services_beside import beside_rows  # noqa: E402
from services_bus import bus_rows  # noqa: E402
from services_kills import kill_rows  # noqa: E402
from services_relay import loop_s, relay_rows  # noqa: E402
from services_turn import turn_rows  # noqa: E402
from support.lan import OURS, devices_beside, join, until_active, with_wire  # noqa: E402
from support.reference import REFERENCE  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LAN_SETTLES_S: Final = 3.0
"""Until the first device's advert is out."""


def lan_joins(program: Path, times: int, *, second_is_lower: bool) -> list[float]:
    """Seconds from the second join until both tell of an active link; the first time loads what is loaded late."""
    seconds = []
    with devices_beside(program, program) as (_, (low, high)):
        first, second = (high, low) if second_is_lower else (low, high)
        for number in range(times + 1):
            network = f"bench-{number}"
            join(first, network)
            time.sleep(LAN_SETTLES_S)
            began = time.monotonic()
            join(second, network)
            until_active(low, high, network)
            seconds.append(time.monotonic() - began)
            for device in (first, second):
                with_wire(device, "network_remove", network=network)
    return seconds[1:]


def lan_rows(times: int) -> Iterator[str]:
    for name, program in (("ours", OURS), ("v0.3.8", Path(REFERENCE))):
        if not program.is_file():
            continue
        for second_is_lower in (True, False):
            taken = sorted(lan_joins(program, times, second_is_lower=second_is_lower))
            p95 = taken[min(len(taken) - 1, int(0.95 * len(taken)))]
            order = "lower" if second_is_lower else "higher"
            what = f"LAN, second joins, {order} id"
            yield f"{what:28} {name:8} p50 {statistics.median(taken):6.2f} p95 {p95:6.2f} s (0.3)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=15_000)
    parser.add_argument("--allocations", type=int, nargs="+", default=[1, 200])
    parser.add_argument("--joins", type=int, default=10)
    parser.add_argument("--members", type=int, default=10_000)
    for name in ("turn", "relay", "bus", "kills", "beside", "lan", "apart"):
        parser.add_argument(f"--{name}", action="store_true")
    asked: Any = parser.parse_args()
    parts: dict[str, Callable[[], Iterator[str]]] = {
        "turn": lambda: turn_rows(asked.allocations, asked.packets),
        "relay": relay_rows,
        "bus": bus_rows,
        "kills": lambda: kill_rows(asked.members),
        "beside": beside_rows,
        "lan": lambda: lan_rows(asked.joins),
        "apart": lambda: apart_rows(asked.joins),
    }
    wanted = [name for name in parts if getattr(asked, name)] or list(parts)
    for name in wanted:
        print(f"ten million turns take {loop_s():.2f} s", flush=True)
        for text in parts[name]():
            print(text, flush=True)


if __name__ == "__main__":
    main()
