"""What the app's features cost: ratios within one run, beside the bare operation that they stand on, and their limits.

.venv/bin/python benchmarks/bench_features.py [models files idle boot moves …] [--megabytes 500] [--json]
"""

from __future__ import annotations

import argparse
import json
import operator
from typing import TYPE_CHECKING, Any, Final

import features_app
import features_files
import features_models

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: Final[dict[str, Callable[[argparse.Namespace], dict[str, Any]]]] = {
    "models": lambda options: features_models.measure(options.rounds),
    "files": lambda options: features_files.measure(options.megabytes, options.pairs),
    "idle": lambda options: features_app.idle(options.seconds),
    "boot": lambda options: features_app.boot(options.rounds),
    "moves": lambda _: features_app.moves(),
}
COMPARED: Final = {"≤": operator.le, "≥": operator.ge}
LIMITS: Final = {
    "models": {"first token more ms": ("≤", 30.0), "share of the limit": ("≤", 1.0)},
    "files": {"ratio": ("≥", 0.7), "sender_grew_mb": ("≤", 16.0), "receiver_grew_mb": ("≤", 16.0)},
    "idle": {
        "memory_mb": ("≤", 45.0),
        "cpu_ms_per_s": ("≤", 3.0),
        "with_models_memory_mb": ("≤", 45.0),
        "with_models_cpu_ms_per_s": ("≤", 3.0),
    },
    "boot": {"running_daemon_s": ("≤", 0.4), "cold_s": ("≤", 1.0)},
    "moves": {"broadcasts": ("≤", 1.0)},
}
"""What each figure has to keep on a machine that does nothing else."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; everything if left out")
    parser.add_argument("--megabytes", type=int, default=500, help="size of the file")
    parser.add_argument("--pairs", type=int, default=2, help="files, each behind as many bare chunks")
    parser.add_argument("--rounds", type=int, default=20, help="questions and starts")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the app is watched while idle")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    results = {}
    for name in options.parts or PARTS:
        results[name] = PARTS[name](options)
        if not options.json:
            show(name, results[name])
    if options.json:
        print(json.dumps(results, indent=2))


def show(name: str, figures: dict[str, Any]) -> None:
    """A part's figures, each beside its limit where it has one."""
    print(name)
    for what, value in figures.items():
        values = value if isinstance(value, list) else [value]
        shown = "  ".join(f"{v:.2f}" for v in values)
        sign, limit = LIMITS[name].get(what, ("", 0.0))
        held = "" if not sign else f"   {sign} {limit:g}" + ("" if COMPARED[sign](value, limit) else "  EXCEEDED")
        print(f"  {what:<26} {shown}{held}", flush=True)


if __name__ == "__main__":
    main()
