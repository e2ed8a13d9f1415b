"""Addresses of relays, STUN and TURN servers: one rule for what can be used and one normal form (spec 07 §4.3). Pure.

The normal form is for comparing and connecting; files and the wire keep a person's spelling.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RELAY_FORM: Final = "write ws://host:port or wss://host"
STUN_FORM: Final = "write stun:host:port"
TURN_FORM: Final = "write turn:host:port, turn:host:port?transport=tcp or turns:host:port"

STUN_PORT: Final = 3478
"""RFC 7064, and RFC 7065 for TURN."""
TURNS_PORT: Final = 5349

_HOUSEHOLD_BITS: Final = 64
_HOST_AND_PORT: Final = "it must name a host, and a port only from 1 to 65535"
_MAX_NAME: Final = 253
_MAX_LABEL: Final = 63
"""RFC 1035 §2.3.4, in characters of the ASCII form."""
_MAX_PORT_DIGITS: Final = 5
"""Python turns no text of thousands of digits into a number."""
# Patterns as texts: many a start reads no address at all, and compiling them takes half a millisecond.
_LABEL: Final = r"[a-z0-9_-]+"
_NUMBER: Final = r"[0-9]+|0[xX][0-9a-fA-F]*"
_ESCAPE: Final = "%[0-9a-fA-F]{2}"
_IN_BRACKETS: Final = r"\[[^\[\]]*\](?::[^:]*)?"
_UNRESERVED: Final = r"[A-Za-z0-9._~-]"
"""RFC 3986 §2.3: these are the same with and without percent-encoding."""
_VISIBLE: Final = "".join(chr(code) for code in range(0x21, 0x7F))
_SERVER: Final = (
    r"(?is)(?P<scheme>[a-z]+):(?P<host>\[[^\[\]]*\]|[^\[\]?:/@#]*)(?::(?P<port>[0-9]*))?(?:\?(?P<query>.*))?"
)


class BadAddress(ValueError):
    """An address that this release cannot use. The text is a sentence that names it and says what to write instead."""


class RelayAddress(Struct, frozen=True):
    """A relay in normal form; equal for all spellings of one address."""

    tls: bool
    host: str
    """Lower case; an international name as ASCII; IPv6 without brackets."""
    port: int
    resource: str
    """Path and query as they are asked for, at least `/`."""

    @property
    def authority(self) -> str:
        """Host and port as the `Host` header has them: without the port that the scheme implies."""
        return authority(self.host, None if self.port == _web_port(tls=self.tls) else self.port)

    @property
    def url(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://{self.authority}{'' if self.resource == '/' else self.resource}"


class ServerAddress(Struct, frozen=True):
    """A STUN or TURN server in normal form."""

    scheme: str
    """`stun`, `turn` or `turns`."""
    host: str
    port: int
    transport: str
    """`udp` or `tcp`."""


def relay_address(text: str) -> RelayAddress:
    """Read `ws://host[:port][/path][?query]` or the same with `wss`. Raises `BadAddress`.

    A user and a fragment are no part of what is connected to.
    """

    def bad(why: str) -> BadAddress:
        return BadAddress(f"{_quoted(text)} is no relay address: {why}; {RELAY_FORM}")

    _refuse_blanks(text, bad)
    scheme = text.partition(":")[0].lower()
    if scheme not in ("ws", "wss"):
        raise bad("it must begin with ws:// or wss://")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise bad(f"{_HOST_AND_PORT} ({error})") from None
    place = parts.netloc.rpartition("@")[2]
    bracketed = "[" in place or "]" in place
    if bracketed and re.fullmatch(_IN_BRACKETS, place) is None:  # Python skips what stands around brackets
        raise bad(_HOST_AND_PORT)
    if not host:
        raise bad(_HOST_AND_PORT)
    if port == 0:
        raise bad(_HOST_AND_PORT)
    tls = scheme == "wss"
    query = f"?{parts.query}" if "?" in text.partition("#")[0] else ""
    return RelayAddress(
        tls=tls,
        host=_host(host, bad, bracketed=bracketed),
        port=port or _web_port(tls=tls),
        resource=_without_dots(_spelled(parts.path)) + _spelled(query),
    )


def stun_address(text: str) -> ServerAddress:
    """Read `stun:host[:port]` (RFC 7064). Raises `BadAddress`; `stuns:` is none that this release can use."""

    def bad(why: str) -> BadAddress:
        return BadAddress(f"{_quoted(text)} is no STUN server: {why}; {STUN_FORM}")

    scheme, host, port, transport = _server(text, ("stun",), bad)
    if transport not in (None, "udp"):
        raise bad("this release asks STUN servers over UDP only")
    return ServerAddress(scheme, host, port or STUN_PORT, "udp")


def turn_address(text: str) -> ServerAddress:
    """Read `turn:host[:port][?transport=udp|tcp]`, or the same with `turns` (RFC 7065). Raises `BadAddress`."""

    def bad(why: str) -> BadAddress:
        return BadAddress(f"{_quoted(text)} is no TURN server: {why}; {TURN_FORM}")

    scheme, host, port, transport = _server(text, ("turn", "turns"), bad)
    if scheme == "turns":
        if transport == "udp":
            raise bad("this release speaks TLS over TCP, not DTLS over UDP")
        return ServerAddress(scheme, host, port or TURNS_PORT, "tcp")
    return ServerAddress(scheme, host, port or STUN_PORT, transport or "udp")


def authority(host: str, port: int | None) -> str:
    """Host and port as addresses have them, the host alone for no port; IPv6 in brackets."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def without_brackets(host: str) -> str:
    """A host as sockets want it; a person may write IPv6 in brackets."""
    return host.removeprefix("[").removesuffix("]")


