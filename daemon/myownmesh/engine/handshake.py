"""Proof of identity over an open channel: hello, auth_response, deny (spec 01 §7).

Both sides run the same program, and no order of the frames is assumed. A peer is checked against the certificate
that it presented in DTLS; where that is not known the link is dropped, never trusted (spec 01 §3.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import approval, lifecycle
from myownmesh.engine.diagnostics import short_id
from myownmesh.engine.events import PeerAuthenticated
from myownmesh.engine.timers import LinkTimer
from myownmesh.engine.timing import HANDSHAKE_TIMEOUT_S, HELLO_RETRIES_S
from myownmesh.identity.handshake import sign_handshake, verify_handshake
from myownmesh.protocol.capabilities import NO_CAPABILITIES
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import PROTOCOL, Approve, AuthResponse, Hello
from myownmesh.protocol.ids import pubkey_part, random_code, random_nonce
from myownmesh.protocol.labels import clean_label
from myownmesh.protocol.views import PeerStatus

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.links import ChannelOpened
    from myownmesh.engine.peer import Peer
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.frames import Deny


def start(core: Core, peer: Peer, opened: ChannelOpened, now: Instant) -> None:
    """The channel is open: say hello, and keep saying it until the peer has proved itself or 30 s are over."""
    peer.channel_open = True
    core.intents.clear(peer.device_id)
    for timer in (LinkTimer.CHANNEL_OPEN, LinkTimer.REOFFER):
        core.timers.cancel(timer, peer.device_id)
    core.diag(now, "debug", "transport", "channel open", {"peer": peer.device_id, "state": "open"})
    if opened.local_binding is None or opened.remote_binding is None:
        _fail(core, peer, "the certificate of the channel is unknown or not the one that its SDP names", now)
        return
    shake = peer.handshake
    shake.local_binding, shake.remote_binding = opened.local_binding, opened.remote_binding
    shake.nonce_sent, shake.code_sent = random_nonce(core.rng), random_code(core.rng)
    shake.advert_sent = core.capabilities
    shake.hello = encode_frame(
        Hello(
            protocol=PROTOCOL,
            device_id=core.me,
            label=clean_label(core.label),
            nonce=shake.nonce_sent,
            verification_code=shake.code_sent,
            capabilities=core.capabilities,
            features=core.config.features,
            app_version=core.config.app_version,
        )
    )
    core.set_status(peer, PeerStatus.HANDSHAKING)
    core.send_encoded(peer, Hello.KIND, shake.hello)
    core.timers.set(LinkTimer.HELLO, peer.device_id, now.mono + HELLO_RETRIES_S[0])
    core.timers.set(LinkTimer.HANDSHAKE, peer.device_id, now.mono + HANDSHAKE_TIMEOUT_S)


def repeat_hello(core: Core, peer: Peer, now: Instant) -> None:
    """The same hello again, same nonce and code."""
    shake = peer.handshake
    if peer.authenticated or shake.hello is None:
        return
    core.send_encoded(peer, Hello.KIND, shake.hello)
    shake.hello_retries += 1
    if shake.hello_retries < len(HELLO_RETRIES_S):
        core.timers.set(LinkTimer.HELLO, peer.device_id, now.mono + HELLO_RETRIES_S[shake.hello_retries])


def time_out(core: Core, peer: Peer, now: Instant) -> None:
    """The peer did not prove itself in time."""
    core.diag(now, "warn", "handshake", f"{short_id(peer.device_id)} did not authenticate", {"peer": peer.device_id})
    lifecycle.drop(core, peer.device_id, lifecycle.HEARTBEAT_TIMEOUT, now)


def receive_hello(core: Core, peer: Peer, hello: Hello, now: Instant) -> None:
    """Answer with our proof, by the table of spec 01 §7.4."""
    if pubkey_part(hello.device_id) != peer.device_id:
        _fail(core, peer, "its hello names another device", now)
        return
    shake = peer.handshake
    if hello.nonce != shake.nonce_received:
        if shake.nonce_received is not None and peer.authenticated:
            return  # no node changes its nonce within a connection; an answer would only throw it back
        shake.nonce_received = hello.nonce
        shake.code_received = clean_label(hello.verification_code)
        peer.label = clean_label(hello.label)
        peer.features = frozenset(hello.features)
        if hello.capabilities is not None:
            peer.capabilities = hello.capabilities
        if peer.is_live:
            approval.remember(core, peer, now)
    if shake.local_binding is None:
        _fail(core, peer, "our own certificate is unknown", now)
        return
    signature = sign_handshake(core.identity, hello.nonce, peer.device_id, shake.local_binding)
    core.send(peer, AuthResponse(signature=signature), now)
    if peer.local_approve_sent:
        # A second proof throws an active v0.3.8 peer back to pending; approve behind it restores it.
        core.send(peer, Approve(), now)
    _tell_proof(core, peer)


def receive_proof(core: Core, peer: Peer, proof: AuthResponse, now: Instant) -> None:
    """Check the signature against the certificate of this channel, then ask who lets the peer in."""
    shake = peer.handshake
    if shake.nonce_sent is None or shake.remote_binding is None:
        return
    if not verify_handshake(shake.nonce_sent, peer.device_id, core.me, shake.remote_binding, proof.signature):
        _fail(core, peer, "its proof does not verify", now)
        return
    if peer.authenticated:
        return
    peer.authenticated = True
    core.memories.of(peer.device_id).proved()
    core.timers.cancel(LinkTimer.HELLO, peer.device_id)
    core.timers.cancel(LinkTimer.HANDSHAKE, peer.device_id)
    core.diag(now, "info", "auth", f"{short_id(peer.device_id)} proved its identity", {"peer": peer.device_id})
    approval.begin_waiting(core, peer, now)
    _tell_proof(core, peer)
    approval.consider(core, peer, now)


def receive_deny(core: Core, peer: Peer, deny: Deny, now: Instant) -> None:
    """The peer wants no link. Before it has proved itself that is hearsay (spec 01 §7.8)."""
    core.diag(
        now,
        "warn",
        "auth",
        f"{short_id(peer.device_id)} refuses the link",
        {"peer": peer.device_id, "reason": None if deny.reason is None else clean_label(deny.reason)},
    )
    if peer.authenticated:
        lifecycle.drop(core, peer.device_id, lifecycle.DENIED, now)
    else:
        lifecycle.drop_unproven(core, peer.device_id, lifecycle.DENIED, now)


def _tell_proof(core: Core, peer: Peer) -> None:
    """Emit `authenticated` once both the proof and the hello are there (spec 05 §10.3, W35)."""
    shake = peer.handshake
    if shake.proof_told or not peer.authenticated or shake.code_received is None:
        return
    shake.proof_told = True
    core.emit(
        PeerAuthenticated(
            core.network_id,
            peer.device_id,
            label=peer.label,
            verification_code=shake.code_received,
            capabilities=peer.capabilities or NO_CAPABILITIES,
            rostered=core.is_rostered(peer.device_id),
        )
    )


def _fail(core: Core, peer: Peer, why: str, now: Instant) -> None:
    core.diag(
        now, "warn", "auth", f"cannot trust {short_id(peer.device_id)}: {why}", {"peer": peer.device_id, "reason": why}
    )
    lifecycle.drop_unproven(core, peer.device_id, lifecycle.AUTH_FAILED, now)
