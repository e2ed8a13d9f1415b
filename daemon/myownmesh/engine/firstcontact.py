"""Joining, or having lost the state: whose links may carry more than governance frames (spec 02 §24.3 no. 50)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from myownmesh.engine import approval, ruling
from myownmesh.governance.remnant import is_short, offer

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.protocol.clock import Instant

MISSING_S: Final = 600.0
"""So long nobody may have had the missing entries before a person is asked whether to go on without them."""


def answered(core: Core, device_id: str, now: Instant) -> None:
    """A device has answered a pull; if it is one that can tell, links are what they are elsewhere."""
    government = core.government
    if government.contact is None:
        return
    government.contact = government.contact.answered(government.book, device_id)
    if government.contact.over:
        core.diag(now, "info", "governance", "an authority has answered; this device knows who belongs here")
        _over(core, now)


def clicked(core: Core, device_id: str, now: Instant) -> None:
    """A person here lets a device in, whatever is known of the network.

    Where nobody else who decides is known, it is the word of the one who does.
    """
    contact, book = core.government.contact, core.government.book
    if contact is None:
        return
    core.government.clicked.add(device_id)
    is_authority = book.standing.is_authority(core.me) or book.pin.founder == core.me
    if is_authority and not book.standing.authorities - {core.me}:
        _over(core, now)


def look_for_the_missing(core: Core, now: Instant) -> None:
    """Every minute after a loss: where nobody linked has the missing entries, a person is asked to go on without.

    What peers say of their counts is not looked at: whoever has the entries has told them within seconds.
    """
    government = core.government
    book = government.book
    if not is_short(book):
        government.missing_since = None
        return
    if government.missing_since is None:
        government.missing_since = now.mono
    elif now.mono - government.missing_since >= MISSING_S:
        offered = offer(book)
        if offered is not book:
            text = f"nobody linked has all {book.lost} entries of the lost log; a person may go on with {len(book.log)}"
            detail = {"hint": "log_lost", "network": core.network_id, "entries": len(book.log), "missing": book.lost}
            core.diag(now, "warn", "governance", text, detail)
            ruling.take(core, offered, now)


def _over(core: Core, now: Instant) -> None:
    government = core.government
    government.contact = None
    ruling.take(core, replace(government.book, pin=government.book.pin.awaiting(contact=False)), now)
    approval.admit_provisional(core, now)
