"""Our daemon and the reference's own meet in a local network without relays, in both orders of their ids and of their
joining (spec 03 §18)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.lan import NETWORK, OURS, call, devices_beside, join, sees, until, until_active
from support.namespaces import needs_namespaces
from support.reference import REFERENCE, needs_reference

if TYPE_CHECKING:
    from support.devices import Device

pytestmark = [pytest.mark.slow, needs_reference, needs_namespaces]

THEIRS = Path(REFERENCE)


def parted(devices: list[Device]) -> tuple[Device, Device]:
    """Ours, and the reference's."""
    one, other = devices
    return (one, other) if one.program == OURS else (other, one)


@pytest.mark.parametrize("programs", [(OURS, THEIRS), (THEIRS, OURS)], ids=["we are lower", "we are higher"])
@pytest.mark.parametrize("first", ["we are there", "they are there"])
def test_they_meet_call_and_part(programs: tuple[Path, Path], first: str) -> None:
    with devices_beside(*programs) as (_, devices):
        ours, theirs = parted(devices)
        order = (ours, theirs) if first == "we are there" else (theirs, ours)
        for device in order:
            join(device)
        until_active(ours, theirs)
        for caller, callee in ((ours, theirs), (theirs, ours)):
            call(caller, callee, "echo")
        theirs.wire().data("network_remove", network=NETWORK)
        until(lambda: sees(ours, theirs) in (None, "offline", "sighted"), "ours sees that it left")
