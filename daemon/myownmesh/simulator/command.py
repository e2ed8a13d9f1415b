"""The simulator's command line: one run, many seeds on all cores, or a recording."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from typing import TYPE_CHECKING, Final

from attrs import evolve

from myownmesh.flight.recording import BadRecording
from myownmesh.simulator import assembly
from myownmesh.simulator.conditions import NAT_CHOICES, RELAYS_EACH, Conditions
from myownmesh.simulator.plan import KINDS, SHAPES, TROUBLES, Plan
from myownmesh.simulator.replay import replay
from myownmesh.simulator.run import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from myownmesh.simulator.run import Result

MOST_LOSS: Final = 0.9
MOST: Final = 1e7
"""Seconds of a wrong clock, milliseconds of a way: a third of a year, and three hours."""


def main(argv: Sequence[str]) -> int:
    """Run what the arguments say; 1 when an invariant did not hold, or a recording cannot be played."""
    if argv[:1] == ["replay"]:
        return _replay(argv[1:])
    if argv[:1] == ["governed"]:
        return assembly.main(argv[1:])
    arguments = _parser().parse_args(argv)
    plans = _plans(arguments)
    failed = 0
    for result in _results(plans, arguments.jobs):
        failed += result.violation is not None
        _show(result, quiet=len(plans) > 1)
    if len(plans) > 1:
        print(f"{len(plans)} seeds, {failed} failed")
    return 1 if failed else 0


def _replay(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m myownmesh.simulator replay", description=replay.__doc__)
    parser.add_argument("file", help="what `ctl record` wrote")
    parser.add_argument("--until", type=int, metavar="INPUT", help="stop behind the input with this number")
    arguments = parser.parse_args(argv)
    try:
        replay(arguments.file, arguments.until, print)
    except (OSError, BadRecording) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _results(plans: Sequence[Plan], jobs: int) -> Iterable[Result]:
    if len(plans) == 1 or jobs == 1:
        yield from map(run, plans)
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from pool.imap_unordered(run, plans)


def _show(result: Result, *, quiet: bool) -> None:
    if result.violation is not None:
        print(told(result), flush=True)
    elif not quiet:
        plan = result.plan
        print(
            f"{plan.nodes} devices, {plan.hours:g} h, {plan.shape}, seed {plan.seed}: {result.took_s:.1f} s,"
            f" {result.frames} frames, {result.signals} signals, {result.announces_per_hour:.1f} announces per"
            f" device and hour, {result.acknowledged} reliable frames acknowledged; every invariant held"
        )


def told(result: Result) -> str:
    """What did not hold, the command that repeats it, and of the nodes involved the last changes of their links."""
    return "\n".join(
        [
            f"FAILED at {result.at_s:.3f} s, seed {result.plan.seed}: {result.violation}",
            f"  again: {result.plan.command()}",
            *(f"  node {device_id}" for device_id in result.nodes),
            *(f"  {line}" for line in (*result.happened, *result.traces)),
        ]
    )


def plan_of(words: Sequence[str]) -> Plan:
    """The plan of a command line that means one run. `SystemExit` for words that mean none."""
    [plan] = _plans(_parser().parse_args(words))
    return plan


def _plans(arguments: argparse.Namespace) -> list[Plan]:
    if arguments.any:
        return [Plan.drawn(arguments.seed + number) for number in range(arguments.seeds)]
    plan = Plan(
        nodes=arguments.nodes,
        hours=arguments.hours,
        shape=arguments.shape,
        kind=arguments.kind,
        trouble=arguments.trouble,
        seed=arguments.seed,
        conditions=Conditions(
            nat=arguments.nat,
            turn=arguments.turn,
            relays=arguments.relays,
            skew_s=arguments.skew,
            latency_ms=arguments.latency,
            loss=arguments.loss,
        ),
    )
    return [evolve(plan, seed=plan.seed + number) for number in range(arguments.seeds)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m myownmesh.simulator", description=__doc__)
    parser.add_argument("--nodes", type=_count, default=10)
    parser.add_argument("--hours", type=_amount, default=0.25, help="of virtual time")
    parser.add_argument("--shape", choices=SHAPES, default="full_mesh")
    parser.add_argument("--kind", choices=KINDS, default="open")
    parser.add_argument("--trouble", choices=TROUBLES, default="none", help="how much goes wrong")
    usual = Conditions()
    parser.add_argument("--nat", choices=NAT_CHOICES, default=usual.nat, help="the router before each device")
    parser.add_argument("--turn", type=_share, default=usual.turn, help="share of the devices with a TURN server")
    parser.add_argument("--relays", type=_relays, default=usual.relays, help="of several each device uses two")
    parser.add_argument("--skew", type=_amount, default=usual.skew_s, help="seconds by which clocks are wrong, at most")
    parser.add_argument("--latency", type=_amount, default=usual.latency_ms, help="milliseconds, one way")
    parser.add_argument("--loss", type=_loss, default=usual.loss, help="share of the packets that get lost")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=_count, default=1, help="run so many, from --seed on")
    parser.add_argument("--any", action="store_true", help="each seed decides everything, also what other options say")
    parser.add_argument("--jobs", type=_count, default=os.cpu_count() or 1, help="processes for many seeds")
    return parser


def _share(text: str) -> float:
    if not 0.0 <= (value := float(text)) <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is no share from 0 to 1")
    return value


def _loss(text: str) -> float:
    if (value := _share(text)) > MOST_LOSS:
        raise argparse.ArgumentTypeError(f"{text} is more than {MOST_LOSS:g}: nothing would ever arrive")
    return value


def _amount(text: str) -> float:
    if not 0.0 <= (value := float(text)) <= MOST:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {MOST:g}")
    return value


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _relays(text: str) -> int:
    if (value := int(text)) != 1 and value < RELAYS_EACH:
        raise argparse.ArgumentTypeError(f"{text} is neither 1 nor {RELAYS_EACH} or more")
    return value
