"""What the danger zone answers, beside v0.3.8 (spec 05 §15)."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.daemons import network_record
from support.devices import MYOWNMESH, Device
from support.reference import REFERENCE, needs_reference

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = needs_reference
NOBODY = "ws://127.0.0.1:9"
NAMES = ("m3", "a2", "n1")


def answers(program: Path, home: Path, op: str, request: Mapping[str, object]) -> tuple[Any, list[str]]:
    """The answer of a device with three networks, and which files it leaves behind of them."""
    home.mkdir()
    networks = [network_record(name, NOBODY, network_id=f"{name}-net") for name in NAMES]
    (home / "config.json").write_text(json.dumps({"version": 3, "networks": networks}))
    device = Device(home, program)
    with ExitStack() as stack:
        stack.callback(device.close)
        device.start()
        answer = device.wire().ask(op, **request)
        kept = (
            sorted(path.name for path in home.rglob("*.json") if path.name != "identity.json") if home.exists() else []
        )
        return answer, [name for name in kept if name != "erasure.json"]


@pytest.mark.parametrize("request_members", [{}, {"unknown": 1}])
@pytest.mark.parametrize("op", ["forget_all_networks", "factory_reset"])
def test_answers_are_those_of_the_reference(tmp_path: Path, op: str, request_members: dict[str, object]) -> None:
    ours = answers(MYOWNMESH, tmp_path / "ours", op, request_members)
    assert ours == answers(Path(REFERENCE), tmp_path / "theirs", op, request_members)
    assert ours[0]["ok"] is True
