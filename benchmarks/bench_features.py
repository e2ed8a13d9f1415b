"""What the app's features cost: ratios within one run, beside the bare operation that they stand on.

.venv/bin/python benchmarks/bench_features.py [files …] [--megabytes 500] [--json]
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

import features_files

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "files": lambda options: features_files.measure(options.megabytes),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; everything if left out")
    parser.add_argument("--megabytes", type=int, default=500, help="size of the file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    results = {name: PARTS[name](options) for name in options.parts or PARTS}
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, figures in results.items():
        print(name)
        for what, value in figures.items():
            values = value if isinstance(value, list) else [value]
            print(f"  {what:<20} {'  '.join(f'{v:.2f}' for v in values)}")


if __name__ == "__main__":
    main()
