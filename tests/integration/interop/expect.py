"""What v0.3.8 requires of our descriptions and candidates, checked as it would (spec 04 §10.4–10.6, §11.2)."""

from __future__ import annotations

import re
from typing import Any

CANDIDATE = re.compile(
    r"candidate:\S{1,32} 1 udp \d+ [0-9a-fA-F.:]+ \d+ typ (host|(srflx|prflx|relay) raddr \S+ rport \d+)( .*)?"
)
FINGERPRINT = re.compile(r"a=fingerprint:sha-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}")
ORIGIN = re.compile(r"o=- (\d{1,20}) (\d{1,20}) IN IP4 \S+")


def sections(sdp: str) -> list[list[str]]:
    """The session part and each section as lists of lines."""
    parts: list[list[str]] = [[]]
    for line in sdp.split("\r\n"):
        if line.startswith("m="):
            parts.append([])
        if line:
            parts[-1].append(line)
    return parts


def values(section: list[str], name: str) -> list[str]:
    return [line.removeprefix(f"a={name}:") for line in section if line.startswith(f"a={name}:")]


def origin(sdp: str) -> tuple[int, int]:
    found = ORIGIN.fullmatch(sections(sdp)[0][1])
    assert found is not None, sdp
    return int(found[1]), int(found[2])


def check_common(sdp: str) -> list[list[str]]:
    assert sdp.endswith("\r\n")
    assert "\n" not in sdp.replace("\r\n", "")
    session, *media = sections(sdp)
    assert session[0] == "v=0"
    assert [line[0] for line in session[1:4]] == ["o", "s", "t"]
    prints = [line for line in sdp.split("\r\n") if line.startswith("a=fingerprint:")]
    assert len(prints) == 1, "one fingerprint line (11.2)"
    assert prints[0] in session
    assert FINGERPRINT.fullmatch(prints[0]), prints
    mids = [values(section, "mid") for section in media]
    assert all(len(mid) == 1 for mid in mids)
    assert f"a=group:BUNDLE {' '.join(mid[0] for mid in mids)}" in session
    for section in media:
        assert section[0].split()[1] == "9", "no port 0"
        assert values(section, "ice-ufrag") == values(media[-1], "ice-ufrag")
        assert values(section, "ice-pwd") == values(media[-1], "ice-pwd")
        assert 4 <= len(values(section, "ice-ufrag")[0]) <= 256
        assert 22 <= len(values(section, "ice-pwd")[0]) <= 256
        if section[0].startswith("m=application"):
            assert section[0] == "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
            assert values(section, "sctp-port") == ["5000"]
            assert values(section, "max-message-size") == ["65535"]
            for candidate in values(section, "candidate"):
                assert CANDIDATE.fullmatch(f"candidate:{candidate}"), candidate
        else:
            assert not values(section, "candidate")
            assert "a=inactive" in section
            assert "a=rtcp-mux" in section
    return media


def check_offer(sdp: str) -> None:
    """The smallest offer, data only, with the host candidates so far."""
    (section,) = check_common(sdp)
    assert values(section, "setup") == ["actpass"]
    assert values(section, "mid") == ["0"]


def check_answer(offer: str, answer: str, *, setup: str = "active") -> None:
    """Every section of the offer, its order and mids, the mandatory codecs kept (spec 04 §10.5)."""
    theirs = sections(offer)[1:]
    ours = check_common(answer)
    assert len(ours) == len(theirs)
    for mine, wanted in zip(ours, theirs, strict=True):
        kind, _, protocol, *formats = mine[0].split()
        wanted_kind, _, wanted_protocol, *wanted_formats = wanted[0].split()
        assert (kind, protocol) == (wanted_kind, wanted_protocol)
        assert values(mine, "mid") == values(wanted, "mid")
        assert values(mine, "setup") == [setup]
        assert set(formats) <= set(wanted_formats)
        codecs = dict(line.split(" ", 1) for line in values(mine, "rtpmap"))
        wanted_maps = dict(line.split(" ", 1) for line in values(wanted, "rtpmap"))
        if kind == "m=video":
            assert "H264/90000" in codecs.values(), "H264 must survive"
        if kind == "m=audio":
            assert "opus/48000/2" in codecs.values(), "Opus must survive"
        if kind != "m=application":
            assert set(codecs) == set(formats)
            assert all(wanted_maps[each] == codec for each, codec in codecs.items())
            wanted_fmtp = set(values(wanted, "fmtp"))
            assert set(values(mine, "fmtp")) <= wanted_fmtp
            kept = {each for each in wanted_fmtp if each.split(" ")[0] in formats}
            assert set(values(mine, "fmtp")) == kept


def check_candidate(envelope: dict[str, Any]) -> None:
    """Spec 03 §6, 04 §10.6."""
    assert CANDIDATE.fullmatch(envelope["candidate"]), envelope
    assert envelope["sdp_mid"] == ""
    assert envelope["sdp_mline_index"] == 0
    assert envelope["username_fragment"] is None