def household_of(ip: str) -> str:
    """What limits per address count by: an IPv4 address, or of an IPv6 one the /64, in which a host has any number."""
    if ":" not in ip:
        return ip
    address = ipaddress.IPv6Address(ip.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, _HOUSEHOLD_BITS), strict=False))


def is_loopback(host: str) -> bool:
    """Does it mean this machine alone: `localhost`, or a loopback address with or without brackets?"""
    try:
        return ipaddress.ip_address(without_brackets(host)).is_loopback
    except ValueError:
        return host == "localhost"


def problems(texts: Iterable[str], read: Callable[[str], object]) -> tuple[str, ...]:
    """What is wrong with those of `texts` that `read` refuses."""
    found: list[str] = []
    for text in texts:
        try:
            read(text)
        except BadAddress as error:
            found.append(str(error))
    return tuple(found)


def usable(texts: Iterable[str], read: Callable[[str], object]) -> tuple[str, ...]:
    """Those of `texts` that `read` takes, as they are spelled."""
    return tuple(text for text in texts if not problems([text], read))


def _server(
    text: str, schemes: tuple[str, ...], bad: Callable[[str], BadAddress]
) -> tuple[str, str, int | None, str | None]:
    _refuse_blanks(text, bad)
    scheme, colon, rest = text.partition(":")
    if not colon or scheme.lower() not in schemes:
        raise bad(f"it must begin with {' or '.join(f'{each}:' for each in schemes)}")
    if rest.startswith("//"):
        raise bad("there is no // behind the scheme")
    match = re.fullmatch(_SERVER, text)
    if match is None:
        raise bad("it must be a host, a port and a transport at most")
    if not match["host"] or match["host"] == "[]":
        raise bad(_HOST_AND_PORT)
    digits = (match["port"] or "").lstrip("0")
    if len(digits) > _MAX_PORT_DIGITS or (match["port"] and not 0 < int(digits or "0") < 65_536):
        raise bad(_HOST_AND_PORT)
    port = int(digits) if digits else None
    transport = None
    if match["query"] is not None:
        name, _, value = match["query"].lower().partition("=")
        if name != "transport" or value not in ("udp", "tcp"):
            raise bad("behind ? there may only be transport=udp or transport=tcp")
        transport = value
    host = match["host"]
    return scheme.lower(), _host(host.strip("[]"), bad, bracketed=host.startswith("[")), port, transport


def _host(host: str, bad: Callable[[str], BadAddress], *, bracketed: bool) -> str:
    """The normal form of a host name or of an address without brackets."""
    if ":" in host or bracketed:
        address, percent, zone = host.partition("%")
        try:
            literal = ipaddress.IPv6Address(address)
        except ValueError:
            raise bad("what stands in brackets must be an IPv6 address") from None
        if percent and not zone.removeprefix("25"):
            raise bad("behind % there must be the name of an interface")
        if literal.ipv4_mapped is not None:
            return str(literal.ipv4_mapped)
        return f"{literal.compressed}{percent}{zone.removeprefix('25')}"
    name = (host if host.isascii() else _ascii_name(host, bad)).lower().removesuffix(".")
    if len(name) > _MAX_NAME:
        raise bad(f"a host name has at most {_MAX_NAME} characters")
    for label in name.split("."):
        if re.fullmatch(_LABEL, label) is None or len(label) > _MAX_LABEL:
            raise bad(f"{_quoted(host)} is no host name")
    return _plain_ipv4(name, bad) if re.fullmatch(_NUMBER, name.rpartition(".")[2]) else name


def _plain_ipv4(name: str, bad: Callable[[str], BadAddress]) -> str:
    """The usual form of an IPv4 address: resolvers read `127.1`, `0x7f000001` and `2130706433` as `127.0.0.1` too."""
    from socket import inet_aton  # rarely needed, and many a command loads no sockets

    try:
        return str(ipaddress.IPv4Address(inet_aton(name)))
    except OSError:
        raise bad(f"{_quoted(name)} is no IPv4 address") from None


def _spelled(text: str) -> str:
    """The normal spelling of a path or a query."""
    return re.sub(_ESCAPE, _one_escape, quote(text, safe=_VISIBLE))


def _without_dots(path: str) -> str:
    """A path without the segments `.` and `..` (RFC 3986 §5.2.4), at least `/`."""
    *folders, last = path.split("/")[1:] or [""]
    kept: list[str] = []
    for segment in [*folders, *((last,) if last in (".", "..") else ())]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return "/".join(["", *kept, "" if last in (".", "..") else last])


def _one_escape(escape: re.Match[str]) -> str:
    """The normal spelling of one percent-encoded byte (RFC 3986 §6.2.2)."""
    character = chr(int(escape[0][1:], 16))
    return character if re.fullmatch(_UNRESERVED, character) else escape[0].upper()


def _ascii_name(host: str, bad: Callable[[str], BadAddress]) -> str:
    """An international name as resolvers and certificates have it."""
    import idna  # its tables take 5 ms, and few names need them

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise bad(f"{_quoted(host)} is no host name ({error})") from None


def _refuse_blanks(text: str, bad: Callable[[str], BadAddress]) -> None:
    if not text:
        raise bad("it is empty")
    if any(c.isspace() or not c.isprintable() for c in text):
        raise bad("it holds white space or a control character")


def _web_port(*, tls: bool) -> int:
    return 443 if tls else 80


def _quoted(text: str) -> str:
    """As it is written, but so that nothing in it is obeyed by a terminal."""
    shown = text if len(text) <= 200 else f"{text[:200]}…"
    return f"'{shown}'" if shown.isprintable() else ascii(shown)
