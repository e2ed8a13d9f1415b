"""Public keys that no device can own: the points of small order, in every spelling (spec 02 FIX 34).

Under some of them one signature fits every message. libsodium refuses them as signers; they are refused as targets and
peers as well, so that no entry is about a device that anybody could play.
"""

from __future__ import annotations

from typing import Final

from myownmesh.protocol import base32

_POINTS: Final = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)
_SIGN_BIT: Final = 0x80

WEAK_KEYS: Final = frozenset(
    base32.encode(bytes([*point[:31], point[31] | sign]))
    for point in map(bytes.fromhex, _POINTS)
    for sign in (0, _SIGN_BIT)
)
"""Their device ids, as canonical texts."""
