"""How long a server that refuses for now asks to wait: by its own clock, for ours may be wrong (field report 24)."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx
import pytest

from mesh_bundler.client import Client, TryAgain
from mesh_bundler.feed import Feed

URL = "https://example.org/asset"
YEAR_S = 365 * 86_400


def date(second: float) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC), usegmt=True)


def wait(**headers: str) -> float | None:
    answer = httpx.Response(429, headers={name.replace("_", "-"): value for name, value in headers.items()})
    with pytest.raises(TryAgain) as raised:
        Client(Feed()).expect(answer, URL)
    return raised.value.after


@pytest.mark.parametrize("ahead_s", [-YEAR_S, 0, YEAR_S])
def test_a_moment_is_compared_with_the_servers_own_clock(ahead_s: int) -> None:
    theirs = int(time.time()) + ahead_s
    assert wait(Date=date(theirs), Retry_After=date(theirs + 20)) == 20
    assert wait(Date=date(theirs), X_RateLimit_Reset=str(theirs + 20)) == 20


def test_without_its_clock_ours_has_to_do() -> None:
    asked = wait(Retry_After=date(time.time() + 20))
    assert asked is not None
    assert 15 < asked <= 20


@pytest.mark.parametrize("nonsense", ["soon", "", "Fri, 99 Jan 2100 00:00:00 GMT", "-5", "1.5"])
def test_what_is_no_time_leaves_the_other_header_its_word(nonsense: str) -> None:
    theirs = int(time.time())
    assert wait(Date=date(theirs), Retry_After=nonsense, X_RateLimit_Reset=str(theirs + 20)) == 20
    assert wait(Retry_After=nonsense) is None


def test_seconds_need_no_clock() -> None:
    assert wait(Retry_After="7", Date="nonsense") == 7
