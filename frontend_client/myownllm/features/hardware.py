"""What this machine is, for the capabilities (spec 08 FE-9.12)."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from myownllm.client import MeshClient
    from myownllm.client.registry import Release
    from myownllm.coerce import JsonObject


def install(client: MeshClient) -> Release:
    """Tell peers about the hardware."""
    found = hardware()
    return client.add_source("hardware", lambda: found)


def hardware() -> JsonObject:
    """As far as the standard library knows; the rest keeps its default."""
    try:
        ram_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        ram_bytes = 0
    ram_gb = round(ram_bytes / 2**30, 1)
    return {"gpu_type": "none", "ram_gb": ram_gb, "vram_gb": None, "soc": None, "arch": platform.machine()}
