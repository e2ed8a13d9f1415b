"""Nanoseconds per frame of the peer codec, beside `json.loads` on the same bytes.

    python benchmarks/bench_codec.py

Each figure is the best of several rounds, because other processes can only make a round slower.
"""

from __future__ import annotations

import json
import timeit
from functools import partial
from typing import TYPE_CHECKING

from myownmesh.protocol import codec, frames, strict_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.protocol.frames import Frame

ROUNDS = 7
SECONDS_PER_ROUND = 0.05

SAMPLES: dict[str, Frame] = {
    "rpc_request of 150 bytes": frames.RpcRequest(
        "aaaqeayeaudaocajbifq", "echo", strict_json.dumps({"text": "x" * 45})
    ),
    "rpc_response of 150 bytes": frames.RpcResponse("aaaqeayeaudaocajbifq", strict_json.dumps({"text": "x" * 60})),
    "channel, 48 KiB string": frames.Channel("bulk", strict_json.dumps("QUJD" * 12_288)),
    "channel, 48 KiB of objects": frames.Channel(
        "state", strict_json.dumps([{"id": n, "name": f"entry {n}", "load": n / 7} for n in range(900)])
    ),
    "ping": frames.Ping(1_700_000_000_123),
}


def nanoseconds(call: Callable[[], object]) -> float:
    """The best time of one call."""
    timer = timeit.Timer(call)
    number, taken = timer.autorange()
    number = max(1, int(number * SECONDS_PER_ROUND / taken))
    return min(timer.repeat(ROUNDS, number)) / number * 1e9


def main() -> None:
    print(f"{'frame':28} {'bytes':>7} {'encode':>10} {'decode':>10} {'exact way':>10} {'json.loads':>10}  (ns)")
    for name, frame in SAMPLES.items():
        data = codec.encode_frame(frame)
        # White space makes a frame non-canonical: the same frame by the careful way.
        spaced = b" " + data
        figures = (
            nanoseconds(partial(codec.encode_frame, frame)),
            nanoseconds(partial(codec.decode_frame, data)),
            nanoseconds(partial(codec.decode_frame, spaced)),
            nanoseconds(partial(json.loads, data)),
        )
        print(f"{name:28} {len(data):>7} " + " ".join(f"{figure:>10,.0f}" for figure in figures))


if __name__ == "__main__":
    main()
