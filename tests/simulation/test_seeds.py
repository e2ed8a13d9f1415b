"""Seeds that failed once, and fresh ones: at each run of the suite others.

`MESH_SIMULATION_SEED` names the first fresh seed, `MESH_SIMULATION_SECONDS` how much time of a processor they get.
Thousands on all cores: `python -m myownmesh.simulator --any --seeds 2000`.
"""

from __future__ import annotations

import os
import random
import shlex
import time
from itertools import count
from pathlib import Path

import pytest

from myownmesh.simulator.command import plan_of, told
from myownmesh.simulator.plan import Plan
from myownmesh.simulator.run import run

FAILED_ONCE = Path(__file__).with_name("failed_seeds.txt")
COMMAND = "python -m myownmesh.simulator "
CPU_S = float(os.environ.get("MESH_SIMULATION_SECONDS") or 4.0)


@pytest.mark.slow
def test_what_failed_once_holds() -> None:
    lines = FAILED_ONCE.read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            result = run(plan_of(shlex.split(line.removeprefix(COMMAND))))
            assert result.violation is None, told(result)


@pytest.mark.slow
@pytest.mark.timeout(120 + 6 * CPU_S)
def test_fresh_seeds_hold_every_invariant() -> None:
    first = int(os.environ.get("MESH_SIMULATION_SEED") or random.SystemRandom().randrange(10**9))
    began = time.process_time()
    for seed in count(first):
        result = run(Plan.drawn(seed))
        assert result.violation is None, f"{told(result)}\n\nadd its command to {FAILED_ONCE.name}"
        if time.process_time() - began >= CPU_S:
            print(f"{seed - first + 1} seeds from {first} on")
            return


def test_a_plan_that_is_drawn_is_repeated_by_its_command() -> None:
    for seed in range(50):
        plan = Plan.drawn(seed)
        assert plan_of(shlex.split(plan.command().removeprefix(COMMAND))) == plan
