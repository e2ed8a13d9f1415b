"""Settings of the whole suite."""

from __future__ import annotations

from hypothesis import settings

from support.examples import FAST, FAST_EXAMPLES

# Both cores are shared with other tests: how long one example takes says nothing about the code.
settings.register_profile("whole", deadline=None)
# The fast loop (scripts/check): a few examples of each property; scripts/test draws them all.
settings.register_profile("fast", deadline=None, max_examples=FAST_EXAMPLES)
settings.load_profile("fast" if FAST else "whole")
