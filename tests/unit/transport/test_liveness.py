"""When a silent path is taken for down: later where its probes are answered late (docs/recovery.md)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from myownmesh.engine.links import PathState
from myownmesh.transport.lean_imports import data_channels_only

with data_channels_only():
    from myownmesh.transport.ice import Generation
    from myownmesh.transport.paths import Paths


def asked(lag: float = 0.0) -> Any:
    """What `Generation.note_lag` reads: a path that was probed at 100.0."""
    return SimpleNamespace(asked_at=100.0, last_received=98.0, lag=lag)


def state(silence_s: float, lag: float) -> PathState:
    generation = SimpleNamespace(is_up=True, last_received=100.0, lag=lag)
    return Paths.state_of(cast("Any", generation), 100.0 + silence_s)


@pytest.mark.parametrize(
    ("lag", "down_after_s"), [(0.0, 4.0), (0.3, 4.0), (1.0, 5.0), (2.0, 8.0), (60.0, 10.0)], ids=str
)
def test_a_path_is_down_after_four_seconds_or_three_late_answers(lag: float, down_after_s: float) -> None:
    assert state(down_after_s - 0.01, lag) is PathState.CONNECTED
    assert state(down_after_s, lag) is PathState.DISCONNECTED
    assert state(30.0, lag) is PathState.FAILED


def test_an_answer_tells_how_late_answers_are() -> None:
    generation = asked()
    Generation.note_lag(generation)
    assert generation.lag == 0.0, "there is none yet"
    generation.last_received = 102.5
    Generation.note_lag(generation)
    assert (generation.lag, generation.asked_at) == (2.5, None)


def test_a_late_one_is_remembered_for_a_while() -> None:
    lags = []
    generation = asked(lag=4.0)
    for _ in range(12):
        generation.asked_at, generation.last_received = 100.0, 100.1
        Generation.note_lag(generation)
        lags.append(generation.lag)
    assert lags[0] == 3.0
    assert lags[-1] < 0.2
