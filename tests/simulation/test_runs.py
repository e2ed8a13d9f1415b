"""Whole runs under trouble hold every invariant; a run that does not is told so that it can be repeated."""

from __future__ import annotations

import pytest

from myownmesh.engine import reliable, shelving, why
from myownmesh.engine.actions import Deliver
from myownmesh.engine.core import Core
from myownmesh.engine.routes import Routes
from myownmesh.engine.timers import Timers
from myownmesh.protocol.frames import ChannelAck
from myownmesh.protocol.signals import Announce
from myownmesh.simulator import command
from myownmesh.simulator.plan import Plan
from myownmesh.simulator.run import run
from myownmesh.simulator.world import World
from support.examples import few

QUARTER = 0.25
"""Hours: some hundred troubles, and peace at the end."""


@pytest.mark.parametrize("shape", ["full_mesh", "ring", "star", "hubs"])
@pytest.mark.parametrize("seed", few([1, 2], every=2))
def test_a_run_in_trouble(shape: str, seed: int) -> None:
    result = run(Plan(nodes=5, hours=QUARTER, shape=shape, trouble="wild", seed=seed))
    assert result.violation is None, f"{result.violation}; {result.plan.command()}"
    assert result.acknowledged > 20


@pytest.mark.parametrize("kind", ["open", "silent"])
def test_an_hour_of_peace(kind: str) -> None:
    result = run(Plan(nodes=6, hours=1.0, kind="silent" if kind == "silent" else "open"))
    assert result.violation is None


def test_a_seed_is_the_same_run_again_and_another_one_is_not() -> None:
    plan = Plan(nodes=4, hours=QUARTER, trouble="wild", seed=5)
    again = [(result.frames, result.signals, result.acknowledged) for result in (run(plan), run(plan))]
    assert again[0] == again[1]
    assert run(Plan(nodes=4, hours=QUARTER, trouble="wild", seed=6)).frames != again[0][0]


def test_what_one_node_draws_moves_nobody_elses() -> None:
    one, other = World(7), World(7)
    one.sources.of("node a").randbytes(100)
    assert one.sources.of("node b").random() == other.sources.of("node b").random()


def test_a_fault_is_found_and_told_with_command_and_traces(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same with timers that outlive their links."""
    monkeypatch.setattr(Timers, "cancel_link", lambda _self, _peer: None)
    arguments = ["--nodes", "4", "--hours", "0.25", "--trouble", "wild", "--seed", "3"]
    assert command.main(arguments) == 1
    told = capsys.readouterr().out
    assert told.startswith("FAILED at ")
    assert "timers of links that are gone" in told
    assert "again: python -m myownmesh.simulator --nodes 4 --hours 0.25 --shape full_mesh --kind open" in told
    assert " sees " in told, "the links of the node"


@pytest.mark.parametrize(
    ("where", "name", "broken", "told"),
    [
        (why, "_of_live", lambda *_: ("", ()), "active, and no packet has come for"),
        (why, "_of_attempt", lambda *_: ("silent_network", ()), "silent_network, which is not so"),
        (why, "_trouble_since", lambda *_: 0.0, None),
        (Core, "nudge", lambda self, _now: [self.publish(Announce()) for _ in range(9)], " announces, at most "),
        (Core, "stands_aside", True, "not linked: "),
        (Routes, "is_first", lambda *_: True, "was delivered twice"),
        (
            reliable,
            "receive",
            lambda core, peer, frame, _now: core.out.append(Deliver(peer.device_id, peer.epoch, frame)),
            "was delivered twice",
        ),
        (
            reliable,
            "receive",
            lambda core, peer, frame, now: core.send(peer, ChannelAck(frame.stream, frame.seq), now),
            "was acknowledged and never arrived",
        ),
        (Timers, "clear", lambda _self: None, "a timer is left behind the stop"),
    ],
)
def test_each_invariant_finds_its_fault(
    where: object, name: str, broken: object, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line of the engine is broken, or for comparison none that matters."""
    monkeypatch.setattr(where, name, broken)
    result = run(Plan(nodes=5, hours=QUARTER, shape="hubs", trouble="wild", seed=3))
    if told is None:
        assert result.violation is None
    else:
        assert told in (result.violation or "")


def test_ends_that_do_not_agree_who_shelved_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a ring meets, links come about that it does not keep."""
    monkeypatch.setattr(shelving, "receive_shelve", lambda *_: None)
    assert "the ends do not agree who shelved" in (
        run(Plan(nodes=12, hours=0.05, shape="ring", seed=3)).violation or ""
    )


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--nodes", "3", "--hours", "0.1", "--seeds", "2", "--jobs", "1"]) == 0
    assert capsys.readouterr().out == "2 seeds, 0 failed\n"
    assert command.main(["--nodes", "3", "--hours", "0.1", "--seed", "9"]) == 0
    assert "every invariant held" in capsys.readouterr().out
