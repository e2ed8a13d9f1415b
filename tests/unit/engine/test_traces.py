"""The traces of spec 04: for each input exactly what leaves, no more (vectors: topology.json `traces`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from myownmesh.engine.links import ChannelClosed, PathChanged, PathState
from myownmesh.protocol.frames import Ping, Pong
from myownmesh.protocol.signals import PeerAnnounced
from support.vectors import load
from unit.engine.bench import LOW, Bench

if TYPE_CHECKING:
    from collections.abc import Callable

CASES: list[dict[str, Any]] = load("topology", "traces")["cases"]
OURS = [case for case in CASES if not case["me"].startswith("v0.3.8")]
LADDER = "offer with another fingerprint while our own restart offer is open"

OTHER_PEER = "q" * 52


def test_every_trace_of_ours_is_run() -> None:
    assert len(OURS) == 20
    assert len(CASES) - len(OURS) == 3, "the rest tells what v0.3.8 does"


@pytest.mark.parametrize("case", OURS, ids=[case["name"] for case in OURS])
def test_trace(case: dict[str, Any]) -> None:
    bench = prepared(case)
    begin = bench.mono
    for step in case["steps"]:
        at = begin + step["ms"] / 1000
        before = bench.wait_until(at - 0.0005)
        assert before == [], f"{step['ms']} ms: {before} left although nothing was due"
        if step["in"] == "timer":
            sent = bench.wait_until(at)
        else:
            bench.mono = at
            sent = do(bench, step["in"])
            between(case, step, bench)
        sent, expected = [in_words_of_the_vectors(word) for word in sent], step["out"]
        assert on_the_wire(sent) == on_the_wire(expected), f"{step['ms']} ms: {step['in']}"
        if case["name"] == LADDER:  # ours keeps the link until the new one has proved itself (spec 04 §15.2 no. 32)
            expected = [word for word in expected if word != "close A1"]
        assert inside(sent) == inside(expected), f"{step['ms']} ms: {step['in']}"


def prepared(case: dict[str, Any]) -> Bench:
    """Our node as the first step finds it."""
    bench = Bench(case["me"])
    if case["name"] in ("announce from a live peer", "leaving", LADDER):
        bench.up_to("active")
        bench.event(PathChanged(PathState.CONNECTED))
        if case["me"] == "lower":
            # A link that is not brand new: the limiters of the meeting have run out.
            bench.wait(3.0)
        bench.take()
    if case["name"] == "announce limiter":
        assert bench.us is LOW
    return bench


def between(case: dict[str, Any], step: dict[str, Any], bench: Bench) -> None:
    """What the trace takes for granted: a link comes up, a live peer answers pings."""
    if case["name"] == "restart offer of P" and step["ms"] == 0:
        bench.up_to("active")
        bench.event(PathChanged(PathState.CONNECTED))
    if "ping" in step["out"]:
        [*_, ping] = [frame for frame in bench.frames if isinstance(frame, Ping)]
        bench.frame(Pong(t=ping.t))
    bench.take()


def do(bench: Bench, words: str) -> list[str]:
    """One input, in the words of the vectors."""
    inputs: list[tuple[str, Callable[..., list[str]]]] = [
        (r"announce of unwanted Q", lambda: bench.signal(PeerAnnounced(OTHER_PEER))),
        (r"announce of P", lambda: bench.announce(again=bench.knows_process)),
        (r"connect command", bench.connect),
        (r"reconnect command", lambda: reconnect(bench)),
        (r"offer (\S+)( creds)?", lambda name, creds: bench.offer(f"{name} r2" if creds else name)),
        (r"answer (\S+)( to \S+)?", lambda name, _: bench.answer(name)),
        (r"candidate (\S+)", bench.candidate),
        (r"new path works", lambda: new_path(bench)),
        (r"leave command", lambda: leave(bench)),
        (r"channel closed by P", lambda: bench.event(ChannelClosed("closed"))),
    ]
    for pattern, act in inputs:
        if (found := re.fullmatch(pattern, words)) is not None:
            return act(*found.groups())
    raise AssertionError(f"unknown input {words}")


def reconnect(bench: Bench) -> list[str]:
    """Without the announce that goes with it (spec 04 §7.8), of which the vectors tell nothing."""
    bench.engine.reconnect(bench.peer_id, bench.now)
    words = bench.collect()
    words.remove("announce")
    return words


def leave(bench: Bench) -> list[str]:
    bench.engine.leave(bench.now)
    return bench.collect()


def new_path(bench: Bench) -> list[str]:
    bench.event(PathChanged(PathState.CHECKING))
    return bench.event(PathChanged(PathState.CONNECTED))


def in_words_of_the_vectors(step: str) -> str:
    """The bench says in every description of the second ICE generation `r2`, the vectors `creds` in offers alone."""
    return step.replace(" r2", " creds" if step.startswith("offer") else "")


def on_the_wire(steps: list[str]) -> list[str]:
    """Without order: the transport builds an offer while the announce of the same input is already out."""
    return sorted(step for step in steps if not step.startswith(("add", "apply", "close")))


def inside(steps: list[str]) -> list[str]:
    return [step for step in steps if step.startswith(("add", "apply", "close"))]
