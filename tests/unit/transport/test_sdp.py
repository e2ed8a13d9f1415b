"""Session descriptions against the captured ones of v0.3.8, and against hostile ones."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.engine.limits import MAX_SDP_CHARS
from myownmesh.protocol.binding import first_fingerprint
from myownmesh.transport import sdp

VECTORS = Path(__file__).parents[2] / "vectors"
CAPTURED: list[dict[str, str]] = json.loads((VECTORS / "topology.json").read_text())["sdp_captured"]["cases"]
FINGERPRINTS: dict[str, Any] = json.loads((VECTORS / "peer-protocol.json").read_text())["sdp_fingerprint"]
ANSWER_VARIANTS: list[dict[str, Any]] = json.loads((VECTORS / "topology.json").read_text())["answer_variants"]["cases"]

FINGERPRINT = "sha-256 " + ":".join(["AB"] * 32)
ICE = sdp.LocalIce("ufragABC", "pwd" * 8, ("1 1 udp 2130706431 192.0.2.7 5000 typ host",))


def answer_to(offer: str, version: int = 1) -> str:
    description = sdp.parse(offer)
    return sdp.render(
        session_id=7,
        version=version,
        fingerprint=FINGERPRINT,
        setup="active",
        ice=ICE,
        sections=sdp.mirror(description.sections),
    )


def offer_text(**changes: Any) -> str:
    arguments: dict[str, Any] = {
        "session_id": 7,
        "version": 1,
        "fingerprint": FINGERPRINT,
        "setup": "actpass",
        "ice": ICE,
        "sections": (sdp.DATA_SECTION,),
    }
    return sdp.render(**{**arguments, **changes})


@pytest.mark.parametrize("case", CAPTURED, ids=lambda case: case["name"])
def test_every_captured_description_is_read(case: dict[str, str]) -> None:
    description = sdp.parse(case["sdp"])
    lines = case["sdp"].split("\r\n")
    assert len(description.sections) == sum(line.startswith("m=") for line in lines)
    assert [f"a=mid:{mid}" for mid in description.mids] == [line for line in lines if line.startswith("a=mid:")]
    assert f"a=ice-ufrag:{description.ice_ufrag}" in lines
    assert f"a=ice-pwd:{description.ice_pwd}" in lines
    assert f"a=setup:{description.setup}" in lines
    assert description.sections[description.data_index].is_data
    assert description.sctp_port == 5000
    assert description.fingerprint == first_fingerprint(case["sdp"])


@pytest.mark.parametrize("case", CAPTURED, ids=lambda case: case["name"])
def test_an_answer_mirrors_sections_and_keeps_the_mandatory_codecs(case: dict[str, str]) -> None:
    answer = sdp.parse(answer_to(case["sdp"]))
    offer = sdp.parse(case["sdp"])
    assert answer.mids == offer.mids
    assert [s.kind for s in answer.sections] == [s.kind for s in offer.sections]
    for offered, answered in zip(offer.sections, answer.sections, strict=True):
        needed = {"video": "H264/90000", "audio": "opus/48000/2"}.get(offered.kind)
        if needed is None:
            assert answered.formats == offered.formats
            continue
        maps = [line for line in answered.codec_lines if line.startswith("a=rtpmap:")]
        assert answered.formats
        assert maps == [f"a=rtpmap:{payload_type} {needed}" for payload_type in answered.formats]
        assert set(answered.formats) <= set(offered.formats)
    text = answer_to(case["sdp"])
    media = [block for block in text.split("m=")[1:] if not block.startswith("application")]
    assert all("a=inactive\r\n" in block for block in media)
    assert "m=video 0" not in text


def test_answer_fulfils_what_v038_requires() -> None:
    text = answer_to(CAPTURED[0]["sdp"])
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", "")
    assert text.count("a=fingerprint:") == 1
    assert text.index("a=fingerprint:sha-256 ") < text.index("m=")
    assert "a=group:BUNDLE 0 1 2\r\n" in text
    assert "a=max-message-size:65535\r\n" in text
    assert text.count("a=ice-ufrag:ufragABC\r\n") == text.count("a=setup:active\r\n") == 3
    assert text.count("a=candidate:") == 1
    assert text.index("a=candidate:") > text.index("m=application")


@pytest.mark.parametrize("case", [c for c in ANSWER_VARIANTS if not c["active"]], ids=lambda case: case["answer"])
def test_nothing_that_broke_a_link_in_the_measurements_is_written(case: dict[str, Any]) -> None:
    text = answer_to(CAPTURED[0]["sdp"])
    blocks = text.split("\r\nm=")
    video, audio, data = blocks[1:]
    assert {
        "video without H264 (96 only)": "H264" in video,
        "audio without Opus (0 only)": "opus" in audio,
        "other ufrag in the application section": "a=ice-ufrag:ufragABC" in data,
        "unparsable candidate in the application section": all(
            len(line.split()) >= 8 for line in data.split("\r\n") if line.startswith("a=candidate:")
        ),
        "algorithm written SHA-256": "SHA-256" not in text,
        "sha-384 line first": "sha-384" not in text,
        "foreign sha-256 in one section": text.count("a=fingerprint:") == 1,
    }[case["answer"]]


def test_the_offer_is_data_only() -> None:
    text = offer_text()
    description = sdp.parse(text)
    assert description.mids == ("0",)
    assert description.setup == "actpass"
    assert description.candidates == ICE.candidates
    assert text.startswith("v=0\r\no=- 7 1 IN IP4 ")


def test_texts_of_one_transport_differ_in_the_version_alone() -> None:
    first, second = offer_text(version=1), offer_text(version=2)
    assert first != second
    assert first.replace("o=- 7 1 ", "o=- 7 2 ") == second


def test_codec_of_an_unknown_section_is_kept() -> None:
    offer = offer_text().replace("m=application", "m=text 9 RTP/SAVPF 98 99\r\na=mid:t\r\nm=application")
    answer = sdp.parse(answer_to(offer))
    assert answer.sections[0].formats == ("98",)


def test_sections_without_mids_are_answered_without() -> None:
    offer = "\r\n".join(line for line in offer_text().split("\r\n") if not line.startswith(("a=mid", "a=group")))
    answer = answer_to(offer)
    assert "a=mid" not in answer
    assert "a=group" not in answer


def test_session_level_credentials_are_taken() -> None:
    text = offer_text()
    block = "a=ice-ufrag:ufragABC\r\na=ice-pwd:" + ICE.pwd + "\r\n"
    moved = text.replace(block, "").replace("t=0 0\r\n", "t=0 0\r\n" + block)
    assert sdp.parse(moved).ice_ufrag == "ufragABC"


@pytest.mark.parametrize("case", FINGERPRINTS["cases"], ids=lambda case: case["note"])
def test_first_fingerprint_is_the_bindings_one(case: dict[str, Any]) -> None:
    """The reader's shortcut agrees with the protocol's function wherever it accepts the text."""
    try:
        description = sdp.parse(case["sdp"])
    except sdp.BadSdp:
        return
    assert description.fingerprint == case["binding"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: "", "does not begin"),
        (lambda text: "v=0\r\n", "no sections"),
        (lambda text: text.replace("v=0", "v=1"), "does not begin"),
        (lambda text: text.replace("m=application", "m=audio"), "no data channel section"),
        (lambda text: text.replace("a=ice-ufrag:ufragABC", "a=x"), "no a=ice-ufrag"),
        (lambda text: text.replace("ufragABC", "a:b"), "unusable a=ice-ufrag"),
        (lambda text: text.replace(ICE.pwd, "short"), "unusable a=ice-pwd"),
        (lambda text: text.replace("actpass", "holdconn"), "unusable a=setup"),
        (lambda text: text.replace("sctp-port:5000", "sctp-port:70000"), "unusable a=sctp-port"),
        (lambda text: text.replace("sctp-port:5000", "sctp-port:٣"), "unusable a=sctp-port"),
        (lambda text: text.replace("a=mid:0", "a=mid:a b"), "unreadable section name"),
        (lambda text: text.replace("a=mid:0", "a=mid:" + "x" * 65), "unreadable section name"),
        (lambda text: text.replace("webrtc-datachannel", ""), "unreadable section line"),
        (lambda text: text + "a=x\x00y\r\n", "control characters"),
        (lambda text: text + "a=x\ry\r\n", "control characters"),
        (lambda text: text + "a=" + "x" * MAX_SDP_CHARS, "exceeds the limit"),
        (lambda text: text + "a=x\n" * sdp.MAX_SDP_LINES, "exceeds the limit"),
        (lambda text: text + "m=audio 9 X 1\r\n" * sdp.MAX_SECTIONS, "more than 64 sections"),
    ],
)
def test_unusable_descriptions_say_why(change: Any, reason: str) -> None:
    with pytest.raises(sdp.BadSdp, match=reason):
        sdp.parse(change(offer_text()))


def test_candidates_are_bounded() -> None:
    line = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
    assert len(sdp.parse(offer_text() + line * 1_000).candidates) == sdp.MAX_CANDIDATES


def test_the_peers_message_limit_is_not_read() -> None:
    """A hostile `a=max-message-size:1` must not make our own frames illegal."""
    for size in ("0", "1", "-1", "x", "262144"):
        sdp.parse(offer_text().replace("size:65535", f"size:{size}"))


@given(st.text())
def test_the_reader_raises_nothing_else_on_any_text(text: str) -> None:
    with contextlib.suppress(sdp.BadSdp):
        sdp.parse(text)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(CAPTURED[0]["sdp"].split("\r\n")),
            st.text(max_size=20),
            st.sampled_from(["", " ", ":", "\r", "\n"]),
        ),
        max_size=60,
    )
)
def test_the_reader_raises_nothing_else_on_shuffled_lines(parts: list[tuple[str, str, str]]) -> None:
    text = "v=0\r\n" + "\r\n".join(line + separator + tail for line, tail, separator in parts)
    try:
        description = sdp.parse(text)
    except sdp.BadSdp:
        return
    again = sdp.parse(answer_to(text))
    assert again.mids == description.mids
