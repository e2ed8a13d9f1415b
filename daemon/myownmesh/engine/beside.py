"""The second transport of a peer: its successor is made beside the link that works (spec 04 §15.2 no. 32, 03 §23-F).

One at most. Until it has proved whose it is the link stays, for anybody in the room can offer. Nothing of it is told to
clients, its timers are its own, and it ends without a word. It takes the link's place by its proof, or when the link
ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.events import PeerSighted
from myownmesh.engine.actions import CloseSession

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Link
    from myownmesh.protocol.clock import Instant


def end(core: Core, device_id: str) -> None:
    """Close what is made beside a link, if anything is."""
    successor = core.successors.pop(device_id, None)
    if successor is not None:
        core.timers.cancel_link(successor.owner)
        if (certificate := successor.transport.remote_fingerprint) is not None:
            core.memories.of(device_id).certificate_ended(certificate)
        core.out.append(CloseSession(device_id, successor.epoch))


def promote(core: Core, successor: Link, now: Instant) -> None:
    """The place of the link is free: from now on the successor is the link."""
    del core.successors[successor.device_id]
    core.timers.rename_link(successor.owner, successor.device_id)
    successor.transport.owner = ""
    core.emit(PeerSighted(core.network_id, successor.device_id))
    core.install(successor, now)
    core.refresh_phase()
