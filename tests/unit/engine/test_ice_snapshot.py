"""How ICE stands on a link, in words (spec 04 §9.4), and when it is told."""

from __future__ import annotations

import pytest

from myownmesh.engine.actions import DescribePaths
from myownmesh.engine.ice_snapshot import IceSnapshot, Pair, candidate_word, snapshot, verdict
from myownmesh.engine.links import PathChanged, PathState
from unit.engine.bench import Bench

OURS, THEIRS = "host udp4 192.168.1.5:54321", "srflx udp4 192.0.2.7:9"


def pair(state: str, *, nominated: bool = False) -> Pair:
    return Pair(OURS, THEIRS, state, nominated)


@pytest.mark.parametrize(
    ("kind", "address", "word"),
    [
        ("host", "192.168.1.5", "host udp4 192.168.1.5:9"),
        ("relay", "2001:db8::1", "relay udp6 [2001:db8::1]:9"),
        ("tcphost", "192.0.2.1", "? udp4 192.0.2.1:9"),
    ],
)
def test_a_candidate_in_a_word(kind: str, address: str, word: str) -> None:
    assert candidate_word(kind, address, 9) == word


def test_the_peer_is_reached_where_it_has_answered_itself() -> None:
    pairs = [
        Pair(OURS, "host udp4 192.168.1.9:1", "succeeded", True),
        Pair(OURS, "prflx udp6 [2001:db8::9]:1", "succeeded", False),
        Pair(OURS, "relay udp4 203.0.113.1:1", "succeeded", False),
        Pair(OURS, "host udp4 10.0.0.1:1", "failed", False),
    ]
    assert snapshot([], [], pairs).reached == {"192.168.1.9", "2001:db8::9"}


def test_what_carries_stands_first() -> None:
    pairs = [pair("failed"), pair("waiting"), pair("in-progress"), pair("succeeded"), pair("failed", nominated=True)]
    seen = snapshot(["b", "a"], ["d", "c"], pairs)
    assert (seen.local_candidates, seen.remote_candidates) == (("a", "b"), ("c", "d"))
    assert seen.pairs == tuple(reversed(pairs))
    assert seen.told()["pairs"][-1] == {"local": OURS, "remote": THEIRS, "state": "failed", "nominated": False}


@pytest.mark.parametrize(
    ("remote", "pairs", "words"),
    [
        ([], [], "signaling problem"),
        ([THEIRS], [], "too early"),
        ([THEIRS], [pair("failed"), pair("failed")], "no usable path"),
        ([THEIRS], [pair("failed"), pair("in-progress")], "still checking"),
        ([THEIRS], [pair("failed"), pair("unspecified")], "still checking"),
        ([THEIRS], [pair("failed"), pair("succeeded")], "waits for the controlling side"),
        ([], [pair("succeeded", nominated=True)], "the path is up"),
        ([THEIRS], [pair("failed", nominated=True), pair("failed")], "no usable path"),
    ],
)
def test_what_it_means(remote: list[str], pairs: list[Pair], words: str) -> None:
    assert words in verdict(snapshot([OURS], remote, pairs))


# ── when it is told ───────────────────────────────────────────────────────────────────────────────────────────────────


def asked(bench: Bench) -> list[tuple[str, str]]:
    return [(action.context, action.level) for action in bench.actions if isinstance(action, DescribePaths)]


def test_an_attempt_that_comes_to_nothing_is_described_before_its_session_is_closed() -> None:
    bench = Bench("lower").up_to("connecting")
    bench.wait(30.1)
    assert asked(bench) == [("connect_timeout", "warn")]
    kinds = [type(action).__name__ for action in bench.actions]
    assert kinds.index("DescribePaths") < kinds.index("CloseSession")


def test_a_path_that_goes_down_is_described_and_one_that_is_gone_with_a_warning() -> None:
    bench = Bench("lower").up_to("active")
    bench.event(PathChanged(PathState.DISCONNECTED))
    bench.event(PathChanged(PathState.FAILED))
    assert asked(bench) == [("disconnected", "debug"), ("failed", "warn")]


def test_nobody_is_asked_while_nobody_reads() -> None:
    bench = Bench("lower").up_to("active")
    bench.engine.be_watched(watched=False)
    bench.event(PathChanged(PathState.DISCONNECTED))
    assert asked(bench) == []


def test_what_the_session_says_stands_in_the_diagnostics() -> None:
    bench = Bench("lower").up_to("connecting")
    seen = snapshot([OURS], [THEIRS], [pair("failed")])
    action = DescribePaths(bench.peer_id, bench.epoch, "connect_timeout", "warn")
    bench.engine.paths_described(action, seen, bench.now)
    bench.engine.paths_described(action, IceSnapshot((), (), ()), bench.now)
    bench.collect()
    [told] = [diag for diag in bench.diags if diag.detail and "snapshot" in diag.detail]
    assert (told.level, told.category, told.detail) == (
        "warn",
        "ice",
        {"peer": bench.peer_id, "context": "connect_timeout", "snapshot": seen.told()},
    )
    assert "no usable path" in told.message
