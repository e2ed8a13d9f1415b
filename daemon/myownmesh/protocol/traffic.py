"""What counts as what in the traffic counters of a network (spec 01 §17.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.protocol.frames import KINDS

if TYPE_CHECKING:
    from mesh_common.views import Lane, Traffic


def count_sent(traffic: Traffic, kind: str, nbytes: int) -> None:
    """Count one frame that left."""
    lane: Lane = getattr(traffic, _TX.get(kind, "other_tx"))
    lane.frames += 1
    lane.bytes += nbytes


def count_received(traffic: Traffic, kind: str, nbytes: int) -> None:
    """Count one inbound frame of an admitted peer or of an ungated kind."""
    lane: Lane = getattr(traffic, _RX.get(kind, "other_rx"))
    lane.frames += 1
    lane.bytes += nbytes


_TX: Final = {kind: f"{frame.TRAFFIC}_tx" for kind, frame in KINDS.items()}
_RX: Final = {kind: f"{frame.TRAFFIC}_rx" for kind, frame in KINDS.items()}
