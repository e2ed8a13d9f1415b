"""How long to record, as a person types it."""

from __future__ import annotations

import pytest

from myownmesh.cli.ctl_base import seconds
from myownmesh.cli.errors import CliError


@pytest.mark.parametrize(
    ("text", "span_s"),
    [("1s", 1), ("30s", 30), ("10m", 600), ("0010m", 600), ("24h", 86_400), ("86400s", 86_400)],
)
def test_seconds_minutes_and_hours(text: str, span_s: int) -> None:
    assert seconds(text) == span_s


@pytest.mark.parametrize(
    "text", ["", "s", "30", "0s", "-1s", "1.5m", "1 m", "2d", "\u00b2s", "86401s", "25h", "9" * 5000 + "s"]
)
def test_what_is_no_time_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(CliError, match="is no time; say 30s, 10m or 1h, a day at most"):
        seconds(text)
