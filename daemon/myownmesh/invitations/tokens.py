"""The secret of an invitation, and how its holder proves to have it without showing it (spec 11 §1.3)."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

from mesh_common.values import Value
from myownmesh.protocol import base32

TOKEN_BYTES: Final = 16
_ID_CHARACTERS: Final = 16


class Meeting(Value, frozen=True):
    """Who uses an invitation where: a proof counts for exactly this."""

    room: str
    """The room's handle (spec 03 §2)."""
    joiner: str
    """Bare id."""
    inviter: str
    """Bare id."""
    joiner_binding: str
    """Of the certificate that the joiner presented in DTLS (spec 01 §3.3)."""


def token_text(token: bytes) -> str:
    """A token as it travels in links and stands in the file."""
    return base32.encode(token)


def read_token(text: str) -> bytes:
    """The bytes of a token in its one spelling. Raises `ValueError`."""
    token = base32.decode(text, TOKEN_BYTES)
    if base32.encode(token) != text:
        raise ValueError("a token is written in lower case")
    return token


def id_of(token: bytes) -> str:
    """By what an invitation is named where its token must not stand: 16 hex digits."""
    return sha256(token).hexdigest()[:_ID_CHARACTERS]


def mac_of(token: bytes, meeting: Meeting) -> str:
    """What the joiner's hello carries: HMAC-SHA256 over the meeting, base32."""
    text = f"myownmesh-invite-v1:{meeting.room}|{meeting.joiner}|{meeting.inviter}|{meeting.joiner_binding}"
    return base32.encode(hmac.digest(token, text.encode(), "sha256"))


def proves(token: bytes, meeting: Meeting, mac: str) -> bool:
    """Whether `mac` was made with the token for this meeting; compared in constant time."""
    return hmac.compare_digest(mac_of(token, meeting).encode(), mac.encode("utf-8", "surrogatepass"))
