"""One bound life of the client: from the wish to be online until a stop, a switch or a loss (spec 08 §5.9). Pure.

Everything that hangs on a network or on a connection is in here, so a new life begins with nothing of the old one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

from myownllm.client.registry import CallLoad

if TYPE_CHECKING:
    from collections import deque

    from mesh_common.client.errors import ControlError
    from mesh_common.client.frames import ChannelInbound, RpcInbound
    from myownllm.capabilities import Capabilities
    from myownllm.catalog.network import SavedNetwork
    from myownllm.client.messages import Link, Serve
    from myownllm.client.registry import Claim
    from myownllm.errors import Failure

Stage = Literal["starting", "up", "ending"]


@attrs.define(eq=False)
class Life:
    """State that ends with the life."""

    number: int
    stage: Stage = "starting"
    """`up`: events, handlers and capabilities are installed. `ending`: what was installed is being undone"""
    link: Link | None = None
    """the connection it hangs on; a start may wait for one"""
    network: SavedNetwork | None = None
    """the active record as it was when this life bound to it"""
    catalog_read: bool = False
    wire_id: str = ""
    error: Failure | None = None
    """why its start failed"""
    again: bool = False
    """start a new life when this one has ended"""
    starters: list[int] = attrs.field(factory=list)
    """tickets of those who wait for the outcome of its start"""
    claimed: dict[Claim, bool] = attrs.field(factory=dict)
    """what the daemon holds for this life, in the order it was claimed; true when it has confirmed that"""
    refused: dict[Claim, ControlError] = attrs.field(factory=dict)
    """claims that it does not get"""
    claims_dirty: bool = False
    asking: list[int] = attrs.field(factory=list)
    """tickets of those who wait for something that this life does"""
    load: CallLoad = attrs.field(factory=CallLoad)
    serving: dict[str, Serve] = attrs.field(factory=dict)
    """calls under way, by request id"""
    doubted: dict[str, deque[RpcInbound | ChannelInbound]] = attrs.field(factory=dict)
    """frames of devices that are looked up before they count, by device"""
    doubted_lost: int = 0
    """messages of such devices that there was no room for"""
    refusing: int = 0
    """callers that are being told no"""
    grace_s: dict[str, float] = attrs.field(factory=dict)
    """how long the daemon gives a dropped peer to come back"""
    published: Capabilities | None = None
    """the capabilities that peers were told last"""
    advert_told: frozenset[str] = frozenset()
    """peers that were there when they were told, where the daemon does not tell newcomers by itself"""
    advert_changes: int = 0
    """how often the capabilities changed since they were told"""
    displaced_at: dict[str, float] = attrs.field(factory=dict)
    peers_dirty: bool = False
    peers_asked: int = 0
    peers_shown: int = 0
    """number of the question whose answer is shown"""
    resync: bool = False
    """with the peers read the phase, too"""
    recheck: bool = False
    looks: int = 0
    """how often the daemon's networks were compared"""
    edits_asked: int = 0
    edits_done: int = 0
    edited_at: float = 0.0
    """when the last edit was asked for, in seconds of the machine's clock"""
    may_disrupt: bool = False
    """a person has said that the present edit may cut off what runs"""

    def is_started(self) -> bool:
        """Is its start over, well or badly?"""
        return self.stage != "starting"

    def is_for(self, network: SavedNetwork | None) -> bool:
        """Is this life bound to that saved network (or to none, when it is None)?"""
        bound = self.network
        if bound is None or network is None:
            return bound is network
        return (bound.id, bound.wire_id) == (network.id, network.wire_id)
