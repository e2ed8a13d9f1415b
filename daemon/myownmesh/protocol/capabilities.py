"""The advert of one node in one network: what it offers to others (spec 01 §9)."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
from msgspec import Raw

from myownmesh.protocol.compact import compact
from myownmesh.protocol.schema import U32

MAX_ADVERT_BYTES: Final = 48 * 1024
"""Largest advert in compact JSON. It rides in every hello; a hello that exceeds a frame fails every handshake."""


class CapabilitiesTooLarge(ValueError):
    """The advert does not fit into a hello."""

    def __init__(self) -> None:
        super().__init__("capabilities too large")


class Capabilities(msgspec.Struct, frozen=True):
    """An advert; it replaces an earlier one whole."""

    SHAPE: ClassVar[str] = "struct CapabilityAdvert"

    tags: tuple[str, ...] = ()
    app_version: str | None = None
    max_connections: U32 | None = None
    extra: Raw | None = None
    """Any JSON value; None and the text `null` mean the same."""


NO_CAPABILITIES: Final = Capabilities()


def checked(advert: Capabilities) -> Capabilities:
    """Return `advert` with a compact `extra`, which is spelled anew only where it would be too long as it stands (spec
    05 §12). Raises `CapabilitiesTooLarge` above `MAX_ADVERT_BYTES`.
    """
    if advert.extra is None:
        if not _fits(advert):
            raise CapabilitiesTooLarge
        return advert
    extra = bytes(advert.extra)
    for shorter in (_without_space, compact):
        advert = msgspec.structs.replace(advert, extra=Raw(shorter(extra)))
        if _fits(advert):
            return advert
    raise CapabilitiesTooLarge


def _fits(advert: Capabilities) -> bool:
    return len(msgspec.json.encode(advert)) <= MAX_ADVERT_BYTES


def _without_space(text: bytes) -> bytes:
    return msgspec.json.format(text, indent=-1)
