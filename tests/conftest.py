"""Settings of the whole suite."""

from __future__ import annotations

import os
import signal
from functools import cache
from itertools import chain, groupby
from typing import TYPE_CHECKING

import typer.main
from hypothesis import settings

from support.examples import FAST, FAST_EXAMPLES

if TYPE_CHECKING:
    import pytest

# Devices of tests that run beside each other would hear one another, and meet where a test has cut their relay. Who
# tests the local network gives its daemons machines of their own, and another word.
os.environ["MYOWNMESH_MDNS"] = "off"

# Both cores are shared with other tests: how long one example takes says nothing about the code.
# CI draws the same examples each time, as hypothesis' own profile for it does; whoever runs the suite elsewhere draws
# fresh ones.
settings.register_profile("whole", deadline=None, derandomize="CI" in os.environ)
# scripts/check, and scripts/test without --whole: a few examples of each property.
settings.register_profile("fast", deadline=None, max_examples=FAST_EXAMPLES)
settings.load_profile("fast" if FAST else "whole")

# Typer makes a command and its parameters anew for each run. A program runs one command; these tests run thousands.
typer.main.get_params_from_function = cache(typer.main.get_params_from_function)
typer.main.get_command_from_info = cache(typer.main.get_command_from_info)
typer.main.get_install_completion_arguments = cache(typer.main.get_install_completion_arguments)


def pytest_configure() -> None:
    """The programs under test end as in a terminal, also when whoever runs the tests ignores Ctrl-C and hang-ups."""
    for number, action in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, action)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several workers begin with the slow tests, so that none of them is still under way when all others are done.

    Each worker gets an equal run of the list, and takes from the others what they have not come to. Slow tests of one
    file stay together, because they share what is slow about them.
    """
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers == 1:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    files = [list(tests) for _, tests in groupby(slow, key=lambda item: item.path)]
    size = -(-len(items) // workers)
    order: list[pytest.Item] = []
    for worker in range(workers):
        first = list(chain.from_iterable(files[worker::workers]))
        order += first + quick[: max(size - len(first), 0)]
        del quick[: max(size - len(first), 0)]
    items[:] = order + quick
