"""What the session of a link, or of a successor, reports: each event to the room that it concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from myownmesh.engine import handshake, intake, negotiation, paths, presence, reports, successors
from myownmesh.engine.links import (
    CandidateRejected,
    ChannelClosed,
    ChannelOpened,
    GatheringDone,
    LocalCandidate,
    LocalDescription,
    NegotiationFailed,
    PairSelected,
    PathChanged,
    RemoteApplied,
)
from myownmesh.engine.peer import Connecting

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.links import LinkEvent
    from myownmesh.engine.peer import Link
    from myownmesh.protocol.clock import Instant


def receive(core: Core, link: Link, event: LinkEvent, now: Instant) -> None:
    """A transport is made in the same way wherever it stands; what its path and its end mean is not the same."""
    match event:
        case LocalDescription():
            reports.local_description(core, link, event, now)
        case LocalCandidate(candidate):
            reports.local_candidate(core, link, candidate, now)
        case GatheringDone():
            reports.gathering_done(core, link, event, now)
        case RemoteApplied():
            reports.remote_applied(core, link, event, now)
        case ChannelOpened():
            if isinstance(link, Connecting):
                handshake.start(core, link, event, now)
                for data in link.early_frames:  # what came before this event counts now
                    intake.receive(core, link.device_id, link.epoch, data, now)
        case _ if core.is_successor(link):
            successors.receive_event(core, link, event)
        case CandidateRejected():
            reports.candidate_rejected(core, link, event, now)
        case NegotiationFailed():
            reports.failed(core, link, event, now)
        case ChannelClosed(reason):
            core.diag(now, "warn", "transport", "channel closed", {"peer": link.device_id, "reason": reason})
            negotiation.channel_closed(core, link, presence.how_it_closed(link, now.mono), now)
        case PathChanged():
            paths.changed(core, link, event, now)
        case PairSelected():
            paths.pair_selected(core, link, event, now)
        case _:
            assert_never(event)
