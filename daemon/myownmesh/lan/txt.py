"""What an advert says of itself: the strings of its TXT record (spec 03 §18.1, spec 11 §2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSION: Final = "1"
MAX_STRING_BYTES: Final = 255
_MAX_TIME_DIGITS: Final = 12


class Advert(Struct, frozen=True):
    """What an advert of another device in our room says."""

    peer: str
    """As it stands there; nothing proves that it wrote it, nor that it is a device id."""
    caps: tuple[str, ...] = ()
    signed: tuple[int, str] | None = None
    """When it was registered by its own clock, in Unix seconds, and the signature."""


def encode(entries: Mapping[str, str]) -> bytes:
    """The record's data. Raises ValueError for an entry of more than 255 bytes."""
    data = bytearray()
    for key, value in entries.items():
        text = f"{key}={value}".encode()
        if len(text) > MAX_STRING_BYTES:
            raise ValueError(f"the entry {key!r} takes {len(text)} bytes, and {MAX_STRING_BYTES} are allowed")
        data += bytes([len(text)]) + text
    return bytes(data)


def parse(rdata: bytes) -> dict[str, str]:
    """The entries of a record, the first of each key. What is cut off, or no UTF-8, is read as far as it goes."""
    found: dict[str, str] = {}
    for text in _strings(rdata):
        key, _, value = text.decode("utf-8", "replace").partition("=")
        if key:
            found.setdefault(key, value)
    return found


def entries(
    room: str, device_id: str, caps: tuple[str, ...] = (), signed: tuple[int, str] | None = None
) -> dict[str, str]:
    """What an advert of ours says; `caps` only with a signature, without which they do not count."""
    said = {"v": VERSION, "room": room, "peer": device_id}
    if signed is not None:
        said |= {"caps": ",".join(caps), "t": str(signed[0]), "s": signed[1]}
    return said


def accepted(txt: Mapping[str, str], room: str, device_id: str) -> Advert | None:
    """The advert, if it is one of another device in this room."""
    peer = txt.get("peer", "")
    if txt.get("v") != VERSION or txt.get("room") != room or not peer or peer == device_id:
        return None
    caps = txt.get("caps", "")
    return Advert(peer, tuple(caps.split(",")) if caps else (), _signed(txt))


def _signed(txt: Mapping[str, str]) -> tuple[int, str] | None:
    t, s = txt.get("t", ""), txt.get("s", "")
    if not (s and t.isascii() and t.isdecimal() and len(t) <= _MAX_TIME_DIGITS):
        return None
    return int(t), s


def _strings(rdata: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(rdata):
        length = rdata[at]
        yield rdata[at + 1 : at + 1 + length]
        at += 1 + length
