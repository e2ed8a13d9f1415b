"""A device in the role `relay` hands frames on between two members, over real links (spec 06 §5)."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import trio

from support.daemons import daemon, host_relay, network_record

if TYPE_CHECKING:
    from pathlib import Path

CHANNEL = "__mesh_relay__/v1"


async def test_what_one_member_sends_for_another_arrives_with_its_name(tmp_path: Path) -> None:
    with trio.fail_after(60):
        async with AsyncExitStack() as stack:
            relay, ann, ben = [await stack.enter_async_context(daemon(tmp_path / name)) for name in ("r", "a", "b")]
            record = network_record("home", await host_relay(relay), auto_approve=True)
            status = (await relay.ask("services_status"))["config"]
            services = {**status, "relay": {"enabled": True, "max_fanout": 0}}
            names = {}
            for each in (relay, ann, ben):
                await each.ask("network_add", config=record)
                names[each] = (await each.ask("identity_show"))["pubkey"]
            reported = await relay.ask("services_set", services=services)
            assert reported["status"]["relay"] == {"enabled": True, "networks": 1, "max_fanout": 0}
            for one, other in ((ann, relay), (relay, ann), (ben, relay), (relay, ben)):
                await one.wait_for_peer("home", names[other])
            events = await ben.control()
            client = (await events.ask("events_subscribe"))["client_id"]
            await ben.ask("channel_subscribe", client_id=client, network="home", channel=CHANNEL)
            target = {"network": "home", "peer": names[relay], "channel": CHANNEL}
            foreign = {"dst": names[ben], "src": names[relay], "payload": "not ann's"}
            await ann.ask("channel_send_to", payload=foreign, **target)
            await ann.ask("channel_send_to", payload={"dst": names[ben], "payload": {"n": 1}}, **target)
            while (frame := await events.frame())["kind"] != "channel_inbound":
                pass
            assert frame["from"] == names[relay]
            assert frame["payload"] == {"dst": "", "src": names[ann], "payload": {"n": 1}}
            peer = await ann.wait_for_peer("home", names[relay])
            assert "service:relay" in peer["capabilities"]["tags"]
            assert peer["capabilities"]["extra"]["services"]["relay"] is True
