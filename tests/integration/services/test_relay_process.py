"""The process of the hosted relay: another one follows when it crashes, and none is left without its daemon."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import trio

from support.daemons import PATIENCE_S, daemon, host_relay

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemons import Daemon


def worker_of(host: Daemon) -> psutil.Process | None:
    assert host.process is not None
    for each in psutil.Process(host.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ends right now
            if "relay-worker" in each.cmdline():
                return each
    return None


def is_over(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_a_crash_is_told_and_mended_and_nothing_outlives_a_killed_daemon(tmp_path: Path) -> None:
    async with daemon(tmp_path / "host") as host:
        await host_relay(host)
        first = worker_of(host)
        assert first is not None
        first.kill()
        with trio.fail_after(PATIENCE_S):
            while (second := worker_of(host)) in (None, first):
                await trio.sleep(0.05)
            while not (await host.ask("services_status"))["status"]["signaling"]["running"]:
                await trio.sleep(0.05)
        assert second is not None
        await host.stop(signal.SIGKILL)
        with trio.fail_after(PATIENCE_S):
            while not is_over(second):
                await trio.sleep(0.02)
