"""Inference: a question to a peer's model through both local APIs and the mesh, beside the same question asked there.

A real model server (llama.cpp with random weights) answers both; the questions alternate.
"""

from __future__ import annotations

import http.client
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from e2e.devices import Pair, eventually
from support.devices import free_port
from support.model_servers import llama
from support.tiny_model import NAME

TOKENS = 512


def measure(rounds: int) -> dict[str, Any]:
    """Medians in seconds of `rounds` questions each, and their ratios."""
    base = Path(tempfile.mkdtemp(prefix="bench-"))
    pair = Pair(base)
    ports = [free_port(), free_port()]
    try:
        with llama(base) as server:
            for device, port in zip(pair.both, ports, strict=True):
                runtime = {"kind": "none"}
                if device is pair.boris:
                    runtime = {"kind": "openai", "base_url": f"{server.url}/v1"}
                path = device.home / ".myownllm" / "config.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps({"runtime": runtime, "api": {"port": port}}))
            pair.up()
            pair.meet()
            eventually(lambda: pair.anna.run("models")["models"], "the model of the peer")
            return _compare((ports[1], NAME), (ports[0], f"{NAME}@Boris"), rounds)
    finally:
        pair.stop()
        shutil.rmtree(base, ignore_errors=True)


def _compare(local: tuple[int, str], remote: tuple[int, str], rounds: int) -> dict[str, Any]:
    taken: dict[str, list[tuple[float, float]]] = {"local": [], "remote": []}
    for number in range(rounds + 1):
        for where, (port, model) in (("local", local), ("remote", remote)):
            times = _ask(port, model)
            if number:  # the first of each warms up
                taken[where].append(times)
    first = {where: statistics.median(f for f, _ in times) for where, times in taken.items()}
    whole = {where: statistics.median(w for _, w in times) for where, times in taken.items()}
    return {
        "first token local ms": first["local"] * 1000,
        "first token remote ms": first["remote"] * 1000,
        "first token more ms": (first["remote"] - first["local"]) * 1000,
        f"{TOKENS} tokens local s": whole["local"],
        f"{TOKENS} tokens remote s": whole["remote"],
        "share of the limit": whole["remote"] / (1.1 * whole["local"] + 0.1),
    }


def _ask(port: int, model: str) -> tuple[float, float]:
    """Seconds to the first token and to the end of an answer."""
    messages = [{"role": "user", "content": "w1 w2 w3"}]
    body = {"model": model, "messages": messages, "stream": True, "max_tokens": TOKENS, "seed": 5}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    answer = connection.getresponse()
    first = 0.0
    for line in answer:
        if not first and b'"content":"' in line and b'"content":""' not in line:
            first = time.perf_counter() - began
    connection.close()
    return first, time.perf_counter() - began


if __name__ == "__main__":
    for name, value in measure(int(sys.argv[1]) if sys.argv[1:] else 20).items():
        print(f"{name:<24} {value:.3f}")
