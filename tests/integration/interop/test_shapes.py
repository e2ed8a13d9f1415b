"""Shapes beside a v0.3.8 peer: envelopes, shelving by both sides, links that nobody needs (spec 01 §14, 04 §8.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.interop.stage import meeting, on_both_sides
from support.reference_peer import base32, seed_for

if TYPE_CHECKING:
    from integration.interop.stage import Side, Stage
    from support.daemons import Daemon

NOBODY = base32(seed_for(1))
"""The id of a hub that never comes."""


def enveloped(stage: Stage, number: int, body: Any) -> dict[str, Any]:
    inner = {"__channel": "c", "__body": body, "__ttl": 4, "__id": number}
    return {"dst": stage.daemon.device_id, "src": stage.peer.device_id, "payload": inner}


@on_both_sides
async def test_an_envelope_is_delivered_once_under_every_shape(ours: Daemon, side: Side) -> None:
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await stage.both_active()
        await stage.ask("channel_subscribe", client_id=stage.client_id, channel="c")
        for number, shape in enumerate(("full_mesh", "star"), 1):
            await stage.ask("topology_set", topology=shape, hub=peer.device_id if shape == "star" else None)
            for _ in range(2):
                peer.send("channel", channel="__mesh_relay__/v1", payload=enveloped(stage, number, shape))
            heard = await stage.inbound("channel_inbound", number)
            assert (heard["payload"], heard["from"]) == (shape, peer.device_id)
        await peer.alive()
        assert len([each for each in stage.events if each.get("kind") == "channel_inbound"]) == 2


@on_both_sides
async def test_a_link_that_both_sides_shelved_is_ended_and_the_peer_stays_listed(ours: Daemon, side: Side) -> None:
    async with meeting(ours, side) as stage:
        peer = stage.peer
        await stage.both_active()
        await stage.ask("topology_set", topology="star", hub=NOBODY)
        await peer.sees("shelve")
        assert await stage.status() == "shelved"
        await peer.alive()
        peer.send("shelve", reason="topology-rebalance")
        assert (await stage.event("dropped"))["reason"]["kind"] == "topology_pruned"
        await peer.until(lambda: peer.closes == 1, "the end of the channel")
        row = await stage.wait_for("sighted")
        assert row["why"]["code"] == "kept_apart_by_shape"
