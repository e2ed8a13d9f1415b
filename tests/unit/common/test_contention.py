"""Limits that tests stretch on a machine that others use, too (`support.contention`)."""

from __future__ import annotations

import pytest

from support import contention
from support.contention import Contention


@pytest.mark.parametrize(
    ("before", "after", "stretched"),
    [
        ({"a": (100, 7)}, {"a": (10**9, 7)}, 2.0),  # nobody stood in line
        ({"a": (0, 0)}, {"a": (10**9, 10**9), "new": (10**9, 5 * 10**9)}, 8.0),
        ({"a": (0, 0), "ended": (5, 5)}, {"a": (10**9, 10**9)}, 4.0),
        ({}, {}, 2.0),  # a machine that does not tell
    ],
)
def test_a_limit_grows_as_everybody_is_slowed_down(
    monkeypatch: pytest.MonkeyPatch,
    before: dict[str, tuple[int, int]],
    after: dict[str, tuple[int, int]],
    stretched: float,
) -> None:
    times = iter([before, after])
    monkeypatch.setattr(contention, "thread_times", lambda: next(times))
    assert Contention().stretched(2.0) == pytest.approx(stretched, rel=1e-6)
