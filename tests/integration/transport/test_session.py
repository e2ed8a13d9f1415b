"""Two of our sessions over real UDP in one process."""

from __future__ import annotations

import asyncio
import gc
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from integration.transport.pairs import End, Pair, Sockets, guest_test
from myownmesh.engine.ice_snapshot import verdict
from myownmesh.engine.links import (
    ChannelClosed,
    ChannelOpened,
    GatheringDone,
    LocalCandidate,
    LocalDescription,
    NegotiationFailed,
    PairSelected,
    PathChanged,
    PathState,
    RemoteApplied,
    SdpType,
)
from myownmesh.protocol.binding import first_fingerprint
from myownmesh.protocol.limits import MAX_FRAME_BYTES
from myownmesh.protocol.signals import Candidate
from myownmesh.transport import SessionNotOpen, sctp_round_trip, sdp
from myownmesh.transport.addresses import HostAddresses, LocalAddress
from myownmesh.transport.interfaces import host_addresses
from myownmesh.transport.lean_imports import data_channels_only

with data_channels_only():
    from myownmesh.transport import paths
    from myownmesh.transport.ice import Generation

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.engine.links import LinkEvent
    from myownmesh.transport.session import SessionFactory

CAPTURED = json.loads((Path(__file__).parents[2] / "vectors" / "topology.json").read_text())["sdp_captured"]["cases"]


def binding_of(end: End) -> str | None:
    return first_fingerprint(end.all(LocalDescription)[0].sdp)


def credentials(text: str) -> tuple[str, str]:
    description = sdp.parse(text)
    return description.ice_ufrag, description.ice_pwd


# Opening.


@guest_test
async def test_offer_and_answer_open_the_channel_quickly_with_both_bindings(factory: SessionFactory) -> None:
    pair = Pair(factory)
    started = trio.current_time()
    await pair.connect()
    assert trio.current_time() - started < 1.5
    assert pair.a.one(ChannelOpened) == ChannelOpened(binding_of(pair.a), binding_of(pair.b))
    assert pair.b.one(ChannelOpened) == ChannelOpened(binding_of(pair.b), binding_of(pair.a))
    assert binding_of(pair.a) != binding_of(pair.b)
    assert pair.a.one(RemoteApplied) == RemoteApplied(SdpType.ANSWER, binding_of(pair.b))
    assert pair.b.one(RemoteApplied) == RemoteApplied(SdpType.OFFER, binding_of(pair.a))
    for end in (pair.a, pair.b):
        assert [change.state for change in end.all(PathChanged)] == [PathState.CHECKING, PathState.CONNECTED]
        assert end.all(PairSelected)[-1] == PairSelected("host", "host")
    await pair.check_traffic()


@guest_test
async def test_a_snapshot_tells_how_ice_stands_from_the_opening_to_the_close(factory: SessionFactory) -> None:
    """Spec 04 §9.4."""
    pair = Pair(factory)
    empty = pair.a.session.ice_snapshot()
    assert empty is not None
    assert empty.is_empty
    await pair.connect()
    for end in (pair.a, pair.b):
        seen = end.session.ice_snapshot()
        assert seen is not None
        assert verdict(seen) == "the path is up"
        assert seen.pairs[0].local in seen.local_candidates
        assert seen.pairs[0].remote in seen.remote_candidates
        assert seen.pairs[0].local.startswith("host udp")
        end.session.close()
        assert end.session.ice_snapshot() is None


@guest_test
async def test_host_candidates_stand_in_the_description_and_follow_as_messages(factory: SessionFactory) -> None:
    pair = Pair(factory)
    await pair.connect()
    for end in (pair.a, pair.b):
        kinds = [type(event) for event in end.events]
        text = end.one(LocalDescription).sdp
        assert kinds.index(LocalDescription) < kinds.index(LocalCandidate) < kinds.index(GatheringDone)
        in_text = ["candidate:" + line for line in sdp.parse(text).candidates]
        assert in_text == [event.candidate.candidate for event in end.all(LocalCandidate)]
        assert end.all(LocalCandidate)[0].candidate.sdp_mid == ""
        assert end.all(LocalCandidate)[0].candidate.sdp_mline_index == 0
        end.one(GatheringDone)


@guest_test
async def test_candidates_may_come_only_as_messages(factory: SessionFactory) -> None:
    def strip(sender: End, kind: SdpType, text: str) -> str:
        return "\r\n".join(line for line in text.split("\r\n") if not line.startswith("a=candidate"))

    pair = Pair(factory, mangle=strip)
    await pair.connect()
    await pair.check_traffic()


