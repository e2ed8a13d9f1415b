"""What a program asked of a peer is taken back when the program has gone (spec 08 FE-9.7).

Only a program knows that it does not want an answer any more, and one that was killed cannot say so. The daemon
outlives it, and tells hosts that want to know it: those that announce `stream_cancel_v1`, of calls that name themselves
by a `stream_id`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from myownmesh.protocol.ids import pubkey_part

if TYPE_CHECKING:
    from myownmesh.mesh.network import Network

CANCEL_CHANNEL: Final = "rpc/cancel"
CANCEL_FEATURE: Final = "stream_cancel_v1"

log = logging.getLogger(__name__)


class _Named(msgspec.Struct):
    stream_id: str = ""


class _Call(_Named):
    elsewhere: _Named | None = msgspec.field(default=None, name="__blob")
    """what stands for a payload that went ahead in parts (FE-9.49)"""


class _Offer(msgspec.Struct):
    features: tuple[str, ...] = ()


def name_of(payload: msgspec.Raw) -> str:
    """How the call with this payload can be taken back; empty when it cannot."""
    if b'"stream_id"' not in bytes(payload):  # nearly every call: nothing is decoded for it
        return ""
    try:
        call = msgspec.json.decode(payload, type=_Call)
    except msgspec.DecodeError:
        return ""
    return call.stream_id if call.elsewhere is None else call.elsewhere.stream_id


def take_back(network: Network, peer: str, name: str) -> None:
    """Tell the host of that call that nobody waits for it any more, if it has a way to hear it."""
    if _hears(network, pubkey_part(peer)):
        network.post_to(peer, CANCEL_CHANNEL, msgspec.Raw(msgspec.json.encode(_Named(name))), _told)


def _hears(network: Network, device_id: str) -> bool:
    row = next((row for row in network.peers() if row.device_id == device_id), None)
    if row is None or row.capabilities is None or row.capabilities.extra is None:
        return False
    try:
        return CANCEL_FEATURE in msgspec.json.decode(row.capabilities.extra, type=_Offer).features
    except msgspec.DecodeError:
        return False


def _told(error: str | None) -> None:
    if error is not None:
        log.debug("a call could not be taken back: %s", error)  # the host sees its link end
