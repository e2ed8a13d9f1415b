"""A device whose clock is wrong is killed and started: real daemons, a real clock, links of WebRTC."""

from __future__ import annotations

import signal
import time
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING

import pytest
import trio

from mesh_common.answers import ClockSkew
from myownllm.health import clock_note
from support.contention import Contention
from support.daemons import PATIENCE_S, daemon, network_record
from support.examples import few
from support.moods import Moods
from support.preloaded import missing
from support.signaling import hostile_relay, relay_server, url_of
from support.strict_relay import StrictRelay
from support.tls import self_signed, tls_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from support.daemons import Daemon

pytestmark = pytest.mark.skipif(missing() != "", reason=missing())

YEAR = 365 * 86_400
BACK_WITHIN_S = 6.0
"""About a second on an idle machine, start included; while `since` hid the announces it took half a minute or more."""


@pytest.fixture(scope="module")
def wrong_by(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], dict[str, str]]:
    """What to start a program with so that its wall clock is so many seconds ahead; every other clock stays."""

    @cache
    def environment(seconds: int) -> dict[str, str]:
        moods = Moods(tmp_path_factory.mktemp("clock"))
        moods.set(wrong_by_s=seconds)
        return moods.environment

    return environment


@asynccontextmanager
async def relay(*, strict: bool) -> AsyncIterator[str]:
    """One of our own, which takes any time; or one that tells it and refuses what is a minute off."""
    if strict:
        async with hostile_relay(StrictRelay(window_s=60).script) as url:
            yield url
    else:
        async with relay_server() as server:
            yield url_of(server)


async def linked(here: Daemon, there: Daemon) -> None:
    with trio.fail_after(PATIENCE_S):
        while not any(
            peer["device_id"] == there.device_id and peer["status"] == "active"
            for peer in (await here.ask("peers_list", network="office"))["peers"]
        ):
            await trio.sleep(0.02)


@pytest.mark.parametrize(
    ("wrong", "strict"),
    [
        ((YEAR, -YEAR), True),
        pytest.param((600, 0), False, marks=pytest.mark.slow),
        pytest.param((-YEAR, 0), True, marks=pytest.mark.slow),
        pytest.param((-1_790_000_000, 0), False, marks=pytest.mark.slow),
    ],
    ids=str,
)
async def test_it_is_back_as_fast_as_with_a_right_clock(
    tmp_path: Path, wrong_by: Callable[[int], dict[str, str]], wrong: tuple[int, int], strict: bool
) -> None:
    async with (
        relay(strict=strict) as url,
        daemon(tmp_path / "a", environ=wrong_by(wrong[0])) as restarted,
        daemon(tmp_path / "b", environ=wrong_by(wrong[1])) as other,
    ):
        for each in (restarted, other):
            await each.ask("network_add", config=network_record("office", url, auto_approve=True))
        await linked(restarted, other)
        await restarted.stop(signal.SIGKILL)
        began, contention = time.monotonic(), Contention()
        await restarted.start(**wrong_by(wrong[0]))
        await linked(restarted, other)
        took_s = time.monotonic() - began
        assert took_s < contention.stretched(BACK_WITHIN_S)
        if strict:
            clock = (await restarted.ask("status"))["clock"]
            assert clock["by"] == "relays"
            assert abs(clock["ahead_ms"] - wrong[0] * 1000) < 5000
            assert ("ahead" if wrong[0] > 0 else "behind") in clock_note(ClockSkew(**clock))
        print(f"back after {took_s:.2f} s")


@pytest.mark.parametrize("wrong", few([YEAR, -YEAR, -1_790_000_000], every=3))
async def test_it_meets_others_over_tls_though_no_certificate_is_valid_by_its_clock(
    tmp_path: Path, wrong_by: Callable[[int], dict[str, str]], wrong: int
) -> None:
    certificate = self_signed(tmp_path)
    trusted = {
        "SSL_CERT_FILE": str(certificate),
        "SSLKEYLOGFILE": "/nowhere/at/all",
    }
    async with (
        hostile_relay(StrictRelay(window_s=60).script) as plain,
        tls_proxy(certificate, int(plain.rpartition(":")[2])) as url,
        daemon(tmp_path / "a", environ=wrong_by(wrong) | trusted) as here,
        daemon(tmp_path / "b", environ=trusted) as there,
    ):
        await there.ask("network_add", config=network_record("office", url, auto_approve=True))
        await here.ask("network_add", config=network_record("office", url, auto_approve=True))
        if wrong > 0:  # the relay's word alone does not make an expired certificate a good one
            with trio.fail_after(PATIENCE_S):
                while "365 days later than the relay's" not in await relay_trouble(here):
                    await trio.sleep(0.02)
            another = plain.replace("127.0.0.1", "localhost")
            await here.ask("network_add", config=network_record("other", another, auto_approve=True))
        await linked(here, there)
        assert ("ahead" if wrong > 0 else "behind") in clock_note(ClockSkew(**(await here.ask("status"))["clock"]))


async def relay_trouble(here: Daemon) -> str:
    """What the first network's first relay is said to be troubled by."""
    (network, *_) = (await here.ask("networks_list"))["networks"]
    return str((network["relays"][0]["reason"] or {}).get("text"))
