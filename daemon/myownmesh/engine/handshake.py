"""Proof of identity over an open channel: hello, auth_response, deny (spec 01 §7).

Both sides run the same program, and no order of the frames is assumed. A peer is checked against the certificate
that it presented in DTLS; where that is not known the link is dropped, never trusted (spec 01 §3.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.events import PeerAuthenticated
from mesh_common.labels import clean_label
from myownmesh.engine import approval, beside, evictions, hearing, inviting, lifecycle
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.life import Turn
from myownmesh.engine.limits import ControlBudget
from myownmesh.engine.peer import Channel, Greeting, Handshaking, Live, Opening, Pending
from myownmesh.engine.timers import LinkTimer
from myownmesh.engine.timing import HANDSHAKE_TIMEOUT_S, HELLO_RETRIES_S
from myownmesh.engine.views import advert
from myownmesh.identity.handshake import sign_handshake
from myownmesh.protocol.capabilities import NO_CAPABILITIES
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import PROTOCOL, Approve, AuthResponse, Hello
from myownmesh.protocol.ids import pubkey_part, random_code, random_nonce

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.links import ChannelOpened
    from myownmesh.engine.peer import Connecting, Link, OpenLink
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import Deny


def start(core: Core, peer: Connecting, opened: ChannelOpened, now: Instant) -> None:
    """The channel is open: say hello, and keep saying it until the peer has proved itself or 30 s are over."""
    core.intents.clear(peer.device_id)
    for timer in (LinkTimer.CHANNEL_OPEN, LinkTimer.REOFFER, LinkTimer.CONTEST):
        core.timers.cancel(timer, peer.owner)
    core.diag(now, "debug", "transport", "channel open", {"peer": peer.device_id, "state": "open"})
    if opened.local_binding is None or opened.remote_binding is None:
        _fail(core, peer, "the certificate of the channel is unknown or not the one that its SDP names", now)
        return
    channel = Channel(
        opened.local_binding,
        opened.remote_binding,
        random_nonce(core.rng),
        random_code(core.rng),
        ControlBudget(now.mono),
    )
    hello = encode_frame(
        Hello(
            protocol=PROTOCOL,
            device_id=core.me,
            label=clean_label(core.label),
            nonce=channel.nonce,
            verification_code=channel.code,
            capabilities=core.capabilities,
            features=core.config.features,
            app_version=core.config.app_version,
        )
    )
    hello = inviting.with_ours(core, peer.device_id, channel.local_binding, hello)
    opening = Opening(hello, core.capabilities)
    core.enter(Turn.CHANNEL_OPENED, Handshaking(peer.device_id, peer.epoch, peer.transport, channel, opening), now)
    core.refresh_phase()
    core.send_encoded(peer, Hello.KIND, hello)
    core.timers.set(LinkTimer.HELLO, peer.owner, now.mono + HELLO_RETRIES_S[0])
    core.timers.set(LinkTimer.HANDSHAKE, peer.owner, now.mono + HANDSHAKE_TIMEOUT_S)


def repeat_hello(core: Core, peer: Handshaking, now: Instant) -> None:
    """The same hello again, same nonce and code."""
    core.send_encoded(peer, Hello.KIND, peer.opening.hello)
    peer.hello_retries += 1
    if peer.hello_retries < len(HELLO_RETRIES_S):
        core.timers.set(LinkTimer.HELLO, peer.owner, now.mono + HELLO_RETRIES_S[peer.hello_retries])


def time_out(core: Core, peer: Handshaking, now: Instant) -> None:
    """The peer did not prove itself in time."""
    core.diag(now, "warn", "handshake", f"{short_id(peer.device_id)} did not authenticate", {"peer": peer.device_id})
    lifecycle.drop(core, peer.device_id, Turn.UNPROVED, now)


def receive_hello(core: Core, peer: OpenLink, hello: Hello, now: Instant) -> None:
    """Answer with our proof, by the table of spec 01 §7.4."""
    if pubkey_part(hello.device_id) != peer.device_id:
        _fail(core, peer, "its hello names another device", now)
        return
    channel = peer.channel
    earlier = channel.greeting
    if earlier is None or hello.nonce != earlier.nonce:
        if earlier is not None and not isinstance(peer, Handshaking):
            return  # no node changes its nonce within a connection; an answer would only throw it back
        channel.greeting = Greeting(
            nonce=hello.nonce,
            code=clean_label(hello.verification_code),
            label=clean_label(hello.label),
            features=frozenset(hello.features),
        )
        if hello.capabilities is not None:
            channel.capabilities = hello.capabilities
        if isinstance(peer, Live):
            approval.remember(core, peer, now)
    signature = sign_handshake(core.identity, hello.nonce, peer.device_id, channel.local_binding)
    core.send(peer, AuthResponse(signature=signature), now)
    if approval.has_approved(peer):
        # A second proof throws an active v0.3.8 peer back to pending; approve behind it restores it.
        core.send(peer, Approve(), now)
    if earlier is None and not isinstance(peer, Handshaking):
        _tell_proof(core, peer)
    inviting.consider(core, peer, now)


def receive_proof(core: Core, peer: OpenLink, proof: AuthResponse, now: Instant) -> None:
    """Check the signature against the certificate of this channel, then ask who lets the peer in."""
    channel = peer.channel
    if not core.verify(channel.nonce, peer.device_id, core.me, channel.remote_binding, proof.signature):
        _fail(core, peer, "its proof does not verify", now)
        return
    if not isinstance(peer, Handshaking):
        return
    if core.is_evicted(peer.device_id):
        evictions.put_out(core, peer, now)
        return
    if core.is_successor(peer):
        lifecycle.take_over(core, peer, now)
    core.memories.of(peer.device_id).proved()
    core.timers.cancel(LinkTimer.HELLO, peer.owner)
    core.timers.cancel(LinkTimer.HANDSHAKE, peer.owner)
    core.diag(now, "info", "auth", f"{short_id(peer.device_id)} proved its identity", {"peer": peer.device_id})
    pending = Pending(peer.device_id, peer.epoch, peer.transport, channel, peer.opening)
    approval.begin_waiting(core, pending, now)
    _tell_proof(core, pending)
    approval.consider(core, pending, now)
    inviting.consider(core, pending, now)


def receive_deny(core: Core, peer: OpenLink, deny: Deny, now: Instant) -> None:
    """The peer wants no link. Before it has proved itself that is hearsay (spec 01 §7.8)."""
    core.diag(
        now,
        "warn",
        "auth",
        f"{short_id(peer.device_id)} refuses the link",
        {"peer": peer.device_id, "reason": None if deny.reason is None else clean_label(deny.reason)},
    )
    if isinstance(peer, Handshaking):
        lifecycle.drop_unproven(core, peer.device_id, Turn.DENIED, now)
    else:
        if deny.transitions or deny.member_log:
            hearing.receive_proof(core, peer.device_id, deny, now)
        lifecycle.drop(core, peer.device_id, Turn.DENIED, now)


def _tell_proof(core: Core, peer: OpenLink) -> None:
    """Emit `authenticated` as soon as both the proof and the hello are there (spec 05 §10.3, W35)."""
    greeting = peer.channel.greeting
    if greeting is None:
        return
    core.emit(
        PeerAuthenticated(
            core.network_id,
            peer.device_id,
            label=greeting.label,
            verification_code=greeting.code,
            capabilities=advert(peer.channel.capabilities or NO_CAPABILITIES),
            rostered=core.is_rostered(peer.device_id),
        )
    )


def _fail(core: Core, peer: Link, why: str, now: Instant) -> None:
    core.diag(
        now, "warn", "auth", f"cannot trust {short_id(peer.device_id)}: {why}", {"peer": peer.device_id, "reason": why}
    )
    if core.is_successor(peer):
        beside.end(core, peer.device_id)
    else:
        lifecycle.drop_unproven(core, peer.device_id, Turn.UNTRUSTED, now)