@guest_test
async def test_candidates_may_come_only_in_the_descriptions(factory: SessionFactory) -> None:
    pair = Pair(factory, candidates=False)
    await pair.connect()
    await pair.check_traffic()


@guest_test
async def test_candidates_of_one_side_are_enough(factory: SessionFactory) -> None:
    def strip_answer(sender: End, kind: SdpType, text: str) -> str:
        lines = text.split("\r\n")
        return "\r\n".join(line for line in lines if kind is SdpType.OFFER or not line.startswith("a=candidate"))

    pair = Pair(factory, mangle=strip_answer, candidates=False)
    await pair.connect()
    await pair.check_traffic()


@guest_test
async def test_unusable_candidates_are_ignored(factory: SessionFactory) -> None:
    pair = Pair(factory)
    for text in (
        "",
        "candidate:",
        "x" * 9_999,
        "candidate:1 1 udp 1 127.0.0.1 9 typ host",
        "candidate:1 2 tcp 1 a b c d",
    ):
        pair.a.session.add_candidate(Candidate(text))
    await pair.connect()
    for n in range(500):
        pair.b.session.add_candidate(Candidate(f"candidate:{n} 1 udp {n} 192.0.2.200 {9000 + n} typ host"))
    await pair.check_traffic()


@guest_test
async def test_many_sessions_in_one_process_keep_apart(factory: SessionFactory) -> None:
    pairs = [Pair(factory) for _ in range(8)]
    async with trio.open_nursery() as nursery:
        for pair in pairs:
            nursery.start_soon(pair.connect)
    for pair in pairs:
        await pair.check_traffic()
    assert len({binding_of(end) for pair in pairs for end in (pair.a, pair.b)}) == 16


# Frames.


@guest_test
async def test_frames_of_every_size_arrive_in_order_both_ways(factory: SessionFactory) -> None:
    pair = Pair(factory)
    await pair.connect()
    sizes = [1, 2, 1_000, 1_160, 1_161, 16_384, 49_152, 65_534, MAX_FRAME_BYTES] * 3
    frames = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
    for frame in frames:
        pair.a.session.send(frame)
        pair.b.session.send(frame)
    await pair.b.frames_until(len(frames))
    await pair.a.frames_until(len(frames))
    assert pair.b.frames == frames
    assert pair.a.frames == frames
    assert pair.a.session.buffered_bytes == 0


@guest_test
async def test_frames_of_a_wrong_size_are_refused(factory: SessionFactory) -> None:
    pair = Pair(factory)
    await pair.connect()
    for size in (0, MAX_FRAME_BYTES + 1):
        with pytest.raises(ValueError, match=f"frame of {size} bytes"):
            pair.a.session.send(bytes(size))
    await pair.check_traffic()


@guest_test
async def test_nothing_can_be_sent_before_open_and_after_the_end(factory: SessionFactory) -> None:
    pair = Pair(factory)
    for end in (pair.a, pair.b):
        with pytest.raises(SessionNotOpen):
            end.session.send(b"early")
    await pair.connect()
    pair.a.session.close()
    await pair.b.event(ChannelClosed)
    for end in (pair.a, pair.b):
        with pytest.raises(SessionNotOpen):
            end.session.send(b"late")


def greet(end: End, carry: Callable[[LinkEvent], None], event: LinkEvent) -> None:
    carry(event)
    if isinstance(event, ChannelOpened):
        end.session.send(b"hello of " + end.name.encode())


@guest_test
async def test_a_frame_sent_from_the_open_event_is_not_lost(factory: SessionFactory) -> None:
    pair = Pair(factory)
    for end in (pair.a, pair.b):
        end.signal = partial(greet, end, end.signal)
    await pair.connect()
    await pair.a.frames_until(1)
    await pair.b.frames_until(1)
    assert (pair.a.frames, pair.b.frames) == ([b"hello of b"], [b"hello of a"])


@guest_test
async def test_an_answer_from_within_the_frame_callback_needs_no_task(factory: SessionFactory) -> None:
    pair = Pair(factory)
    await pair.connect()
    pair.b.on_frame = pair.b.session.send
    for n in range(100):
        pair.a.session.send(b"%d" % n)
    await pair.a.frames_until(100)
    assert pair.a.frames == [b"%d" % n for n in range(100)]


