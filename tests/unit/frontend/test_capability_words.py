"""A device in a few words (spec 08 FE-9.15)."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_common.views import CapabilityAdvert
from myownllm import capabilities
from myownllm.client import ClientState, view
from myownllm.peers import peer_entries, peer_rows
from unit.frontend.fakes import peer_info

EMPTY = capabilities.unpack(None)


def having(**members: Any) -> capabilities.Capabilities:
    return capabilities.read({**EMPTY.told, **members})


@pytest.mark.parametrize(
    ("hardware", "line"),
    [
        ({}, ""),
        ({"soc": "Apple M2", "gpu_type": "apple", "ram_gb": 16}, "Apple M2 · 16 GB RAM"),
        ({"gpu_type": "nvidia", "vram_gb": 24.0, "ram_gb": 64}, "nvidia · 24 GB VRAM"),
        ({"gpu_type": "none", "vram_gb": 0, "ram_gb": 7.6}, "7.6 GB RAM"),
        ({"gpu_type": "amd"}, "amd"),
    ],
)
def test_the_machine(hardware: dict[str, Any], line: str) -> None:
    assert capabilities.summary(having(hardware={**EMPTY.told["hardware"], **hardware})) == line


def test_badges_have_an_order() -> None:
    assert capabilities.badges(EMPTY) == []
    able = {"llms": [{}], "asr": [{}], "diarize": True, "inputs": {"mic": True}}
    assert capabilities.badges(having(**able, accepting="busy")) == ["LLM", "ASR", "diarize", "mic", "busy"]
    assert capabilities.badges(having(accepting="limited")) == ["limited"]


@pytest.mark.parametrize(
    ("blob", "line"),
    [
        ({}, ""),
        ({"app_version": "1.0", "features": list(capabilities.FEATURES)}, "v1.0 · all features"),
        ({"app_version": "2.0", "features": list(capabilities.FEATURES)}, "v2.0 ≠ ours · all features"),
        (
            {"app_version": "1.0", "features": list(capabilities.FEATURES[:-1])},
            "v1.0 · 13/14 (missing prompts_v1)",
        ),
        (
            {"app_version": "1.0", "features": list(capabilities.FEATURES[3:])},
            "v1.0 · 11/14 (missing infer_request, move_request…)",
        ),
    ],
)
def test_compatibility(blob: dict[str, Any], line: str) -> None:
    assert capabilities.compatibility_line(having(**blob), "1.0") == line


def test_the_state_has_them_for_every_peer_and_a_patch_only_what_is_different() -> None:
    rows = peer_rows({"peers": [peer_info(capabilities={"extra": {"llms": [{"tag": "x"}], "app_version": "1.0"}})]})
    before = view.to_json(ClientState())
    now = view.to_json(
        ClientState(rev=1, peers=peer_entries(rows, {}), published=capabilities.read({"app_version": "1.0"}))
    )
    assert now["peers"][0]["badges"] == ["LLM"]
    assert now["peers"][0]["compatibility"].startswith("v1.0 · ")
    assert set(view.patch(before, now)) == {"rev", "peers", "capabilities"}


HOSTILE = [
    None,
    True,
    -1,
    10**400,
    float("nan"),
    float("inf"),
    "\ud800",
    [],
    [[]],
    [None, 7, {"tag": 5}],
    {},
    {"tag": []},
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:20])
def test_nothing_that_a_peer_tells_raises_where_it_is_read(value: Any) -> None:
    parts = {name: dict.fromkeys(EMPTY.told[name], value) for name in ("hardware", "inputs", "outputs")}
    for extra in (value, dict.fromkeys(EMPTY.told, value), parts, {"llms": [value, {"tag": "ok", "family": value}]}):
        told = capabilities.unpack(CapabilityAdvert(extra=extra))
        assert isinstance(capabilities.summary(told), str)
        assert "busy" not in capabilities.badges(told)
        assert isinstance(capabilities.compatibility_line(told, "1"), str)
        assert {m.tag for m in told.llms} <= {"", "ok"}
        assert told.told.keys() >= EMPTY.told.keys(), "programs are shown every member"
