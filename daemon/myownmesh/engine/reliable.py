"""The receiving half of reliable channels: deliver once, acknowledge always (spec 01 §13.2).

Sending reliably is not built yet. This half alone is what `reliable_channels_v1` in our hello promises: a peer that
reads it sends `channel_seq` instead of `channel`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine.actions import Deliver
from myownmesh.protocol.frames import ChannelAck

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Live
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import ChannelSeq


def receive(core: Core, peer: Live, frame: ChannelSeq, now: Instant) -> None:
    """Deliver what is above the mark. The mark outlives links, or a repeat after a rebuild would come twice.

    Gaps are legal: an entry may have expired at the sender. Only one stream is remembered per peer.
    """
    memory = core.memories.of(peer.device_id)
    if frame.stream != memory.stream:
        memory.stream, memory.last_seq = frame.stream, 0
    if frame.seq > memory.last_seq:
        memory.last_seq = frame.seq
        core.out.append(Deliver(peer.device_id, peer.epoch, frame))
    core.send(peer, ChannelAck(stream=frame.stream, up_to=memory.last_seq), now)
