"""S14: a device without a recogniser has another one listen; a real recogniser, a real voice (spec 08 §9.6)."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from e2e.devices import eventually
from support.recogniser import recogniser
from support.speaker import speak

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.devices import Pair


def configure(device: Any, **members: Any) -> None:
    path: Path = device.home / ".myownllm" / "config.json"
    changed = path.with_name("new.json")
    changed.write_text(json.dumps({**json.loads(path.read_text()), **members}))
    changed.replace(path)


def transcribed(device: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*device.program, "transcribe", *arguments, "--json"],
        env=device.environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def asr_of(device: Any, of: str) -> Any:
    peers = device.run("peers")["peers"]
    return next(p["capabilities"]["asr"] for p in peers if p["label"] == of)


@pytest.mark.timeout(400)  # a recogniser that works, on a machine that others use, too
def test_segments_arrive_in_order(pair: Pair, tmp_path: Path) -> None:
    pair.meet()
    anna, boris = pair.both
    orders = [f"go {way} {number} meters" for way, number in (("forward", "ten"), ("backward", "two"))] * 3
    recording = speak(".\n\n ".join(orders), tmp_path / "orders.wav", pause_s=0.5)
    refused = transcribed(anna, str(recording), "--peer", "Boris")
    assert (refused.returncode, "That device is without a recogniser: Boris" in refused.stdout) == (1, True), refused
    here = transcribed(anna, str(recording))
    assert "no local ASR available" in here.stdout, "never another device than was asked for"
    with recogniser(tmp_path) as url:
        configure(boris, transcription={"base_url": url})
        eventually(lambda: asr_of(anna, "Boris") == [{"backend": "openai", "tier": "whisper-1"}], "the offer")
        done = transcribed(anna, str(recording), "--peer", "Boris")
        assert done.returncode == 0, done
        segments = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(segments) > 1, segments
        assert [s["start_ms"] for s in segments] == sorted(s["start_ms"] for s in segments)
        words = " ".join(s["text"] for s in segments)
        assert words.index("go forward ten meters") < words.index("go backward two"), words
        assert words.count("go") >= 4, words
        anna.run("pin", "transcribe", "Boris")
        assert transcribed(anna, str(recording)).stdout == done.stdout, "the pinned device listens"
        boris.run("settings", "accepting", "busy")
        eventually(lambda: "Pinned peer is busy" in transcribed(anna, str(recording)).stdout, "no, and nobody else")
        anna.run("pin", "transcribe", "--clear")
        configure(anna, transcription={"base_url": url})
        eventually(lambda: transcribed(anna, str(recording)).stdout == done.stdout, "the same, here")
    note = transcribed(anna, str(tmp_path / "orders.gram"))
    assert "is no WAV file of plain samples" in note.stdout
