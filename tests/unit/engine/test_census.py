"""How much an engine holds: what the simulator looks at throughout."""

from __future__ import annotations

from myownmesh.engine import EngineConfig
from myownmesh.engine.peer import Live
from myownmesh.engine.timers import LinkTimer
from myownmesh.protocol.modes import Star
from myownmesh.protocol.signals import PeerAnnounced
from unit.engine.bench import HIGH, Bench


def test_what_is_counted() -> None:
    bench = Bench("lower", EngineConfig(kind="silent"))
    bench.signal(PeerAnnounced("b" * 52))
    bench.connect()
    report = bench.engine.census()
    found = {each.what: each.found for each in report.counts}
    assert (found["actions that nobody carried out"], found["strangers"], found["intents"]) == (0, 1, 0)
    assert found["remembered peers"] == len(bench.engine.core.memories)
    assert found["timers"] >= 2
    assert all(each.found <= each.most for each in report.counts)
    assert report.orphan_timers == ()
    bench.engine.core.timers.set(LinkTimer.HELLO, "c" * 52, 0.0)
    assert bench.engine.census().orphan_timers == ("HELLO",)


def test_links_and_whether_they_are_wanted() -> None:
    bench = Bench("lower").up_to("active")
    assert isinstance(bench.engine.link(HIGH.device_id), Live)
    assert bench.engine.link("b" * 52) is None
    assert bench.engine.wants_link(HIGH.device_id)
    bench.engine.set_topology(Star(hub="z" * 52), bench.now)
    assert not bench.engine.wants_link(HIGH.device_id)


def test_an_engine_goes_on_as_another_one() -> None:
    """What a replay does: the state of the one that was recorded, in the place of its own."""
    one, other = Bench("lower").up_to("active"), Bench("lower")
    other.engine.go_on_as(one.engine.core)
    assert [info.status for info in other.engine.peers(one.now)] == ["active"]
