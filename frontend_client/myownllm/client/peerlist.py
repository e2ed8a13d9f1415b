"""The list of peers, kept as the daemon has it (spec 08 §5.5, FE-5.16). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm.client import asks
from myownllm.client.messages import Note
from myownllm.client.procedures import FOREVER, Until, pause
from myownllm.client.start import look_at_network

if TYPE_CHECKING:
    from myownllm.client.life import Life
    from myownllm.client.procedures import Procedure
    from myownllm.client.state import Picture

SPACING_S: Final = 0.1
"""Seconds between two looks at the peers, at least (FE-5.16)."""
DECISION_POLL_S: Final = 0.25
"""While a device waits for an approval: no event tells that another program gave it."""


def keep(life: Life, picture: Picture) -> Procedure[None]:
    """One refresh at a time, none lost, no more than ten a second; for as long as the life is up."""
    while True:
        undecided = any(p.status in ("pending_approval", "pending_remote") for p in picture.state.peers)
        yield Until(lambda: life.peers_dirty, DECISION_POLL_S if undecided else FOREVER)
        life.peers_dirty = False
        resync, life.resync = life.resync, False
        if life.wire_id:
            try:
                yield from asks.show_peers(life, picture)
                if resync:
                    yield from show_phase(life, picture)
            except ControlError as error:
                life.resync = life.resync or resync
                life.recheck = life.recheck or error.kind is ErrorKind.UNKNOWN_NETWORK
                yield Note("warn", f"reconcile peers_list failed: {error.text}")
        yield pause(SPACING_S)


def show_phase(life: Life, picture: Picture) -> Procedure[None]:
    """The network's phase as the daemon has it now."""
    phase = yield from look_at_network(life.wire_id, picture)
    if phase is not None:
        picture.update(phase=phase)
