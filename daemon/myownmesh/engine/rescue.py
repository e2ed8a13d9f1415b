"""Relay rescue: a peer was seen and nothing of it came after, so it may be our own relays that carry nothing (04 §7.6).

Replacing their connections disturbs everybody else, so it is done only where nobody else is linked, and ever more
rarely until a candidate of the peer that it was done for shows that it helped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine.actions import RedialRelays
from myownmesh.engine.diagnostics import short_id

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import Connecting
    from myownmesh.protocol.clock import Instant


def consider(core: Core, peer: Connecting, now: Instant) -> None:
    """An attempt has come to nothing: if nothing at all was heard of the peer, look to the relays."""
    transport = peer.transport
    if transport.remote_candidates or transport.remote_sdp_has_candidates:
        return
    others = len(core.live_peers())
    detail: dict[str, object] = {"peer": peer.device_id, "reason": "no_remote_candidates", "other_live_peers": others}
    name = short_id(peer.device_id)
    if others:
        core.diag(
            now, "debug", "signaling", f"nothing came from {name}; the relays serve others", {**detail, "redial": False}
        )
        return
    number = core.rescue.permit(peer.device_id, now.mono)
    if number is not None:
        core.out.append(RedialRelays())
        core.diag(
            now,
            "info",
            "signaling",
            f"nothing came from {name}; redialling the relays",
            {**detail, "redial": True, "unconfirmed_attempt": number},
        )
