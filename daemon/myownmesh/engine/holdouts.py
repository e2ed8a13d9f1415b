"""Whether this device keeps to a branch that others have left, for no reason that counts (spec 02 §24.3 no. 46).

What is told goes around within seconds. Who, after three looks, still keeps to its own while a linked device holds one
that would come first, asks its person; nothing here changes what counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import ruling
from myownmesh.engine.timers import NetworkTimer
from myownmesh.governance.holdouts import Looks, kept_out, look

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.protocol.clock import Instant


def take_look(core: Core, now: Instant) -> None:
    """One of the looks; there is another one as long as anything is kept out."""
    government = core.government
    book = government.book
    if government.kept_out is None:
        government.kept_out = kept_out(book.log, book.branches)
    if not government.kept_out:
        government.looks = Looks()
        return
    letters = government.letters
    shown = {letters[peer.device_id].log_digest for peer in core.live_peers() if peer.device_id in letters} - {""}
    after, government.looks = look(book, government.kept_out, shown, government.looks)
    core.timers.set(NetworkTimer.HOLDOUTS, "", now.mono + ruling.HOLDOUTS_S)
    if after is book:
        return
    if after.questions.rivals:
        text = "others hold a branch that this device is kept from by one that does not count; a person decides here"
        core.diag(now, "warn", "governance", text, {"hint": "held_out", "network": core.network_id})
    ruling.take(core, after, now)
