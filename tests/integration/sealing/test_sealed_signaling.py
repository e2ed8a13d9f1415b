"""What relays see and what forgers can do (spec 11 §2, 10 §5 nos. 13–16): real daemons, a relay that keeps everything.

Each attack is made on a network that seals and on one where it is off: there it bites.
"""

from __future__ import annotations

import json
import re
import time
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Any

import pytest
import trio

from integration.interop.stage import meeting, on_both_sides, on_the_loop, started
from support import other_sealing as other
from support.daemons import network_record
from support.reference_peer import DATA_ANSWER, FIRST_OFFER, room_of, seed_for
from support.reference_relay import reference_relay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.interop.stage import Side
    from support.daemons import Daemon
    from support.reference_relay import Event, ReferenceRelay

ADDRESS = re.compile(r"candidate:\S+ \d \w+ \d+ (\S+) (\d+) typ")
READABLE = ("candidate:", "fingerprint", "ice-ufrag", "ice-pwd", "v=0", "IN IP4", "typ host")
"""What stands in descriptions and candidates."""


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    yield from started(tmp_path_factory.mktemp("sealing") / "ours")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    yield from started(tmp_path_factory.mktemp("sealing") / "second")


def sealed_record(name: str, relay: str, mode: str) -> dict[str, Any]:
    record = network_record(name, relay, auto_approve=True)
    record["signaling"]["sealed"] = mode
    return record


def between(relay: ReferenceRelay, *devices: str) -> list[Event]:
    """All that these devices published for each other, or for everybody."""
    found = []
    for _, event in relay.events:
        envelope = json.loads(event["content"])
        if envelope["from"] in devices and (envelope.get("to") is None or envelope["to"] in devices):
            found.append(event)
    return found


def seen_by_a_relay(events: list[Event]) -> bytes:
    """The whole recording, and what stands in it in another writing."""
    texts = [json.dumps(event).encode() for event in events]
    sealed = [json.loads(event["content"]).get("eseal", "") for event in events]
    return b"\n".join([*texts, *(urlsafe_b64decode(text + "=" * (-len(text) % 4)) for text in sealed)])


def addresses_of(events: list[Event]) -> set[str]:
    """What clear candidates tell of a device: the addresses that a recording must not have."""
    return {found[1] for event in events for found in ADDRESS.finditer(event["content"])}


@on_both_sides
async def test_two_of_ours_seal_beside_a_v038_which_notices_nothing(ours: Daemon, second: Daemon, side: Side) -> None:
    async with meeting(ours, side) as stage:
        config = network_record(stage.network, stage.relay.url, auto_approve=True)
        await second.ask("network_add", config=config)
        await stage.both_active()
        mine = await ours.wait_for_peer(stage.network, second.device_id)
        theirs = await second.wait_for_peer(stage.network, ours.device_id)
        assert (mine["sealed"], theirs["sealed"]) == (True, True)
        assert (await stage.row() or {})["sealed"] is False
        await stage.peer.alive()

        clear = [
            event
            for event in between(stage.relay, ours.device_id, stage.peer.device_id)
            if json.loads(event["content"])["kind"] != "announce"
        ]
        assert addresses_of(clear), "in clear, a relay reads where the device is"
        assert not any(json.loads(event["content"]).get("eseal") for event in clear)
        recording = between(stage.relay, ours.device_id, second.device_id)
        kinds = {json.loads(event["content"])["kind"] for event in recording}
        assert {"announce", "offer", "answer", "candidate"} <= kinds
        seen = seen_by_a_relay(recording)
        for word in (*READABLE, *addresses_of(clear)):
            assert word.encode() not in seen, f"a relay reads {word}"


@on_the_loop
async def test_with_sealing_off_the_same_recording_tells_everything(ours: Daemon, second: Daemon) -> None:
    async with reference_relay() as relay:
        for each in (ours, second):
            await each.ask("network_add", config=sealed_record("in-clear", relay.url, "off"))
        row = await ours.wait_for_peer("in-clear", second.device_id)
        await second.wait_for_peer("in-clear", ours.device_id)
        assert row["sealed"] is False
        recording = between(relay, ours.device_id, second.device_id)
        seen = seen_by_a_relay(recording)
        assert addresses_of(recording)
        for word in READABLE:
            assert word.encode() in seen
        for each in (ours, second):
            await each.ask("network_remove", network="in-clear")


