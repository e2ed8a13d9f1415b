"""Frames that reach a peer over forwarders (spec 01 §14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.engine.actions import Deliver, Forward
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.limits import is_power_of_two
from myownmesh.protocol.codec import FrameTooLarge, encode_frame
from myownmesh.protocol.envelopes import RELAY_TAG, Routed, read_envelope, read_routed, wrapped
from myownmesh.protocol.frames import Channel
from myownmesh.protocol.ids import pubkey_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownmesh.engine.actions import Hop
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Live
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.envelopes import Envelope

FORWARD_LEAST_BYTES: Final = 512
"""A small frame costs as much as this."""


def receive(core: Core, carrier: Live, frame: Channel, now: Instant) -> None:
    """Take a frame of the relay channel. An envelope always ends here, even if nothing comes of it.

    Its inner frame counts as the origin's, who must be somebody whose own frames we would take: a forwarder can write
    any name there. Its hops are held to what the shape needs.
    """
    routed = read_routed(frame.payload)
    if routed is None:
        if _may_name(carrier, read_envelope(frame.payload)):
            core.out.append(Deliver(carrier.device_id, carrier.epoch, frame))
        else:
            _refuse(core, carrier, now)
        return
    origin = routed.src or carrier.device_id
    if origin == core.me:
        return  # our own came back
    if origin != carrier.device_id and not core.shape.forwards(carrier.device_id):
        _refuse(core, carrier, now)
        return
    if not core.routes.is_first(origin, routed.id):
        return
    if routed.dst in ("", core.me):
        if origin == carrier.device_id or (origin == pubkey_part(origin) and core.is_rostered(origin)):
            core.out.append(Deliver(origin, carrier.epoch, Channel(routed.channel, routed.body)))
        if routed.dst:
            return
    if routed.ttl > 0 and core.shape.forwards(core.me):
        _pass_on(core, carrier, origin, routed, now)


def _may_name(carrier: Live, envelope: Envelope | None) -> bool:
    """Whether a carrier may say that this comes from somebody else: only one that says that it is a relay (06 B)."""
    if envelope is None or envelope.src in ("", carrier.device_id):
        return True
    advert = carrier.channel.capabilities
    return advert is not None and RELAY_TAG in advert.tags


def _refuse(core: Core, carrier: Live, now: Instant) -> None:
    """Of an invented origin our diagnostics say something, the first time and then ever more rarely."""
    carrier.channel.misnamed += 1
    if is_power_of_two(carrier.channel.misnamed):
        core.diag(
            now,
            "warn",
            "auth",
            f"refused a frame that {short_id(carrier.device_id)} says to be another device's: it is no relay",
            {"peer": carrier.device_id, "count": carrier.channel.misnamed},
        )


def hops_to(core: Core, dest: str) -> tuple[Hop, ...]:
    """The links to try for a peer that no link of ours leads to."""
    return _links(core, core.shape.next_hops(core.me, dest, _passable(core.live_peers())))


def addressed(core: Core, dest: str, frame: Channel) -> bytes:
    """A frame of ours in an envelope; an empty `dest` is everybody. Raises `FrameTooLarge`.

    A copy that comes back is known.
    """
    frame_id = int.from_bytes(core.rng.randbytes(8), "little") | 1
    core.routes.is_first(core.me, frame_id)
    routed = Routed(dest, core.me, frame.channel, frame.payload, core.shape.flood_ttl, frame_id)
    return encode_frame(wrapped(routed))


def _pass_on(core: Core, carrier: Live, origin: str, routed: Routed, now: Instant) -> None:
    live = core.live_peers()
    connected = [peer.device_id for peer in live]
    if not routed.dst:
        hops = [peer for peer in connected if peer not in (carrier.device_id, origin)]
    elif routed.dst in connected:
        hops = [routed.dst]
    else:
        next_hops = core.shape.next_hops(core.me, routed.dst, _passable(live))
        hops = [peer for peer in next_hops if peer != carrier.device_id]
    if not hops:
        return
    ttl = min(routed.ttl, core.shape.flood_ttl) - 1
    try:
        data = encode_frame(wrapped(Routed(routed.dst, origin, routed.channel, routed.body, ttl, routed.id)))
    except FrameTooLarge:
        return  # it came without the name of its origin, and with it there is no room
    copies = 1 if routed.dst else len(hops)
    if core.routes.may_carry(carrier.device_id, max(len(data), FORWARD_LEAST_BYTES) * copies, now.mono):
        core.out.append(Forward(_links(core, hops), data, to_all=not routed.dst))


def _passable(live: Sequence[Live]) -> list[str]:
    """Peers that a frame may be given to on its way to another: those whose path is up, as long as there are any, for
    what is given to the others leaves when they are back, and nobody tries another way meanwhile."""
    return [peer.device_id for peer in live if not peer.transport.carrier.is_down] or [peer.device_id for peer in live]


def _links(core: Core, hops: list[str]) -> tuple[Hop, ...]:
    return tuple((hop, core.peers[hop].epoch) for hop in hops)
