"""A client in a loop does not fill the disk with log lines (field report 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.daemons import daemon

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 300


@pytest.mark.slow
async def test_a_client_in_a_loop_leaves_a_short_log_that_says_how_much_is_missing(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", environ={"MYOWNMESH_LOG_EXTRA": "info"}) as device:
        control = await device.control()
        services: dict[str, Any] = {"turn": {"enabled": True, "credentials": []}}  # refused, so no process is started
        for _ in range(ROUNDS):
            for enabled in (True, False):
                services["turn"]["enabled"] = enabled
                await control.ask("services_set", services=services)
        await device.stop()
        lines = [line for line in device.log.splitlines() if "next try in" in line]
    assert 0 < len(lines) < ROUNDS / 3
    assert len(device.log) < 20_000
    assert "more of these)" in device.log
