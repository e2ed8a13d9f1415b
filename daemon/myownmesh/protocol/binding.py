"""Channel bindings: which certificate a handshake speaks for (spec 01 §3.3).

A binding reads `sha-256 ab:cd:…`. The signer takes its own from its SDP; the verifier takes the other's from the
certificate that was presented in DTLS, and only if the other's SDP says nothing else. SDP text alone proves nothing:
a stack may check one section of it, and an attacker writes another.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

_ATTRIBUTE: Final = "a=fingerprint:"
_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_SHA256: Final = re.compile(r"sha-256 [0-9a-f]{2}(?::[0-9a-f]{2}){31}")


def first_fingerprint(sdp: str) -> str | None:
    """The binding that an SDP names first, wherever the line stands; None without any."""
    return next((binding for line in sdp.split("\n") if (binding := _fingerprint(line)) is not None), None)


def certificate_binding(der: bytes) -> str:
    """The binding of a certificate, from its DER bytes."""
    return "sha-256 " + sha256(der).digest().hex(":")


def agreed_binding(sdp: str, presented: str | None) -> str | None:
    """The binding of a peer that presented the certificate `presented` in DTLS; None when its SDP does not agree.

    The first fingerprint line of the session and of every media section that has one must be this very sha-256.
    """
    if presented is None or _SHA256.fullmatch(presented) is None:
        return None
    firsts: list[str] = []
    named = False
    for line in sdp.split("\n"):
        if line.strip().startswith("m="):
            named = False
        elif not named and (binding := _fingerprint(line)) is not None:
            named = True
            firsts.append(binding)
    return presented if firsts and all(binding == presented for binding in firsts) else None


def _fingerprint(line: str) -> str | None:
    line = line.strip()
    if not line.startswith(_ATTRIBUTE):
        return None
    return line.removeprefix(_ATTRIBUTE).strip().translate(_LOWER)
