"""`python -m myownmesh.simulator`: whole networks in one process, on a virtual clock, held to their invariants."""

from __future__ import annotations

import sys

from myownmesh.simulator.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
