"""``python -m myownmesh.cli`` is the command ``myownmesh``."""

from __future__ import annotations

import sys

from myownmesh.cli import main

if __name__ == "__main__":
    sys.exit(main())
