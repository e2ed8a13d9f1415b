"""The bounded retry of `status` at the start of the client (vector `status_retry`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from mesh_common.client.errors import ControlError
from unit.frontend.test_client import HOME, active, world

CASES = json.loads((Path(__file__).parents[2] / "vectors" / "frontend.json").read_text(encoding="utf-8"))["suites"][
    "status_retry"
]["cases"]


@pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in CASES])
async def test_status_retry(autojump_clock: Any, tmp_path: Path, case: dict[str, Any]) -> None:
    failures = case["input"]["results"].count("err")
    expected = case["expect"]
    async with world(active(HOME), tmp_path) as w:
        if failures:
            w.daemon.refuse["status"] = [f"failure {n + 1}" for n in range(failures)]
        began = trio.current_time()
        if expected["outcome"] == "ok":
            await w.client.start()
        else:
            with pytest.raises(ControlError, match=f"failure {failures}"):
                await w.client.start()
        assert round((trio.current_time() - began) * 1000) == expected.get("slept_ms", 0)
        first_other = next((i for i, o in enumerate(w.daemon.ops()[1:]) if o != "status"), len(w.daemon.ops()) - 1)
        assert first_other == expected["attempts"]
