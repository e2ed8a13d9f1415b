"""A new version shows that it works (spec 09 §10.6): what is written down about it while it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from myownmesh.updates import rules, swap

if TYPE_CHECKING:
    from myownmesh.updates.installation import Installation
    from myownmesh.updates.place import Place

CONFIRM_AFTER_S = 60.0
"""From the first answer of its own control socket."""


def confirm(place: Place, installation: Installation, version: str) -> bool:
    """The version that runs has served for a while. Whether it had to show that. Raises OSError."""
    if (state := place.state()) is None:
        return False
    with place.lock():
        state = rules.in_place(place.state(), version)
        if state.unconfirmed:
            place.write(rules.confirmed(state, time.time()))
            return True
    return False


def forget_previous(place: Place, installation: Installation, version: str) -> bool:
    """Delete the version before this one, when it has been confirmed for long enough. Raises OSError."""
    state = place.state()
    if state is None or state.current != version or not rules.previous_is_done(state, time.time()):
        return False
    with place.lock():
        swap.drop_previous(place, installation, state)
    return True


def stopped_in_order(place: Place, installation: Installation, version: str) -> bool:
    """It served, and was asked to stop. Raises OSError."""
    if (state := place.state()) is None or state.current != version or not state.unconfirmed:
        return False
    with place.lock():
        place.write(rules.stopped_in_order(state))
    return True
