"""Routers that translate addresses, by what they let in and how they map: which two devices behind them ever meet."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Nat(Enum):
    """What stands between a device and everybody else (RFC 4787 calls it mapping and filtering)."""

    NONE = "none"
    FULL_CONE = "full_cone"
    """One address to everybody, and everybody may send there."""
    RESTRICTED = "restricted"
    """One address to everybody; only hosts that were written to may send there."""
    PORT_RESTRICTED = "port_restricted"
    """The same, by host and port."""
    SYMMETRIC = "symmetric"
    """Another address to each destination, which alone may send there: STUN learns one that helps nobody else."""

    @property
    def candidates(self) -> Sequence[str]:
        """Kinds of the addresses that a device behind it can tell: its own, and what a STUN server saw."""
        return ("host",) if self is Nat.NONE else ("host", "srflx")

    @property
    def selected(self) -> str:
        """The kind of its end of a path that works."""
        return {Nat.NONE: "host", Nat.SYMMETRIC: "prflx"}.get(self, "srflx")


def meet(one: Nat, other: Nat) -> bool:
    """Do two devices find a path when both send to each address that they were told of the other? The first packet
    that arrives shows where it came from, so one way is enough."""
    return _arrives(one, other) or _arrives(other, one)


def _arrives(source: Nat, destination: Nat) -> bool:
    """Does a packet to the told address get in, once the destination has sent to the told address of the source?"""
    if destination is Nat.SYMMETRIC:
        return False  # the told address is for the STUN server alone
    return destination is not Nat.PORT_RESTRICTED or source is not Nat.SYMMETRIC
