"""The connection trace of a network costs nothing while nobody follows it (spec 04 §9.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import Engine
from myownmesh.simulator import World

if TYPE_CHECKING:
    import pytest

    from mesh_common.events import ConnTrace


def test_nothing_is_compared_before_the_first_follower_and_behind_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[None] = []
    trace = Engine.trace

    def counted(*args: object) -> list[ConnTrace]:
        looks.append(None)
        return trace(*args)  # type: ignore[arg-type]  # what the switch gave

    monkeypatch.setattr(Engine, "trace", counted)
    world = World(1)
    low, high = world.pair()
    world.run(60.0)
    assert world.all_linked()
    assert looks == []

    records: list[ConnTrace] = []
    end = low.switch.trace(records.append)
    assert [(record.device_id, record.changed) for record in records] == [(high.device_id, ("appeared",))]
    world.cut(low, high)
    world.run(10.0)
    assert any("ice" in record.changed for record in records[1:])
    end()
    looks.clear()
    told = len(records)
    world.heal(low, high)
    world.run(60.0)
    assert world.all_linked()
    assert looks == []
    assert len(records) == told
