"""Devices in the role `relay` hand frames on between members, over real links (spec 06 §5, A, B)."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import trio

from support.daemons import daemon, host_relay, network_record

if TYPE_CHECKING:
    from pathlib import Path

    from support.daemons import Control, Daemon

NETWORK = "home"
CHANNEL = "__mesh_relay__/v1"
ROUNDS = 20


async def subscribed(device: Daemon) -> Control:
    """A connection that hears the relay channel and the diagnostics of a device."""
    events = await device.control()
    client = (await events.ask("events_subscribe"))["client_id"]
    await device.ask("channel_subscribe", client_id=client, network=NETWORK, channel=CHANNEL)
    return events


async def say(sender: Daemon, to: Daemon, payload: dict[str, Any]) -> None:
    await sender.ask("channel_send_to", network=NETWORK, peer=to.device_id, channel=CHANNEL, payload=payload)


async def inbound(events: Control) -> tuple[str, Any]:
    """The next frame of the channel: whose link it came over, and what it holds."""
    while (frame := await events.frame())["kind"] != "channel_inbound":
        pass
    return frame["from"], frame["payload"]


async def refusal(events: Control) -> Any:
    """The next diagnostic about an invented origin."""
    while "another device's" not in (event := (await events.frame()).get("event", {})).get("message", ""):
        pass
    return event


async def hand_on(device: Daemon) -> None:
    status = (await device.ask("services_status"))["config"]
    services = {**status, "relay": {"enabled": True, "max_fanout": 0}}
    reported = await device.ask("services_set", services=services)
    assert reported["status"]["relay"] == {"enabled": True, "networks": 1, "max_fanout": 0}


async def until_it_is_known(device: Daemon, relay: Daemon) -> None:
    """Until a device has heard that another one hands frames on."""
    with trio.fail_after(20):
        while "service:relay" not in (await device.wait_for_peer(NETWORK, relay.device_id))["capabilities"]["tags"]:
            await trio.sleep(0.02)


async def test_what_members_send_for_others_arrives_with_their_names_and_invented_ones_nowhere(tmp_path: Path) -> None:
    with trio.fail_after(120):
        async with AsyncExitStack() as stack:
            relay, ann, ben = [await stack.enter_async_context(daemon(tmp_path / name)) for name in ("r", "a", "b")]
            record = network_record(NETWORK, await host_relay(relay), auto_approve=True)
            for each in (relay, ann, ben):
                await each.ask("network_add", config=record)
            await hand_on(relay)
            for one, other in ((ann, relay), (relay, ann), (ben, relay), (relay, ben), (ann, ben), (ben, ann)):
                await one.wait_for_peer(NETWORK, other.device_id)
            for each in (ann, ben):
                await until_it_is_known(each, relay)
            seen = await ann.peer(NETWORK, relay.device_id)
            assert seen is not None
            assert seen["capabilities"]["extra"]["services"]["relay"] is True
            at_relay, at_ann, at_ben = [await subscribed(each) for each in (relay, ann, ben)]

            # What ann says is ben's or the relay's word goes nowhere, by the relay or straight to ben.
            for claimed, to, told in ((ben, relay, at_relay), (relay, ben, at_ben)):
                for payload in ("invented", {"__channel": "chat", "__body": 1, "__ttl": 4, "__id": 7}):
                    await say(ann, to, {"dst": "", "src": claimed.device_id, "payload": payload})
                event = await refusal(told)
                assert (event["level"], event["category"], event["detail"]["peer"]) == ("warn", "auth", ann.device_id)
            await say(ann, relay, {"dst": ben.device_id, "payload": {"n": 1}})
            handed_on = {"dst": "", "src": ann.device_id, "payload": {"n": 1}}
            assert await inbound(at_ben) == (relay.device_id, handed_on), "the first that ben hears"

            # Three relays, each with a link to each: v0.3.8 sends one broadcast round for ever.
            for each in (ann, ben):
                await hand_on(each)
            for one, other in ((relay, ann), (relay, ben), (ann, ben), (ben, ann)):
                await until_it_is_known(one, other)
            assert (await inbound(at_relay))[1] == {"dst": ben.device_id, "payload": {"n": 1}}
            for number in range(ROUNDS):
                await say(ann, relay, {"dst": "", "payload": number})
            heard = [await inbound(at_ben) for _ in range(ROUNDS)]
            assert heard == [
                (relay.device_id, {"dst": "", "src": ann.device_id, "payload": number}) for number in range(ROUNDS)
            ]
            # Behind them ann hears nothing of its own, ben nothing twice and the relay nothing that it sent.
            for each in (relay, ben):
                await say(each, ann, {"dst": ann.device_id, "payload": "last"})
            assert {(await inbound(at_ann))[0] for _ in range(2)} == {relay.device_id, ben.device_id}
            await say(ann, ben, {"dst": ben.device_id, "payload": "last"})
            assert await inbound(at_ben) == (ann.device_id, {"dst": ben.device_id, "payload": "last"})
            assert [(await inbound(at_relay))[1]["payload"] for _ in range(ROUNDS)] == list(range(ROUNDS))
