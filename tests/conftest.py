"""Settings of the whole suite."""

from __future__ import annotations

import signal

from hypothesis import settings

from support.examples import FAST, FAST_EXAMPLES

# Both cores are shared with other tests: how long one example takes says nothing about the code.
settings.register_profile("whole", deadline=None)
# The fast loop (scripts/check): a few examples of each property; scripts/test draws them all.
settings.register_profile("fast", deadline=None, max_examples=FAST_EXAMPLES)
settings.load_profile("fast" if FAST else "whole")


def pytest_configure() -> None:
    """The programs under test end as in a terminal, also when whoever runs the tests ignores Ctrl-C and hang-ups."""
    for number, action in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, action)
