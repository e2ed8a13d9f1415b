"""The advert of one node in one network: what it offers to others (spec 01 §9)."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from myownmesh.protocol.strict_json import is_null, members, read_integer, read_text, read_texts, typed_members

MAX_ADVERT_BYTES: Final = 48 * 1024
"""Largest advert in compact JSON. It rides in every hello; a hello that exceeds a frame fails every handshake."""


class CapabilitiesTooLarge(ValueError):
    """The advert does not fit into a hello."""

    def __init__(self) -> None:
        super().__init__("capabilities too large")


class Capabilities(msgspec.Struct, frozen=True):
    """An advert; it replaces an earlier one whole."""

    tags: tuple[str, ...] = ()
    app_version: str | None = None
    max_connections: int | None = None
    extra: Raw | None = None
    """Any JSON value; None and the text `null` mean the same."""


NO_CAPABILITIES: Final = Capabilities()


def checked(advert: Capabilities) -> Capabilities:
    """Return `advert` with a compact `extra`. Raises `CapabilitiesTooLarge` above `MAX_ADVERT_BYTES`."""
    if advert.extra is not None:
        compact = Raw(msgspec.json.format(bytes(advert.extra), indent=-1))
        advert = msgspec.structs.replace(advert, extra=compact)
    if len(msgspec.json.encode(advert)) > MAX_ADVERT_BYTES:
        raise CapabilitiesTooLarge
    return advert


def read_capabilities(value: Raw) -> Capabilities:
    """An advert from a proven text; every member is optional, unknown ones are ignored. Raises `JsonError`."""
    fields = typed_members(members(value, "struct CapabilityAdvert"), Capabilities.__struct_fields__)
    tags = fields.get("tags")
    version = fields.get("app_version")
    connections = fields.get("max_connections")
    extra = fields.get("extra")
    return Capabilities(
        () if tags is None else read_texts(tags),
        None if version is None or is_null(version) else read_text(version),
        None if connections is None or is_null(connections) else read_integer(connections, "u32"),
        None if extra is None or is_null(extra) else extra,
    )
