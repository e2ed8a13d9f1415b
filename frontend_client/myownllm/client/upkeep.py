"""While a life is up: whether the daemon still has what this app shows, and edits on their way in (spec 08). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.client.errors import ControlError
from mesh_common.values import Value
from myownllm.client import asks
from myownllm.client.following import take_edits
from myownllm.client.messages import Note
from myownllm.client.procedures import Until
from myownllm.client.start import look_at_network
from myownllm.client.sync import Pass
from myownllm.errors import FAILURES
from myownllm.relays import troubled

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.catalog.model import Catalog
    from myownllm.client.life import Life
    from myownllm.client.procedures import Procedure, Procedures
    from myownllm.client.state import Picture

CHECK_ONLINE_S: Final = 5.0
"""One `status` and one `networks_list`; no event tells that another program removed the network, or of relays."""
CHECK_UNSETTLED_S: Final = 2.0
"""While not online or while a relay does not serve: what a person waits for is shown soon."""
COALESCE_S: Final = 1.0
COALESCE_MAX_S: Final = 5.0
"""Whoever edits on and on sees something of it."""


class Upkeep(Value, frozen=True):
    """Looks again and again, in each life that is up."""

    picture: Picture
    procedures: Procedures
    follow: Callable[[], None]
    """Another network is active than the life is for."""
    renew: Callable[[Life], None]
    """The life is over; another one begins."""

    def run(self, life: Life) -> Procedure[None]:
        """Look again whether the daemon still has what this app shows: every few seconds, at once when in doubt."""
        while True:
            heard = not (troubled(self.picture.state.relays) or self.picture.state.is_joining)
            settled = (self.picture.state.status == "online" and heard) or not life.wire_id
            yield Until(lambda: life.recheck, CHECK_ONLINE_S if settled else CHECK_UNSETTLED_S)
            life.recheck = False
            edits = life.edits_asked
            try:
                catalog = yield from self._read(life)
                if life.edits_asked > life.edits_done:
                    yield from self._let_edits_settle(life)
                    catalog = yield from self._read(life)
                edits = life.edits_asked
                if life.is_for(catalog.active):
                    yield from self._look(life, catalog, check_edits=edits > life.edits_done)
                else:  # reading it took the news from whoever watches the file
                    self.follow()
            except FAILURES as error:
                yield Note("warn", f"network check failed: {error}")
            if self.picture.state.settings.state != "waiting":
                life.edits_done = edits
                life.may_disrupt = False
            life.looks += 1

    def _read(self, life: Life) -> Procedure[Catalog]:
        """The saved networks, with what is new there. Raises HomeError."""
        catalog = yield from asks.catalog()
        if life.is_for(catalog.active) and take_edits(life, catalog, self.picture):
            life.edited_at = self.procedures.now
        return catalog

    def _let_edits_settle(self, life: Life) -> Procedure[None]:
        """Several edits in a row are brought in together, a second after the last one (FE-8.6)."""
        first = self.procedures.now
        while not life.may_disrupt:
            due = min(life.edited_at + COALESCE_S, first + COALESCE_MAX_S)
            if due <= self.procedures.now:
                return
            yield Until(lambda: life.may_disrupt, due - self.procedures.now)

    def _look(self, life: Life, catalog: Catalog, *, check_edits: bool) -> Procedure[None]:
        """A pass in a running life; what it changed makes a new life, because claims may be gone."""
        assert life.link is not None
        try:
            here = Pass(life.link, (yield from asks.status()))
            may_disrupt = life.may_disrupt or not self.picture.state.is_busy
            result = yield from here.run(catalog, check_edits=check_edits, may_disrupt=may_disrupt)
        except ControlError as error:
            yield Note("warn", f"network sync failed: {error.text}")
            return
        if result.settings is not None:
            self.picture.update(settings=result.settings)
        if result.error:
            handle = catalog.active.handle if catalog.active is not None else ""
            self.picture.update(phase="error", error=f"cannot join '{handle}': {result.error}")
        elif result.changed or self.picture.state.phase == "error":
            self.renew(life)
        elif life.wire_id:
            phase = yield from look_at_network(life.wire_id, self.picture)
            if self.picture.state.phase in ("starting", "off"):
                self.picture.update(phase=phase or "signaling-up")
