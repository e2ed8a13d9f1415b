"""A peer in each stage of its life, as an engine makes it, without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine.limits import ControlBudget
from myownmesh.engine.peer import (
    Active,
    Channel,
    Connecting,
    Handshaking,
    OpenedBy,
    Opening,
    Pending,
    Placeholder,
    Shelved,
    Transport,
    Upkeep,
)
from myownmesh.protocol.capabilities import NO_CAPABILITIES

if TYPE_CHECKING:
    from myownmesh.engine.peer import Peer


def transport(*, offerer: bool = True, opened_at: float = 0.0) -> Transport:
    return Transport(opened_at, offerer, OpenedBy.PRESENCE)


def channel() -> Channel:
    return Channel("ours", "theirs", "nonce", "code", ControlBudget(0.0))


def placeholder(device_id: str = "p", epoch: int = 0) -> Placeholder:
    return Placeholder(device_id, epoch)


def connecting(device_id: str = "p", epoch: int = 0) -> Connecting:
    return Connecting(device_id, epoch, transport())


def handshaking(device_id: str = "p", epoch: int = 0) -> Handshaking:
    return Handshaking(device_id, epoch, transport(), channel(), Opening(b"{}", NO_CAPABILITIES))


def pending(device_id: str = "p", epoch: int = 0) -> Pending:
    return Pending(device_id, epoch, transport(), channel(), Opening(b"{}", NO_CAPABILITIES))


def active(device_id: str = "p", epoch: int = 0) -> Active:
    return Active(device_id, epoch, transport(), channel(), Upkeep())


def shelved(device_id: str = "p", epoch: int = 0) -> Shelved:
    return Shelved(device_id, epoch, transport(), channel(), Upkeep())


def every_stage() -> list[Peer]:
    return [placeholder(), connecting(), handshaking(), pending(), active(), shelved()]
