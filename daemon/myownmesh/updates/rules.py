"""What a start of the daemon owes the update before it (spec 09 §10.6). Pure."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto

from myownmesh.updates.records import State

STARTS_ALLOWED = 2
"""Starts that an update may fail in; the next one brings the version before it back."""
KEEP_PREVIOUS_S = 7 * 24 * 3600.0
"""After the new version was confirmed."""


class Duty(Enum):
    """What is done before anything else of a start."""

    NOTHING = auto()
    NOTE = auto()
    """Write the state down, and go on."""
    ROLL_BACK = auto()
    """Bring the version before this one back, and become it."""


def at_start(state: State | None, own: str, *, way_back: bool, now: float) -> tuple[Duty, State]:
    """What this start, of version `own`, has to do. `way_back`: the version before it is still there."""
    if state is None:
        return Duty.NOTHING, State(own)
    if state.current == own:
        if not state.unconfirmed:
            return Duty.NOTHING, state
        counted = replace(state, boots=state.boots + 1)
        if counted.boots > STARTS_ALLOWED and way_back:
            return Duty.ROLL_BACK, rolled_back(counted, f"it did not stay up in {STARTS_ALLOWED} starts", now)
        return Duty.NOTE, counted
    if state.rolled_back_from == own and way_back:
        # Killed between the note of a rollback and its swap.
        return Duty.ROLL_BACK, state
    # Killed between the note of a swap and the swap, or a person put another version in.
    return Duty.NOTE, in_place(state, own)


def in_place(state: State | None, version: str) -> State:
    """The state of a version that is on the disk, whatever was written down when."""
    if state is None:
        return State(version)
    if state.current == version:
        return state
    return State(version, rolled_back_from=state.rolled_back_from, quarantine=state.quarantine)


def swapped(state: State, version: str, verified: str, now: float) -> State:
    """From before a swap on: the new version has to show that it works."""
    return State(
        version,
        previous=state.current,
        status="unconfirmed",
        applied_at=int(now),
        verified=verified,
        quarantine=state.without_quarantined(version).quarantine,
    )


def rolled_back(state: State, reason: str, now: float) -> State:
    """From before a rollback on: the version that goes is never taken again by itself. There must be a previous one."""
    assert state.previous is not None
    return State(
        state.previous,
        rolled_back_from=state.current,
        quarantine=state.with_quarantined(state.current, reason, now).quarantine,
    )


def confirmed(state: State, now: float) -> State:
    """The new version has served for a while."""
    return replace(state, status="confirmed", boots=0, confirmed_at=int(now))


def stopped_in_order(state: State) -> State:
    """An unconfirmed version served and was asked to stop: that start does not count against it."""
    return replace(state, boots=max(0, state.boots - 1))


def previous_is_done(state: State, now: float) -> bool:
    """Whether the version before this one may be deleted."""
    if state.previous is None or state.confirmed_at is None:
        return False
    return not 0 <= now - state.confirmed_at < KEEP_PREVIOUS_S
