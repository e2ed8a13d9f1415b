"""The peer's channel binding: the certificate that it presented, if its description says the same.

Spec 01 §3.3 rule 2: the text of a description alone is no binding.
"""

from __future__ import annotations


def agreed_binding(sdp: str, presented: str | None) -> str | None:
    """`presented`, if the first fingerprint line of the session and of every section that has one equals it."""
    firsts: list[str] = []
    seen_in_block = False
    for raw in sdp.split("\n"):
        line = raw.strip()
        if line.startswith("m="):
            seen_in_block = False
        elif line.startswith("a=fingerprint:") and not seen_in_block:
            seen_in_block = True
            firsts.append(line.removeprefix("a=fingerprint:").strip().lower())
    if presented is None or not firsts or not presented.startswith("sha-256 "):
        return None
    return presented if all(first == presented for first in firsts) else None
