"""Session descriptions as v0.3.8 needs them: a small reader and a small writer (spec 04 §10.4–10.5, §11.2).

The reader takes what a peer wrote, which may be hostile: it is bounded in bytes, lines, sections and candidates and
raises nothing but `BadSdp`. The writer makes exactly two shapes, a description of one application section and the
mirror of somebody's sections with the media inactive; every text that it makes for one transport differs from the one
before, because identical texts are one message to the receiver's content filter (spec 04 §10.12).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from myownmesh.engine.limits import MAX_SDP_CHARS
from myownmesh.protocol.limits import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_SDP_LINES = 4_096
MAX_SECTIONS = 64
MAX_CANDIDATES = 512
"""Candidate lines read per section and in all: v0.3.8 names every address of its machine, each twice. The session keeps
those that are worth most (`worth.MAX_REMOTE_CANDIDATES`)."""

DEFAULT_SCTP_PORT = 5_000
DATA_CHANNEL_PROTOCOL = "UDP/DTLS/SCTP"

# Payload types that v0.3.8 must find again in an answer, also in an inactive one (spec 04 §10.5).
_NEEDED_CODEC = {"video": "h264", "audio": "opus"}
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~/-]{1,64}")
_ICE_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_ICE_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SETUP = ("actpass", "active", "passive")


class BadSdp(ValueError):
    """A description that cannot be used; the text says why."""


class Section(Struct, frozen=True):
    """One `m=` section, reduced to what a mirror of it and a transport over it need."""

    kind: str
    protocol: str
    formats: tuple[str, ...]
    mid: str | None
    codec_lines: tuple[str, ...] = ()
    """`a=rtpmap` and `a=fmtp` lines of the formats."""

    @property
    def is_data(self) -> bool:
        return self.kind == "application" and "SCTP" in self.protocol


class Description(Struct, frozen=True):
    """A remote description."""

    sections: tuple[Section, ...]
    data_index: int
    """Index of the first data channel section."""
    ice_ufrag: str
    ice_pwd: str
    setup: str
    candidates: tuple[str, ...]
    """Values of the candidate lines of all sections, without `candidate:`."""
    fingerprint: str | None
    """First fingerprint line of the text, lower-cased (spec 04 §5.4)."""
    sctp_port: int

    @property
    def mids(self) -> tuple[str | None, ...]:
        return tuple(section.mid for section in self.sections)


class LocalIce(Struct, frozen=True):
    """The half of a description that changes with an ICE generation."""

    ufrag: str
    pwd: str
    candidates: tuple[str, ...]
    """Candidate values without `candidate:`."""


DATA_SECTION = Section(kind="application", protocol=DATA_CHANNEL_PROTOCOL, formats=("webrtc-datachannel",), mid="0")


def parse(text: str) -> Description:
    """Read a peer's description. Raises `BadSdp`."""
    if len(text) > MAX_SDP_CHARS:
        raise BadSdp(f"description of {len(text)} characters exceeds the limit of {MAX_SDP_CHARS}")
    lines = text.split("\n")
    if len(lines) > MAX_SDP_LINES:
        raise BadSdp(f"description of {len(lines)} lines exceeds the limit of {MAX_SDP_LINES}")
    blocks: list[list[str]] = [[]]
    for raw in lines:
        line = raw.strip(" \t\r")
        if not line:
            continue
        if _CONTROL.search(line):
            raise BadSdp("description contains control characters")
        if line.startswith("m="):
            if len(blocks) > MAX_SECTIONS:
                raise BadSdp(f"description has more than {MAX_SECTIONS} sections")
            blocks.append([])
        blocks[-1].append(line)
    session, *media = blocks
    if not session or session[0] != "v=0":
        raise BadSdp("description does not begin with v=0")
    if not media:
        raise BadSdp("description has no sections")
    sections = tuple(_section(block) for block in media)
    data_index = next((i for i, section in enumerate(sections) if section.is_data), None)
    if data_index is None:
        raise BadSdp("description has no data channel section")
    data = media[data_index]
    candidates = [line for block in media for line in _values(block, "candidate")[:MAX_CANDIDATES]]
    return Description(
        sections=sections,
        data_index=data_index,
        ice_ufrag=_credential(data, session, "ice-ufrag", _ICE_UFRAG),
        ice_pwd=_credential(data, session, "ice-pwd", _ICE_PWD),
        setup=_setup(data, session),
        candidates=tuple(candidates[:MAX_CANDIDATES]),
        fingerprint=_first_fingerprint(blocks),
        sctp_port=_sctp_port(data),
    )


def mirror(sections: Iterable[Section]) -> tuple[Section, ...]:
    """The sections of an answer: same order and mids, media reduced to the codecs that v0.3.8 insists on."""
    return tuple(section if section.is_data else _reduced(section) for section in sections)