@guest_test
async def test_the_sender_is_told_when_the_backlog_has_drained(factory: SessionFactory) -> None:
    pair = Pair(factory)
    await pair.connect()
    for _ in range(40):
        pair.a.session.send(bytes(60_000))
    assert pair.a.session.buffered_bytes > 1_000_000
    drained = trio.Event()
    low: list[int] = []

    def callback() -> None:
        low.append(pair.a.session.buffered_bytes)
        drained.set()

    pair.a.session.when_drained(callback)
    assert not drained.is_set()
    await drained.wait()
    assert low[0] <= 65_536
    again = trio.Event()
    pair.a.session.when_drained(again.set)
    await again.wait()
    assert len(low) == 1


# Later offers.


@guest_test
async def test_plain_reoffers_are_answered_anew_with_the_same_credentials(factory: SessionFactory) -> None:
    pair = Pair(factory)
    await pair.connect()
    for end in (pair.a, pair.b):
        end.session.make_offer()
        other = pair.b if end is pair.a else pair.a
        answers = len(end.all(RemoteApplied)) + 1
        await end.event(RemoteApplied, count=answers)
        assert other.all(RemoteApplied)[-1].type is SdpType.OFFER
    for end in (pair.a, pair.b):
        texts = [event.sdp for event in end.all(LocalDescription)]
        assert len(texts) == len(set(texts)) == 3
        assert len({credentials(text) for text in texts}) == 1
        assert len({text.split("\r\n")[1].split()[1] for text in texts}) == 1
        assert not end.all(NegotiationFailed)
        assert end.path is PathState.CONNECTED
    await pair.check_traffic()


@pytest.mark.parametrize("side", ["a", "b"])
@guest_test
async def test_restart_by_either_side_keeps_the_channel_and_loses_nothing(factory: SessionFactory, side: str) -> None:
    pair = Pair(factory)
    await pair.connect()
    end, other = (pair.a, pair.b) if side == "a" else (pair.b, pair.a)
    before = credentials(end.all(LocalDescription)[-1].sdp), credentials(other.all(LocalDescription)[-1].sdp)
    sent = [b"%d" % n * 400 for n in range(300)]
    for n, frame in enumerate(sent):
        end.session.send(frame)
        other.session.send(frame)
        if n == 100:
            end.session.make_offer(restart=True)
        if n % 20 == 0:
            await trio.sleep(0.001)
    await other.frames_until(len(sent))
    await end.frames_until(len(sent))
    await end.event(PathChanged, count=4)
    await other.event(PathChanged, count=4)
    assert end.frames == other.frames == sent
    for one, old in zip((end, other), before, strict=True):
        new = credentials(one.all(LocalDescription)[-1].sdp)
        assert new[0] != old[0]
        assert new[1] != old[1]
        assert first_fingerprint(one.all(LocalDescription)[-1].sdp) == binding_of(one)
        states = [change.state for change in one.all(PathChanged)]
        assert states == [PathState.CHECKING, PathState.CONNECTED] * 2
        one.one(ChannelOpened)
        assert not one.all(ChannelClosed)
        assert not one.all(NegotiationFailed)
    await pair.check_traffic()


