"""What this machine is, for the capabilities (spec 08 FE-9.12). What a probe cannot tell keeps its default."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import trio

from mesh_common.values import Value
from myownllm.features.releases import all_of

if TYPE_CHECKING:
    from myownllm.client import MeshClient
    from myownllm.client.registry import Release
    from myownllm.client.session import Session
    from myownllm.coerce import JsonObject

GIB: Final = 2**30
PROBE_S: Final = 5.0
"""For a driver's own tool; one that hangs tells nothing."""
VENDORS: Final = {"0x10de": "nvidia", "0x1002": "amd"}


class Graphics(Value, frozen=True):
    """The graphics processor that models would run on."""

    kind: str = "none"
    vram_gb: float | None = None


@attrs.define
class Machine:
    """Where to look; tests look elsewhere."""

    root: Path = Path("/")
    system: str = attrs.field(factory=platform.system)
    arch: str = attrs.field(factory=platform.machine)

    def hardware(self) -> JsonObject:
        """The member `hardware` of the capabilities. May take seconds: it runs a driver's tool."""
        graphics = self.graphics()
        return {
            "gpu_type": graphics.kind,
            "ram_gb": _ram_gb(),
            "vram_gb": graphics.vram_gb,
            "soc": self.soc(),
            "arch": self.arch,
        }

    def graphics(self) -> Graphics:
        if self.system == "Darwin" and self.arch == "arm64":
            return Graphics("apple")
        if vram_gb := nvidia_vram_gb(
            _output("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
        ):
            return Graphics("nvidia", vram_gb)
        found = Graphics()
        for device in sorted((self.root / "sys/class/drm").glob("card[0-9]/device")):
            kind = VENDORS.get(_text(device / "vendor").strip())
            if kind is not None:
                size = _text(device / "mem_info_vram_total").strip()
                vram_gb = round(int(size) / GIB, 1) if size.isdigit() else None
                if found.kind == "none" or (vram_gb or 0) > (found.vram_gb or 0):
                    found = Graphics(kind, vram_gb)
        return found

    def soc(self) -> str | None:
        """The board or chip, where it has a name of its own."""
        if self.system == "Darwin":
            return _output("sysctl", "-n", "machdep.cpu.brand_string").strip() or None
        return _text(self.root / "proc/device-tree/model").strip("\0 \n") or None

    def has_microphone(self) -> bool:
        return "capture" in _text(self.root / "proc/asound/pcm")


def nvidia_vram_gb(lines: str) -> float | None:
    """The largest card in the tool's answer, MiB per line; None when it is no such answer."""
    sizes = [int(line) for line in lines.split() if line.isdigit()]
    return round(max(sizes) / 1024, 1) if sizes else None


def install(client: MeshClient, machine: Machine | None = None) -> Release:
    """Tell peers about the hardware: at once what is quick to find, the rest when it is found."""
    here = Machine() if machine is None else machine
    known: JsonObject = {"gpu_type": "none", "ram_gb": _ram_gb(), "vram_gb": None, "soc": None, "arch": here.arch}
    microphone = here.has_microphone()
    is_probed = False

    async def probe(_: Session) -> None:
        nonlocal is_probed
        if not is_probed:
            known.update(await trio.to_thread.run_sync(here.hardware, abandon_on_cancel=True))
            is_probed = True
            client.capabilities_changed()

    return all_of(
        client.add_source("hardware", lambda: dict(known)),
        client.add_source("inputs", lambda: {"mic": microphone, "camera": False}),
        client.add_source("outputs", lambda: {"speaker": True, "display": True}),
        client.while_up(probe),
    )


def _ram_gb() -> float:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1)
    except (ValueError, OSError):
        return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _output(program: str, *arguments: str) -> str:
    found = shutil.which(program)
    if found is None:
        return ""
    try:
        done = subprocess.run([found, *arguments], capture_output=True, timeout=PROBE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""
