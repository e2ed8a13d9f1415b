"""Times as people type them."""

from __future__ import annotations

import pytest

from mesh_common.durations import whole_seconds

DAY_S = 86_400


@pytest.mark.parametrize(
    ("text", "span_s"),
    [("1s", 1), ("30s", 30), ("10m", 600), ("0010m", 600), ("24h", DAY_S), ("86400s", DAY_S), ("1d", DAY_S)],
)
def test_a_number_and_a_unit(text: str, span_s: int) -> None:
    assert whole_seconds(text, DAY_S) == span_s


@pytest.mark.parametrize(
    "text",
    ["", "s", "30", "0s", "-1s", "1.5m", "1 m", "1m ", "1m\n", "2d", "\u00b2s", "86401s", "25h", "9" * 5000 + "s"],
)
def test_anything_else_and_more_than_the_most_is_none(text: str) -> None:
    assert whole_seconds(text, DAY_S) is None
