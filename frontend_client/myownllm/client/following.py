"""Following the saved networks: what is active there is what a life is for (spec 08 §5.7). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from myownllm.client import asks
from myownllm.client.messages import Done, Note
from myownllm.client.procedures import NO_LIFE, Until
from myownllm.client.state import Settings
from myownllm.errors import FAILURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.catalog.model import Catalog
    from myownllm.client.life import Life
    from myownllm.client.procedures import Procedure, Procedures
    from myownllm.client.state import Picture


@attrs.define(eq=False)
class Following:
    """One look at the saved networks at a time, and what it leads to."""

    picture: Picture
    procedures: Procedures
    life: Callable[[], Life | None]
    """The present one."""
    switch: Callable[[str | None], Procedure[None]]
    """A new life for the network of this name, or for none; over when it has started."""
    _tickets: list[int] = attrs.field(factory=list, init=False)
    _runs: bool = attrs.field(default=False, init=False)
    _again: bool = attrs.field(default=False, init=False)

    def ask(self, ticket: int | None = None) -> None:
        """Look now, or once more after the look that is under way; whoever has a ticket hears when it is done."""
        if ticket is not None:
            self._tickets.append(ticket)
        self._again = True
        if not self._runs:
            self._runs = True
            self.procedures.begin(self._run(), NO_LIFE)

    def _run(self) -> Procedure[None]:
        """One at a time; what is asked for meanwhile collapses into one more (FE-5.21)."""
        while self._again:
            self._again = False
            tickets, self._tickets = self._tickets, []
            yield from self._reconcile()
            for ticket in tickets:
                yield Done(ticket)
        self._runs = False

    def _reconcile(self) -> Procedure[None]:
        """Switch, start, bring edits in, or look anew (spec 08 §5.7)."""
        try:
            catalog = yield from asks.catalog()
        except FAILURES as error:
            yield Note("warn", f"reconcile loadConfig failed: {error}")
            return
        desired, life = catalog.active, self.life()
        if life is not None and life.stage == "starting" and (life.is_for(desired) or not life.catalog_read):
            yield Until(life.is_started)
        life = self.life()
        if life is None or life.stage != "up" or not life.is_for(desired):
            yield from self.switch(None if desired is None else desired.handle)
            return
        take_edits(life, catalog, self.picture)
        if life.edits_asked > life.edits_done:
            life.recheck = True
            wanted, looks = life.edits_asked, life.looks
            yield Until(
                lambda: (
                    life.edits_done >= wanted
                    or self.life() is not life
                    or (self.picture.state.settings.state == "waiting" and life.looks > looks)
                )
            )
        else:
            life.peers_dirty = True


def take_edits(life: Life, catalog: Catalog, picture: Picture) -> bool:
    """What is saved of the network that a life is for is what it is for from here on. True: the daemon has to hear.

    Whoever reads the file takes the news from the one who watches it, so every reader in a life hands it to this.
    """
    before, life.network = life.network, catalog.active
    saved = life.network
    life.advert_changes += picture.state.accepting != (saved.accepting if saved else "available")
    picture.show_active(catalog, life.wire_id)
    if saved is None or before is None or saved.to_daemon() == before.to_daemon():
        return False
    life.edits_asked += 1
    picture.update(settings=Settings("pending"))
    return True
