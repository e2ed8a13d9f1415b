"""What a look at this device's surroundings found (`myownmesh netcheck`, docs/lan.md), as it is written and read.

Times are in milliseconds. Everything in `Surroundings` was measured; `Netcheck` is that with what it means.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Verdict = Literal["works", "limited", "nothing"]

EXIT_CODES: dict[Verdict, int] = {"works": 0, "limited": 4, "nothing": 5}
"""With which the command ends: everything works, though perhaps not by the shortest way; a part works; nothing does."""


class ServerRow(Struct, frozen=True, kw_only=True):
    """One server that this device is told to use."""

    kind: Literal["relay", "stun", "turn"]
    url: str
    over: Literal["udp", "tcp", "tls"]
    networks: tuple[str, ...] = ()
    """Record ids of the networks that use it."""
    ok: bool = False
    ms: int | None = None
    """Of STUN the round trip; of TURN until it had lent an address, of a relay until it had answered a question, each
    with the look-up of the name and the connection; None without."""
    reason: str | None = None
    """Why it is of no use now."""
    from_member: bool = False
    """Hosted by a member of the network, and adopted."""


class Udp(Struct, frozen=True, kw_only=True):
    """`open`: a server answered; `blocked`: none did, though others answer over TCP; `unknown`: nobody could tell."""

    state: Literal["open", "blocked", "unknown"] = "unknown"


class Ipv6(Struct, frozen=True, kw_only=True):
    """`works`: a STUN server answered; `address`: there is an address that leads out, and no server to prove it."""

    state: Literal["works", "address", "none"] = "none"
    address: str | None = None


class Nat(Struct, frozen=True, kw_only=True):
    """How IPv4 addresses are translated on the way out.

    `none`: not at all; `independent`: alike for every destination; `dependent`: anew for each ("symmetric");
    `unknown`: two servers at different addresses did not answer.
    """

    state: Literal["none", "independent", "dependent", "unknown"] = "unknown"
    seen_as: tuple[str, ...] = ()
    """`address:port` of one socket, as servers saw it; each once."""


class Clock(Struct, frozen=True, kw_only=True):
    ahead_ms: int
    """Of this device's clock; negative when it is behind."""
    by: str
    """As in `status`: `relays` (by their HTTP `Date`, in whole seconds), and of a running daemon `peers` and `room`."""


class Multicast(Struct, frozen=True, kw_only=True):
    """`heard`: another device answered; `possible`: ours went out and came back, and nobody answered; `off`: switched
    off for this device; `impossible`: for `reason`."""

    state: Literal["heard", "possible", "impossible", "off"] = "impossible"
    answers: int = 0
    """Devices that answered."""
    reason: str | None = None


class Surroundings(Struct, frozen=True, kw_only=True):
    """What was measured."""

    addresses: tuple[str, ...] = ()
    """Of this device, as it offers them to others; none: it has no network."""
    networks: tuple[str, ...] = ()
    """Record ids of the networks whose servers were asked; none: those that a new network would have were."""
    lan_networks: tuple[str, ...] = ()
    """Those of them that are met in the local network as well."""
    udp: Udp = Udp()
    ipv6: Ipv6 = Ipv6()
    nat: Nat = Nat()
    clock: Clock | None = None
    multicast: Multicast = Multicast()
    servers: tuple[ServerRow, ...] = ()
    took_ms: int = 0


class Netcheck(Surroundings, frozen=True, kw_only=True):
    """The answer of the op `netcheck`, and what `myownmesh netcheck --json` prints."""

    verdict: Verdict
    code: str
    """Which of the cases of docs/lan.md it is; a word for programs."""
    sentence: str
    """What will work and what to change, for a person."""
