"""What a machine tells of itself: readings of files and tools that may be absent or talk nonsense (FE-9.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from myownllm.features.hardware import Graphics, Machine, nvidia_vram_gb

if TYPE_CHECKING:
    from pathlib import Path


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("lines", "vram_gb"),
    [("24564\n", 24.0), ("8192\n24564\n", 24.0), ("[N/A]\n", None), ("", None), ("Failed to initialize NVML", None)],
)
def test_the_largest_card_counts(lines: str, vram_gb: float | None) -> None:
    assert nvidia_vram_gb(lines) == vram_gb


@pytest.fixture
def _no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


@pytest.mark.usefixtures("_no_tools")
def test_a_machine_of_which_nothing_is_known_has_the_defaults(tmp_path: Path) -> None:
    """FE-9.12."""
    machine = Machine(tmp_path, "Linux", "x86_64")
    assert machine.graphics() == Graphics()
    assert machine.soc() is None
    assert not machine.has_microphone()
    assert machine.hardware()["ram_gb"] > 0


@pytest.mark.usefixtures("_no_tools")
def test_cards_are_read_from_the_kernel(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "Linux", "x86_64")
    put(tmp_path, "sys/class/drm/card0/device/vendor", "0x8086\n")
    assert machine.graphics() == Graphics()
    put(tmp_path, "sys/class/drm/card1/device/vendor", "0x10de\n")
    assert machine.graphics() == Graphics("nvidia")
    put(tmp_path, "sys/class/drm/card2/device/vendor", "0x1002\n")
    put(tmp_path, "sys/class/drm/card2/device/mem_info_vram_total", f"{16 * 2**30}\n")
    assert machine.graphics() == Graphics("amd", 16.0)


def test_a_drivers_own_tool_counts_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    for script, expected in (
        ("#!/bin/sh\necho 12288\n", Graphics("nvidia", 12.0)),
        ("#!/bin/sh\necho 12288\nexit 9\n", Graphics()),
    ):
        tool.write_text(script)
        tool.chmod(0o755)
        assert Machine(tmp_path, "Linux", "x86_64").graphics() == expected


def test_boards_name_themselves(tmp_path: Path) -> None:
    put(tmp_path, "proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    put(tmp_path, "proc/asound/pcm", "00-00: ALC257 Analog : playback 1 : capture 1\n")
    machine = Machine(tmp_path, "Linux", "aarch64")
    assert machine.soc() == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine.has_microphone()
    assert Machine(tmp_path, "Darwin", "arm64").graphics() == Graphics("apple")