@guest_test
async def test_restart_mends_a_link_whose_sockets_are_gone(
    factory: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TIMEOUT_MIN_SECONDS", "TIMEOUT_MAX_SECONDS"):
        monkeypatch.setattr(sctp_round_trip, name, 60.0)  # the switch repeats, no timer
    sockets = Sockets(monkeypatch)
    pair = Pair(factory)
    await pair.connect()
    for socket in sockets.made:
        socket.close()
    pair.a.session.send(b"into the void")
    pair.a.session.make_offer(restart=True)
    await pair.b.frames_until(1)
    assert pair.b.frames == [b"into the void"]
    await pair.check_traffic()


@guest_test
async def test_restarts_one_after_another(factory: SessionFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    sockets = Sockets(monkeypatch)
    pair = Pair(factory)
    await pair.connect()
    for n in range(4):
        end = (pair.a, pair.b)[n % 2]
        end.session.make_offer(restart=True)
        await end.event(PathChanged, count=2 * (n + 2))
        assert end.path is PathState.CONNECTED
        await pair.check_traffic()
    of_a_generation = len(host_addresses().offered) or 1
    assert len(sockets.open) <= 2 * 5 * of_a_generation


def is_renewed(end: End) -> bool:
    """Whether its path was checked, and works, since its events were cleared."""
    return [change.state for change in end.all(PathChanged)][-2:] == [PathState.CHECKING, PathState.CONNECTED]


@pytest.mark.slow
@guest_test
async def test_a_hundred_restarts_leave_nothing(factory: SessionFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither sockets, descriptors, tasks and timers, nor memory that grows."""
    monkeypatch.setattr(paths, "OLD_GENERATION_SECONDS", 0.02)
    pair = Pair(factory)
    await pair.connect()
    for each in (pair.a, pair.b):
        each.events.clear()
    loop = asyncio.get_running_loop()
    seen: list[tuple[int, int, int]] = []
    for number in range(100):
        end = (pair.a, pair.b)[number % 2]
        end.session.make_offer(restart=True)
        for each in (pair.a, pair.b):
            await each.until(partial(is_renewed, each), "the new path")
        for each in (pair.a, pair.b):
            each.events.clear()
        if number % 25 == 24:
            await pair.check_traffic()
            await trio.sleep(0.1)
            gc.collect()
            generations = sum(isinstance(thing, Generation) for thing in gc.get_objects())
            descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())  # noqa: ASYNC240 - it does not wait
            seen.append((descriptors, len(asyncio.all_tasks(loop)), generations))
    assert seen[0][2] == 2
    assert seen[-1] == seen[0], seen


@guest_test
async def test_a_restart_that_waits_is_gathered_anew_when_the_machine_has_moved(
    factory: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(factory)
    await pair.connect()
    pair.mangle = lambda sender, kind, text: None
    for _ in range(2):
        pair.a.session.make_offer(restart=True)
    await pair.a.event(LocalDescription, count=3)
    here = HostAddresses((), loopback=(LocalAddress("lo", "127.0.0.1"),))
    monkeypatch.setattr(paths, "host_addresses", lambda sources: here)
    pair.mangle = None
    pair.a.session.make_offer(restart=True)
    await pair.a.until(lambda: len(pair.a.all(RemoteApplied)) == 2, "the answer")
    await pair.a.until(lambda: pair.a.path is PathState.CONNECTED, "the path")
    _, first, again, moved = (credentials(each.sdp) for each in pair.a.all(LocalDescription))
    assert first == again
    assert moved != again
    assert "127.0.0.1" in pair.a.all(LocalDescription)[-1].sdp
    await pair.check_traffic()


@guest_test
async def test_restart_before_the_first_path_is_up(factory: SessionFactory) -> None:
    """The first answer is lost; the offerer repeats its offer, then the answerer gets a restart of the whole thing."""
    lost: list[str] = []

    def lose_first_answer(sender: End, kind: SdpType, text: str) -> str | None:
        if kind is SdpType.ANSWER and not lost:
            lost.append(text)
            return None
        return text

    pair = Pair(factory, mangle=lose_first_answer)
    pair.a.session.make_offer()
    await pair.b.event(LocalDescription)
    pair.a.session.make_offer()
    await pair.a.event(ChannelOpened)
    await pair.b.event(ChannelOpened)
    await pair.check_traffic()


@guest_test
async def test_an_answer_without_new_credentials_means_that_the_peer_did_not_restart(factory: SessionFactory) -> None:
    pair = Pair(factory)
    await pair.connect()
    old = pair.b.one(LocalDescription).sdp

    def refuse(sender: End, kind: SdpType, text: str) -> str | None:
        if kind is SdpType.ANSWER:
            pair.a.session.take_answer(old.replace(" 1 IN IP4", " 9 IN IP4"))
        return None

    pair.mangle = refuse
    pair.a.session.make_offer(restart=True)
    pair.b.session.take_offer(pair.a.all(LocalDescription)[0].sdp)
    failure = await pair.a.event(NegotiationFailed)
    assert failure == NegotiationFailed(SdpType.ANSWER, local=False, error="the peer did not restart ICE")
    assert pair.a.path is PathState.CONNECTED
    pair.mangle = None
    await pair.check_traffic()
    pair.a.session.make_offer(restart=True)
    await pair.a.until(
        lambda: (
            [each.state for each in pair.a.all(PathChanged)[-2:]] == [PathState.CHECKING, PathState.CONNECTED]
            and len(pair.a.all(RemoteApplied)) == 2
        ),
        "the second restart",
    )
    await pair.check_traffic()


@guest_test
async def test_own_open_restart_is_rolled_back_for_the_peers_offer(factory: SessionFactory) -> None:
    held: list[str] = []
    pair = Pair(factory)
    await pair.connect()

    def hold_a(sender: End, kind: SdpType, text: str) -> str | None:
        if sender is pair.a and kind is SdpType.OFFER:
            held.append(text)
            return None
        return text

    pair.mangle = hold_a
    pair.a.session.make_offer(restart=True)
    await pair.a.until(lambda: held, "the own restart offer")
    pair.b.session.make_offer(restart=True)
    await pair.b.event(RemoteApplied, count=2)
    await pair.b.until(lambda: pair.b.path is PathState.CONNECTED, "the path")
    await pair.a.until(lambda: pair.a.path is PathState.CONNECTED, "the path")
    assert pair.a.all(RemoteApplied)[-1].type is SdpType.OFFER
    assert not pair.a.all(NegotiationFailed)
    await pair.check_traffic()


@guest_test
async def test_own_first_offer_is_rolled_back_for_the_peers_offer(factory: SessionFactory) -> None:
    """Both dial at once; one yields and answers with the session that it has."""
    pair = Pair(factory)
    pair.mangle = lambda sender, kind, text: None if sender is pair.b and kind is SdpType.OFFER else text
    pair.b.session.make_offer()
    await pair.b.event(LocalDescription)
    pair.a.session.make_offer()
    await pair.a.event(ChannelOpened)
    await pair.b.event(ChannelOpened)
    pair.a.one(ChannelOpened)
    pair.b.one(ChannelOpened)
    await pair.check_traffic()


@guest_test
async def test_lane_offers_on_a_data_only_link_are_answered_with_inactive_media(factory: SessionFactory) -> None:
    pair = Pair(factory)
    await pair.connect()
    lanes = next(case["sdp"] for case in CAPTURED if case["name"].endswith("transport that began data-only"))
    offer = pair.a.one(LocalDescription).sdp
    media = "m=video" + lanes.split("m=video", 1)[1]
    pair.mangle = lambda sender, kind, text: None
    pair.b.session.take_offer(offer + media)
    answer = (await pair.b.event(LocalDescription, count=2)).sdp
    assert sdp.parse(answer).mids == ("0", "1", "2", "3")
    assert answer.count("a=inactive\r\n") == 3
    pair.b.session.make_offer(restart=True)  # keeps the sections of the transport
    assert sdp.parse((await pair.b.event(LocalDescription, count=3)).sdp).mids == ("0", "1", "2", "3")


# Descriptions that cannot be used.


@pytest.mark.parametrize("case", CAPTURED, ids=lambda case: case["name"])
@guest_test
async def test_captured_offers_are_answered(factory: SessionFactory, case: dict[str, str]) -> None:
    end = End("b")
    end.open(factory, offerer=False)
    end.session.take_offer(case["sdp"])
    answer = (await end.event(LocalDescription)).sdp
    assert sdp.parse(answer).mids == sdp.parse(case["sdp"]).mids
    role = "passive" if "a=setup:active" in case["sdp"] else "active"
    assert f"a=setup:{role}\r\n" in answer
    assert end.one(RemoteApplied).fingerprint == first_fingerprint(case["sdp"])
    end.session.close()


@guest_test
async def test_unreadable_descriptions_are_reported_and_harm_nothing(factory: SessionFactory) -> None:
    pair = Pair(factory)
    await pair.connect()
    pair.a.session.take_offer("garbage")
    pair.a.session.take_answer("garbage")
    pair.b.session.take_offer("v=0\r\n" + "m=x\r\n" * 100_000)
    failure = await pair.a.event(NegotiationFailed)
    assert (failure.type, failure.local) == (SdpType.OFFER, False)
    second = await pair.a.event(NegotiationFailed, count=2)
    assert second.error == "no offer of ours is waiting for an answer"
    await pair.b.event(NegotiationFailed)
    await pair.check_traffic()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("a=mid:0", "a=mid:1", "sections are not those"),
        ("a=setup:active", "a=setup:actpass", "leaves the DTLS role open"),
        ("m=application 9 UDP/DTLS/SCTP", "m=audio 9 X 0\r\nm=application 9 UDP/DTLS/SCTP", "sections are not those"),
    ],
)
@guest_test
async def test_answers_that_do_not_fit_the_offer_are_refused(
    factory: SessionFactory, old: str, new: str, reason: str
) -> None:
    pair = Pair(factory)
    pair.mangle = lambda sender, kind, text: text.replace(old, new) if kind is SdpType.ANSWER else text
    pair.a.session.make_offer()
    assert reason in (await pair.a.event(NegotiationFailed)).error
    assert not pair.a.all(RemoteApplied)
    pair.mangle = None
    pair.a.session.make_offer()  # the answer to the repeat is accepted
    await pair.a.event(ChannelOpened)


@guest_test
async def test_another_certificate_on_a_living_transport_is_refused(factory: SessionFactory) -> None:
    pair = Pair(factory)
    await pair.connect()
    other = Pair(factory)
    await other.connect()
    pair.b.session.take_offer(other.a.one(LocalDescription).sdp)
    assert "certificate changed" in (await pair.b.event(NegotiationFailed)).error
    await pair.check_traffic()


@pytest.mark.parametrize("placing", ["session", "section"])
@guest_test
async def test_no_binding_when_the_description_names_another_certificate(factory: SessionFactory, placing: str) -> None:
    """An offer with the victim's fingerprint in one place and the attacker's in another connects, but binds nothing."""
    victim = "sha-256 " + ":".join(["AA"] * 32)

    def lie(sender: End, kind: SdpType, text: str) -> str:
        if kind is SdpType.ANSWER:
            return text
        own = next(line for line in text.split("\r\n") if line.startswith("a=fingerprint"))
        if placing == "session":
            return text.replace(own, f"a=fingerprint:{victim}").replace("a=mid:0", f"a=mid:0\r\n{own}")
        return text.replace("a=mid:0", f"a=mid:0\r\na=fingerprint:{victim}")

    pair = Pair(factory, mangle=lie)
    await pair.connect()
    assert pair.b.one(ChannelOpened).remote_binding is None
    assert pair.a.one(ChannelOpened).remote_binding == binding_of(pair.b)


# The end.


@pytest.mark.parametrize("side", ["a", "b"])
@guest_test
async def test_close_is_noticed_in_milliseconds(factory: SessionFactory, side: str) -> None:
    pair = Pair(factory)
    await pair.connect()
    closer, other = (pair.a, pair.b) if side == "a" else (pair.b, pair.a)
    events = len(closer.events)
    started = trio.current_time()
    closer.session.close()
    closer.session.close()
    await other.event(ChannelClosed)
    assert trio.current_time() - started < 0.5
    await trio.sleep(0.05)
    assert len(closer.events) == events
    other.one(ChannelClosed)


@guest_test
async def test_nothing_follows_a_close_in_any_state(factory: SessionFactory) -> None:
    for steps in range(6):
        pair = Pair(factory)
        pair.a.session.make_offer()
        for _ in range(steps):
            await trio.sleep(0.002)
        pair.a.session.close()
        pair.b.session.close()
        counts = len(pair.a.events), len(pair.b.events)
        for end in (pair.a, pair.b):
            end.session.make_offer()
            end.session.take_offer("x")
            end.session.take_answer("x")
            end.session.add_candidate(Candidate("x"))
            end.session.when_drained(lambda: pytest.fail("called after close"))
        await trio.sleep(0.02)
        assert (len(pair.a.events), len(pair.b.events)) == counts


@guest_test
async def test_closing_the_factory_closes_every_session_within_two_seconds(
    factory: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = Sockets(monkeypatch)
    pairs = [Pair(factory) for _ in range(4)]
    for pair in pairs:
        await pair.connect()
    started = trio.current_time()
    await factory.aclose()
    assert trio.current_time() - started < 2.0
    assert sockets.made
    assert not sockets.open
    for pair in pairs:
        with pytest.raises(SessionNotOpen):
            pair.a.session.send(b"x")


@guest_test
async def test_stun_servers_that_never_answer_delay_nothing(factory: SessionFactory) -> None:
    from myownmesh.transport.session import IceServer

    pair = Pair(factory, ice_servers=(IceServer(("stun:192.0.2.123:3478", "turn:192.0.2.123:3478"), "u", "p"),))
    started = trio.current_time()
    await pair.connect()
    assert trio.current_time() - started < 1.5
    await pair.check_traffic()
    await pair.a.event(GatheringDone, seconds=4.0)


@guest_test
async def test_no_socket_outlives_its_session(factory: SessionFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    sockets = Sockets(monkeypatch)
    for delay in (0.0, 0.003, 0.02):
        pair = Pair(factory)
        await pair.connect()
        pair.a.session.make_offer(restart=True)
        await trio.sleep(delay)
        pair.a.session.close()
        pair.b.session.close()
    await factory.aclose()
    assert len(sockets.made) >= 6
    assert not sockets.open
