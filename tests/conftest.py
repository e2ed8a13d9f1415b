"""Settings of the whole suite."""

from __future__ import annotations

from hypothesis import settings

# Both cores are shared with other tests: how long one example takes says nothing about the code.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")