def render(
    *,
    session_id: int,
    version: int,
    fingerprint: str,
    setup: str,
    ice: LocalIce,
    sections: tuple[Section, ...],
) -> str:
    """Write a description.

    `fingerprint` is the value of the one session-level line, `sha-256 AA:BB:…`. `session_id` stays the same for a
    transport and `version` grows with every text. The candidates stand in the first data channel section.
    """
    mids = [section.mid for section in sections if section.mid is not None]
    lines = ["v=0", f"o=- {session_id} {version} IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=fingerprint:{fingerprint}"]
    if mids:
        lines.append("a=group:BUNDLE " + " ".join(mids))
    first_data = True
    for section in sections:
        lines.append(f"m={section.kind} 9 {section.protocol} {' '.join(section.formats)}")
        lines.append("c=IN IP4 0.0.0.0")
        lines.append(f"a=setup:{setup}")
        if section.mid is not None:
            lines.append(f"a=mid:{section.mid}")
        lines.append(f"a=ice-ufrag:{ice.ufrag}")
        lines.append(f"a=ice-pwd:{ice.pwd}")
        if not section.is_data:
            lines += ["a=rtcp-mux", "a=inactive", *section.codec_lines]
        elif first_data:
            first_data = False
            lines.append(f"a=sctp-port:{DEFAULT_SCTP_PORT}")
            # The peer's own line is not read: v0.3.8 writes none, and a hostile one must not decide what we send to it.
            lines.append(f"a=max-message-size:{MAX_FRAME_BYTES}")
            lines += [f"a=candidate:{candidate}" for candidate in ice.candidates]
    return "\r\n".join(lines) + "\r\n"


def _section(block: list[str]) -> Section:
    fields = block[0][2:].split()
    if len(fields) < 4:
        raise BadSdp(f"unreadable section line {block[0][:80]!r}")
    kind, _port, protocol, *formats = fields
    if not all(_TOKEN.fullmatch(token) for token in (kind, protocol, *formats)):
        raise BadSdp(f"unreadable section line {block[0][:80]!r}")
    mids = _values(block, "mid")
    mid = mids[0] if mids else None
    if mid is not None and not _TOKEN.fullmatch(mid):
        raise BadSdp(f"unreadable section name {mid[:80]!r}")
    codec_lines = tuple(line for line in block if line.startswith(("a=rtpmap:", "a=fmtp:")))
    return Section(kind=kind, protocol=protocol, formats=tuple(formats), mid=mid, codec_lines=codec_lines)


def _reduced(section: Section) -> Section:
    """The section with the payload types of its mandatory codec alone; with its first one if it has none of them."""
    needed = _NEEDED_CODEC.get(section.kind)
    kept = []
    for line in section.codec_lines:
        payload_type, _, encoding = line.removeprefix("a=rtpmap:").partition(" ")
        is_map = line.startswith("a=rtpmap:")
        if is_map and encoding.split("/")[0].lower() == needed and payload_type in section.formats:
            kept.append(payload_type)
    formats = tuple(kept) or section.formats[:1]
    lines = tuple(line for line in section.codec_lines if line.partition(":")[2].partition(" ")[0] in formats)
    return Section(kind=section.kind, protocol=section.protocol, formats=formats, mid=section.mid, codec_lines=lines)


def _values(block: list[str], name: str) -> list[str]:
    prefix = f"a={name}:"
    return [line[len(prefix) :].strip() for line in block if line.startswith(prefix)]


def _credential(data: list[str], session: list[str], name: str, shape: re.Pattern[str]) -> str:
    found = _values(data, name) or _values(session, name)
    if not found:
        raise BadSdp(f"the data channel section has no a={name}")
    if not shape.fullmatch(found[0]):
        raise BadSdp(f"unusable a={name} {found[0][:80]!r}")
    return found[0]


def _setup(data: list[str], session: list[str]) -> str:
    found = _values(data, "setup") or _values(session, "setup") or ["actpass"]
    if found[0] not in _SETUP:
        raise BadSdp(f"unusable a=setup {found[0][:80]!r}")
    return found[0]


def _sctp_port(data: list[str]) -> int:
    found = _values(data, "sctp-port")
    if not found:
        return DEFAULT_SCTP_PORT
    return _number(found[0], "sctp-port", 65_535)


def _number(text: str, name: str, largest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= largest):
        raise BadSdp(f"unusable a={name} {text[:80]!r}")
    return int(text)


def _first_fingerprint(blocks: list[list[str]]) -> str | None:
    for block in blocks:
        found = _values(block, "fingerprint")
        if found:
            return found[0].lower()
    return None
