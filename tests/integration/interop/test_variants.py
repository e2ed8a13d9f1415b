"""Texts that differ from the captured ones and are still honest (spec 04 §10.5–10.6), and some that are not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from integration.interop.expect import check_answer
from integration.interop.stage import meeting, on_both_sides, on_the_loop
from support.reference_peer import FIRST_OFFER, LANE_OFFER_OF_DATA_ONLY, split_at_application

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.interop.stage import Side
    from support.daemons import Daemon


def many_lanes(sdp: str) -> str:
    """Builds between 0.2 and 0.3 offered up to 8 + 8 media sections (spec 04 §17)."""
    session, video, audio, application = re.split(r"(?=^m=)", sdp, flags=re.M)
    media = [(video if number % 2 == 0 else audio) for number in range(16)]
    parts = [re.sub(r"^a=mid:.*?\r$", f"a=mid:{n}\r", part, flags=re.M) for n, part in enumerate([*media, application])]
    mids = " ".join(str(number) for number in range(17))
    return re.sub(r"BUNDLE [0-9 ]+", f"BUNDLE {mids}", session) + "".join(parts)


def one_section(sdp: str) -> str:
    head, application = split_at_application(sdp)
    session = head[: head.index("m=")]
    return session.replace("BUNDLE 0 1 2", "BUNDLE 2").replace("a=extmap-allow-mixed\r\n", "") + application


def fingerprint_in_sections(sdp: str) -> str:
    """As browsers and aiortc write it."""
    line = re.search(r"^a=fingerprint:.*\r\n", sdp, flags=re.M)
    assert line is not None
    text = sdp.replace(line[0], "")
    return re.sub(r"^(a=setup:.*\r\n)", r"\1" + line[0], text, flags=re.M)


HONEST: dict[str, Callable[[str], str]] = {
    "lower-case hex": lambda sdp: re.sub(r"(?<=fingerprint:sha-256 )[0-9A-F:]+", lambda found: found[0].lower(), sdp),
    "LF line ends": lambda sdp: sdp.replace("\r\n", "\n"),
    "no BUNDLE line": lambda sdp: re.sub(r"a=group:BUNDLE.*\r\n", "", sdp),
    "ice-options and extra attributes": lambda sdp: sdp.replace(
        "a=setup:", "a=ice-options:trickle\r\na=x-y:z\r\na=setup:"
    ),
    "max-message-size": lambda sdp: sdp + "a=max-message-size:1000\r\n",
    "end of candidates": lambda sdp: sdp + "a=end-of-candidates\r\n",
    "more hashes behind": lambda sdp: re.sub(
        r"(a=fingerprint:sha-256 .*\r\n)", r"\1a=fingerprint:sha-384 " + ":".join(["AB"] * 48) + "\r\n", sdp
    ),
    "fingerprint in every section": fingerprint_in_sections,
    "application section alone": one_section,
    "sixteen lanes": many_lanes,
    "recvonly media": lambda sdp: sdp.replace("a=sendrecv\r\nm=", "a=recvonly\r\nm="),
}


@pytest.mark.parametrize("name", HONEST)
@on_the_loop
async def test_every_honest_offer_leads_to_a_link(ours: Daemon, name: str) -> None:
    """Spec 04 §10.5 "Accepted"; whoever accepts that from v0.3.8 must accept it of others too."""
    async with meeting(ours, "lower", dials=False) as stage:
        peer = stage.peer
        await peer.run(peer.dial(HONEST[name]))
        await stage.both_active()
        await peer.alive()
        check_answer(peer.painted[0].replace("\r", "").replace("\n", "\r\n"), peer.descriptions[0][1])


@on_the_loop
async def test_lanes_behind_the_application_section_are_mirrored_in_order(ours: Daemon) -> None:
    async with meeting(ours, "lower", dials=False) as stage:
        peer = stage.peer

        def repainted(_: str) -> str:
            assert peer.link is not None
            return peer.link.paint(LANE_OFFER_OF_DATA_ONLY)

        await peer.run(peer.dial(repainted))
        await stage.both_active()
        check_answer(peer.painted[0], peer.descriptions[0][1])


ANSWERS: dict[str, Callable[[str], str]] = {
    "as captured": lambda sdp: sdp,
    "LF line ends": lambda sdp: sdp.replace("\r\n", "\n"),
    "inactive": lambda sdp: sdp.replace("a=sendrecv", "a=inactive"),
    "no mid": lambda sdp: sdp.replace("a=mid:0\r\n", ""),
    "passive": lambda sdp: sdp,
    "fingerprint in the section": fingerprint_in_sections,
}


@pytest.mark.parametrize("name", [name for name in ANSWERS if name not in ("passive", "no mid")])
@on_the_loop
async def test_every_honest_answer_leads_to_a_link(ours: Daemon, name: str) -> None:
    async with meeting(ours, "higher") as stage:
        peer = stage.peer
        paint = peer.answer_text
        peer.answer_text = lambda *args, **given: ANSWERS[name](paint(*args, **given))  # type: ignore[method-assign]  # the test's own in its place
        await stage.both_active()
        await peer.alive()


CANDIDATES = [
    "",
    "candidate:1 2 udp 1 192.0.2.1 9 typ host",
    "1 1 udp 5 192.0.2.1 9 typ host",
    "candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
    "candidate:1 1 UDP 1 192.0.2.7 9999 typ srflx raddr 10.0.0.1 rport 5",
    "candidate:1 1 udp 1 fd00::2 33462 typ host",
    "candidate:1 1 udp 1 7f1a2b3c-0000-4000-8000-000000000000.local 9 typ host",
    "candidate:1 1 udp",
    "candidate:a b c d e f g h",
    "x" * 5000,
    "candidate:1 1 udp 99999999999999999999 192.0.2.1 70000 typ host",
]


@on_both_sides
async def test_strange_candidates_do_no_harm(ours: Daemon, side: Side) -> None:
    """Spec 04 §5.6, §10.6: before the description, and on a live link."""
    async with meeting(ours, side, join=False) as stage:
        peer = stage.peer
        for text in CANDIDATES:
            peer.send_candidate(text)
        peer.directed("candidate", candidate=CANDIDATES[5])
        peer.directed("candidate", candidate=CANDIDATES[5], sdp_mid=None, sdp_mline_index=None)
        peer.directed("candidate", candidate=CANDIDATES[5], sdp_mid="x", sdp_mline_index=7, username_fragment="u")
        peer.directed("candidate", candidate=CANDIDATES[5], sdp_mline_index=0.5)
        peer.directed("candidate", candidate=5)
        peer.join()
        await stage.both_active()
        for text in CANDIDATES:
            peer.send_candidate(text)
        await peer.alive()
        await peer.quiet(0.3)
        assert await stage.status() == "active"


REFUSED: dict[str, Callable[[str], str]] = {
    "no application section": lambda sdp: sdp[: sdp.index("m=application")],
    "empty": lambda sdp: "",
    "nonsense": lambda sdp: "hello",
    "no credentials": lambda sdp: re.sub(r"a=ice-.*\r\n", "", sdp),
    "no fingerprint": lambda sdp: re.sub(r"a=fingerprint.*\r\n", "", sdp),
    "huge": lambda sdp: sdp + "a=x:y\r\n" * 20_000,
}


@pytest.mark.parametrize("name", REFUSED)
@on_the_loop
async def test_an_unusable_offer_does_not_keep_a_good_one_out(ours: Daemon, name: str) -> None:
    async with meeting(ours, "lower", dials=False) as stage:
        peer = stage.peer
        peer.send_description("offer", REFUSED[name](FIRST_OFFER))
        await peer.quiet(0.2)
        await peer.run(peer.dial())
        await stage.both_active()
        await peer.alive()


@pytest.mark.parametrize("name", REFUSED)
@on_the_loop
async def test_an_unusable_offer_does_not_cost_a_live_link(ours: Daemon, name: str) -> None:
    async with meeting(ours, "lower") as stage:
        peer = stage.peer
        await stage.both_active()
        peer.send_description("offer", REFUSED[name](peer.painted[0]))
        peer.send_description("answer", REFUSED[name](peer.painted[0]))
        await peer.quiet(0.3)
        await peer.alive()
        assert peer.opened == 1
        peer.plain_reoffer()
        await peer.until(lambda: peer.descriptions[-1][0] == "answer" and len(peer.descriptions) > 1, "an answer")
        await peer.alive()
