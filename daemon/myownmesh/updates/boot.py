"""The first thing that ``serve`` of a packed daemon does: what the last update needs, and the next one (spec 09
§10.6).

Loads little, so that a new version that cannot even load itself is counted, and brings the one before it back.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

from mesh_common.client.address import NoHome, data_directory
from mesh_common.files import read_regular
from mesh_common.version import VERSION
from myownmesh.updates import rules, swap
from myownmesh.updates.errors import UpdateError
from myownmesh.updates.installation import find
from myownmesh.updates.place import Place
from myownmesh.updates.rules import Duty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.updates.installation import Installation

_CONFIG_MAX_BYTES = 16 * 1024 * 1024


def begin(environ: Mapping[str, str] = os.environ) -> None:
    """Settle what is owed, then put in what waits for this start. Returns in the version that is to run.

    Never keeps the daemon from starting: what goes wrong is said on stderr, and the start goes on.
    """
    installation = find(environ)
    if installation.managed is not None and not _probation(installation):
        return
    try:
        place = Place(data_directory(environ))
        if place.state() is None and place.staged() is None:
            return
        with place.lock():
            goes_back = _settle(place, installation)
            has_new = not goes_back and _put_in(place, installation, environ)
        if goes_back:
            swap.become(installation, sys.argv[1:])
        if has_new:
            _become_new(place, installation)
    except (NoHome, OSError, UpdateError) as error:
        print(f"update: {error}; going on with {VERSION}", file=sys.stderr)


def _probation(installation: Installation) -> bool:
    """A folder that became read-only may still have to be left behind; a checkout never."""
    return installation.kind != "source"


def _settle(place: Place, installation: Installation) -> bool:
    """Whether this process must become the version before it."""
    state = place.state()
    duty, after = rules.at_start(state, VERSION, way_back=swap.way_back(installation, state), now=time.time())
    if duty is Duty.ROLL_BACK:
        print(f"update: {VERSION} did not stay up; going back to {after.current}", file=sys.stderr)
        swap.put_back(place, installation, after)
        return True
    if duty is Duty.NOTE:
        place.write(after)
    return False


def _put_in(place: Place, installation: Installation, environ: Mapping[str, str]) -> bool:
    """Whether this process must become the version that was staged."""
    staged, state = place.staged(), rules.in_place(place.state(), VERSION)
    if staged is None or not staged.auto or _switched_off(environ) or installation.managed is not None:
        return False
    if not swap.fits(place, installation, staged, state):
        return False
    try:
        swap.put_in(place, installation, staged, state)
    except swap.Altered as error:
        swap.refuse(place, installation, staged, state, str(error))
        raise
    return True


def _become_new(place: Place, installation: Installation) -> None:
    try:
        swap.become(installation, sys.argv[1:])
    except OSError as error:
        with place.lock():
            state = place.state()
            if state is not None and state.previous is not None:
                swap.put_back(place, installation, rules.rolled_back(state, f"it does not start: {error}", time.time()))
        raise


def _switched_off(environ: Mapping[str, str]) -> bool:
    """By the environment or the configuration, which is read here without what the daemon reads it with."""
    from myownmesh.updates.preferences import switched_off

    if switched_off(environ):
        return True
    try:
        document = json.loads(read_regular(data_directory(environ) / "config.json", _CONFIG_MAX_BYTES))
        return document["auto_update"]["enabled"] is False
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
