"""The HTTP request with which a client asks for a WebSocket, and whose address it counts for (spec 03 §19.1). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from attrs import frozen

from mesh_common.addresses import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_HEAD_BYTES: Final = 16384
END_OF_HEAD: Final = b"\r\n\r\n"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_REQUEST: Final = re.compile(rb"GET [!-~]+ HTTP/1\.1")
_KEY: Final = re.compile(rb"\r\nsec-websocket-key:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n|\Z)", re.IGNORECASE)
_SHARED_BYTES: Final = 512
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class NoUpgrade(Exception):
    """It asks for something else, or is no HTTP: it is dropped without an answer."""


@frozen
class Upgrade:
    answer: bytes
    forwarded_for: tuple[str, ...]
    """Lines of `X-Forwarded-For`, in order."""


def begins_well(head: bytes) -> bool:
    """Whether a request may come of it: TLS, for one, ends here, and not when its time is over."""
    return head[:4] == b"GET "[: len(head)]


def read_upgrade(head: bytes, date: bytes) -> Upgrade:
    """`head` is what came before the blank line, `date` what the answer says of the time. Raises `NoUpgrade`."""
    key = _KEY.search(head)
    if key is None or not _is_nonce(key[1]):
        raise NoUpgrade
    rest = head[: key.start()] + head[key.end() :]
    forwarded_for = _shared_request(rest) if len(rest) <= _SHARED_BYTES else _read_request(rest)
    if forwarded_for is None:
        raise NoUpgrade
    accept = base64.b64encode(hashlib.sha1(key[1] + _GUID, usedforsecurity=False).digest())
    return Upgrade(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Date: " + date + b"\r\nSec-WebSocket-Accept: " + accept + END_OF_HEAD,
        forwarded_for,
    )


def _read_request(head: bytes) -> tuple[str, ...] | None:
    """`forwarded_for` of a request without its one key; None if it asks for no WebSocket."""
    request, *lines = head.split(b"\r\n")
    if _REQUEST.fullmatch(request) is None:
        return None
    headers: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or _NAME.fullmatch(name) is None:
            return None
        headers.setdefault(name.lower(), []).append(value.strip(b" \t"))
    if (
        b"websocket" not in _words(headers, b"upgrade")
        or b"upgrade" not in _words(headers, b"connection")
        or headers.get(b"sec-websocket-version") != [b"13"]
        or len(headers.get(b"host", [])) != 1
        or b"sec-websocket-key" in headers
    ):
        return None
    return tuple(value.decode("ascii", "replace") for value in headers.get(b"x-forwarded-for", ()))


_shared_request = lru_cache(maxsize=256)(_read_request)
"""Clients of one kind ask in the same bytes."""


def client_address(tcp_peer: str, forwarded_for: Iterable[str]) -> str:
    """The address that the connection limit counts.

    Behind a proxy on this machine that is the last address of `X-Forwarded-For` that parses; a remote peer's header
    is never believed. `forwarded_for` holds the header's lines in order.
    """
    lines = list(forwarded_for)
    if lines and is_loopback(tcp_peer):
        for line in reversed(lines):
            for entry in reversed(line.split(",")):
                try:
                    return str(ipaddress.ip_address(entry.strip()))
                except ValueError:
                    continue
    return tcp_peer


def _words(headers: dict[bytes, list[bytes]], name: bytes) -> set[bytes]:
    return {word.strip().lower() for value in headers.get(name, ()) for word in value.split(b",")}


def _is_nonce(key: bytes) -> bool:
    try:
        return len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except binascii.Error:
        return False
