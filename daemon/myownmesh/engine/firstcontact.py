"""Joining, or having lost the state: whose links may carry more than governance frames (spec 02 §24.3 no. 50)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import approval

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.protocol.clock import Instant


def answered(core: Core, device_id: str, now: Instant) -> None:
    """A device has answered a pull; if it is one that can tell, links are what they are elsewhere."""
    government = core.government
    if government.contact is None:
        return
    government.contact = government.contact.answered(government.book, device_id)
    if government.contact.over:
        government.contact = None
        core.diag(now, "info", "governance", "an authority has answered; this device knows who belongs here")
        approval.admit_provisional(core, now)


def clicked(core: Core, device_id: str) -> None:
    """A person here lets a device in, whatever is known of the network yet."""
    if core.government.contact is not None:
        core.government.clicked.add(device_id)