@on_the_loop
async def test_where_everybody_must_seal_v038_takes_no_part(ours: Daemon, second: Daemon) -> None:
    async with meeting(ours, "lower", sealed="require", join=False) as stage:
        record = (await ours.ask("config_show"))["config"]["networks"]
        assert record[-1]["signaling"]["sealed"] == "require"
        peer = stage.peer
        peer.join()
        await second.ask("network_add", config=sealed_record(stage.network, stage.relay.url, "require"))
        row = await ours.wait_for_peer(stage.network, second.device_id)
        assert row["sealed"] is True
        await peer.run(peer.dial())
        await trio.sleep(1.0)
        assert await stage.row() is None
        assert peer.descriptions == []


# ── attacks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Silent:
    """A device that seals, announces itself and then says nothing: whatever comes in its name is forged."""

    def __init__(self, relay: ReferenceRelay, network: str, above: str) -> None:
        self.relay, self.room = relay, room_of(network)
        self.seed = seed_for(7, above=above)
        self.id = other.device_id(self.seed)
        self._at = int(time.time()) - 1

    def announce(self) -> None:
        self._at += 1
        caps = ["ptag", "eseal1", "esig1"]
        self._say(1077, "announce", other.announce(self.room, self.id, self._at, self._key, caps), caps=caps)

    def leave(self) -> None:
        self._say(21077, "leave", other.leave(self.room, self.id, self._at, self._key))

    def forged(self, kind: str, to: str | None = None, **members: Any) -> None:
        """By anybody who knows the room."""
        envelope = {"from": self.id, "to": to, "kind": kind, "peer_id": self.id, **members}
        tags = [["r", self.room], *([] if kind == "announce" else [["p", to or self.room]])]
        self.relay.publish(self.relay.event(1077 if kind == "announce" else 21077, tags, json.dumps(envelope)))

    @property
    def _key(self) -> str:
        return str(self.relay.event(1, [], "")["pubkey"])

    def _say(self, kind: int, name: str, text: bytes, **members: Any) -> None:
        signed = {"t": self._at, "s": other.signature(self.seed, text)}
        envelope = {"from": self.id, "to": None, "kind": name, "peer_id": self.id, **members, "esig": signed}
        tags = [["r", self.room], *([["p", self.room]] if name == "leave" else [])]
        event = self.relay.event(kind, tags, json.dumps(envelope), created_at=self._at)
        self.relay.publish(event)


@pytest.mark.parametrize("mode", ["prefer", "off"])
@on_the_loop
async def test_what_is_forged_in_the_name_of_a_device_that_seals(ours: Daemon, mode: str) -> None:
    """10 §5 nos. 13 (leave), 14 (offer), 15 (announce) and 16 (answer, candidate)."""
    network = f"forged-{mode}"
    bites = mode == "off"
    async with reference_relay() as relay:
        await ours.ask("network_add", config=sealed_record(network, relay.url, mode))
        await relay.until(lambda: relay.presence, "our announce")
        victim, me = Silent(relay, network, ours.device_id), ours.device_id

        def offers() -> int:
            return sum(each["to"] == victim.id for each in relay.contents("offer"))

        async def row() -> dict[str, Any]:
            return await ours.peer(network, victim.id) or {}

        async def settled() -> None:
            """What was said so far is judged: an answer to something later has come."""
            await trio.sleep(0.3)
            await row()

        victim.announce()
        await relay.until(lambda: offers() == 1, "our offer")
        assert bool(relay.contents("offer")[0]["sdp"]) is bites

        # No. 16: what anybody says of its addresses, and its answer.
        victim.forged("candidate", me, candidate="candidate:1 1 udp 1 192.0.2.1 5000 typ host", sdp_mid="0",
                      sdp_mline_index=0, username_fragment=None)  # fmt: skip
        await settled()
        assert ((await row())["remote_candidates"]["host"] > 0) is bites
        victim.forged("answer", me, offer_id="", sdp=DATA_ANSWER)
        await settled()
        assert ((await row())["sealed"] is False) is bites, "the answer was taken"

        # No. 13: nobody but the device says that it leaves.
        victim.forged("leave")
        await settled()
        assert (await row() == {}) is bites

        # Its own leave is believed without a ping; then no. 15: an announce that makes us dial.
        victim.announce()
        await settled()
        victim.leave()
        await settled()
        assert await row() == {}
        before = offers()
        victim.forged("announce", caps=["ptag", "eseal1", "esig1"])
        await settled()
        assert (offers() > before) is bites
        if not bites:
            assert await row() == {}

        # No. 14: an offer with a certificate of the forger's own, which takes a transport.
        victim.forged("leave")
        await settled()
        victim.forged("offer", me, offer_id="aaaqeayeaudao", sdp=FIRST_OFFER)
        await settled()
        answers = sum(each["to"] == victim.id for each in relay.contents("answer"))
        assert (answers > 0) is bites
        await ours.ask("network_remove", network=network)
