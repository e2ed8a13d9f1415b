"""What the daemon pushes, taken in: frames change the picture, call for looks, or become work. Pure.

The table is in spec 08 §5.6; who may call what is in §9.2. Calls and messages of one device keep their order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, assert_never

from mesh_common.client import frames
from mesh_common.client.errors import ControlError
from myownllm import effects
from myownllm.client import asks, claims, messages
from myownllm.client.messages import Ask, Note
from myownllm.client.procedures import pause
from myownllm.client.registry import Claim
from myownllm.peers import CONNECTED
from myownllm.refusals import HOST_BUSY_TEXT, NOT_AUTHORIZED_TEXT
from myownllm.relays import troubled

if TYPE_CHECKING:
    from myownllm.client.life import Life
    from myownllm.client.procedures import Procedure, Procedures
    from myownllm.client.registry import Registry
    from myownllm.client.state import Picture
    from myownllm.peers import PeerEntry

    Traffic = frames.RpcInbound | frames.ChannelInbound

EARLY_FRAMES: Final = 1024
"""Kept while no life is up that could hear them; beyond that the oldest are missed."""
DOUBTED_FRAMES: Final = 256
"""Of a device that is being looked up; beyond that messages are dropped and calls refused."""
DOUBTED_DEVICES: Final = 64
REFUSALS: Final = 256
"""Under way at once; callers beyond that hear nothing, and run into their own limit."""
RECLAIM_AFTER_S: Final = 5.0
"""Seconds until a displaced client claims again (FE-5.28)."""
CONTEND_WINDOW_S: Final = 60.0


class Hearing:
    """Takes frames in for the life that is up, and keeps those of a life that is coming up."""

    def __init__(self, registry: Registry, picture: Picture, procedures: Procedures) -> None:
        self._registry = registry
        self._picture = picture
        self._procedures = procedures
        self._early: deque[frames.Frame] = deque()
        self._missed = 0

    def forget(self) -> None:
        """A new connection: what an old one said is nothing to it."""
        self._early.clear()
        self._missed = 0

    def take(self, frame: frames.Frame, life: Life | None) -> None:
        """A frame of the present connection."""
        if life is not None and life.stage == "up":
            self._hear(frame, life)
            return
        if len(self._early) == EARLY_FRAMES:
            self._early.popleft()
            self._missed += 1
        self._early.append(frame)

    def catch_up(self, life: Life) -> None:
        """The life is up: it hears what came while it was starting."""
        early, missed = list(self._early), self._missed
        self.forget()
        for frame in (frames.Lagged(missed), *early) if missed else early:
            self._hear(frame, life)

    def served(self, order: messages.Serve, refusal: str, life: Life) -> None:
        """A call of this life is over."""
        del life.serving[order.call.request_id]
        life.load.done(order.call.peer, order.method.limit)
        if refusal:
            self._refuse(life, refuse(order.call.request_id, refusal, streaming=order.method.streaming))

    def _hear(self, frame: frames.Frame, life: Life) -> None:
        if not life.wire_id:
            return  # a client that is bound to no network hears nothing
        decided = effects.frame_effects(
            frame,
            network=life.wire_id,
            diag_quiet=self._picture.quiet,
            serves=lambda name: self._registry.method(name) is not None,
            listens=lambda name: bool(self._registry.listeners(name)),
        )
        for effect in decided:
            self._perform(effect, life)

    def _perform(self, effect: effects.Effect, life: Life) -> None:
        match effect:
            case effects.RefreshPeers():
                life.peers_dirty = True
            case effects.PeerDropped(peer, grace_s):
                if self._picture.state.peer(peer) is not None:
                    life.grace_s[peer] = grace_s
            case effects.Resync():
                life.peers_dirty = life.resync = True
            case effects.CheckJoined():
                life.recheck = True
            case effects.SetPhase("peer-active") if not self._picture.state.connected_peers:
                life.peers_dirty = life.resync = True  # the headline counts peers, so it waits for them
            case effects.SetPhase(phase):
                self._picture.update(phase=phase)
                # A new phase is most likely news that came over a relay: one that was not up then is looked at again.
                state = self._picture.state
                life.recheck = life.recheck or state.status != "online" or bool(troubled(state.relays))
            case effects.AddDiag(level, message, ts):
                self._procedures.out.append(Note(level, message, ts))
            case effects.NoteIceFailure(at_ms, needs_turn):
                self._picture.show_ice_failure(at_ms, needs_turn=needs_turn)
            case effects.RefuseCall(request_id, error, streaming):
                self._refuse(life, refuse(request_id, error, streaming=streaming))
            case effects.ServeCall(frame) | effects.DeliverChannel(frame):
                self._enter(frame, life)
            case effects.DeliverStream(piece):
                self._procedures.out.append(messages.PassStream(life.number, piece))
            case effects.Reclaim(method_name):
                self._procedures.begin(self._reclaim(method_name, life), life.number)
            case _:
                assert_never(effect)

    # ── calls and messages (FE-9.2) ───────────────────────────────────────────────────────────────────────────────────

    def _enter(self, frame: Traffic, life: Life) -> None:
        """From an approved peer at once; from another one behind a look at the list, and what came before it."""
        waiting = life.doubted.get(frame.peer)
        if waiting is None:
            peer = self._approved(frame.peer)
            if peer is not None or len(life.doubted) == DOUBTED_DEVICES:
                self._pass(frame, peer, life)
                return
            life.doubted[frame.peer] = deque([frame])
            self._procedures.begin(self._look_up(frame.peer, life), life.number)
        elif len(waiting) < DOUBTED_FRAMES:
            waiting.append(frame)
        else:
            life.doubted_lost += isinstance(frame, frames.ChannelInbound)
            self._pass(frame, None, life)

    def _approved(self, pubkey: str) -> PeerEntry | None:
        peer = self._picture.state.peer(pubkey)
        return peer if peer is not None and peer.authorized and peer.status in CONNECTED else None

    def _look_up(self, pubkey: str, life: Life) -> Procedure[None]:
        """The list is read once more before a stranger is refused."""
        refusal = NOT_AUTHORIZED_TEXT
        try:
            yield from asks.show_peers(life, self._picture)
        except ControlError as error:
            refusal = error.text
        peer = self._approved(pubkey)
        for frame in life.doubted.pop(pubkey):
            self._pass(frame, peer, life, refusal)
        lost, life.doubted_lost = life.doubted_lost, 0
        if lost and peer is not None:
            yield Note("warn", f"{lost} messages of {pubkey[:8]} came before it was looked up and are dropped")

    def _pass(self, frame: Traffic, peer: PeerEntry | None, life: Life, refusal: str = NOT_AUTHORIZED_TEXT) -> None:
        match frame:
            case frames.RpcInbound():
                self._admit(frame, peer, life, refusal)
            case frames.ChannelInbound(_, _, channel, payload, size) if peer is not None:
                self._procedures.out.append(messages.Deliver(life.number, peer, channel, payload, size))
            case _:
                pass  # a message of a stranger

    def _admit(self, call: frames.RpcInbound, peer: PeerEntry | None, life: Life, refusal: str) -> None:
        """May this call be answered at all? `Served` follows each `Serve`."""
        method = self._registry.method(call.method)
        if method is None:  # released while its caller was looked up
            steps = refuse(call.request_id, effects.no_handler(call.method), streaming=call.streaming)
        elif peer is None:
            steps = refuse(call.request_id, refusal, streaming=method.streaming)
        elif method.streaming and not call.streaming:  # without a word the caller would read "network down"
            text = f"'{method.name}' answers in pieces; call it as a stream"
            steps = refuse(call.request_id, text, end_only=True)
        elif call.request_id in life.serving:
            return  # a daemon that says it twice
        elif not life.load.admit(call.peer, method.limit):
            steps = refuse(call.request_id, HOST_BUSY_TEXT, streaming=method.streaming)
        else:
            order = life.serving[call.request_id] = messages.Serve(life.number, call, peer, method)
            self._procedures.out.append(order)
            return
        self._refuse(life, steps)

    def _refuse(self, life: Life, steps: Procedure[None]) -> None:
        """Tell a caller no, unless so many are being told already that this one is part of a flood."""
        if life.refusing == REFUSALS:
            return

        def run() -> Procedure[None]:
            try:
                yield from steps
            finally:
                life.refusing -= 1

        life.refusing += 1
        self._procedures.begin(run(), life.number)

    def _reclaim(self, method_name: str, life: Life) -> Procedure[None]:
        """Take a method back once; a second loss within a minute means another app wants it (FE-5.28)."""
        now = self._procedures.now
        before = life.displaced_at.get(method_name)
        life.displaced_at[method_name] = now
        if life.link is None:
            return
        if before is not None and now - before < CONTEND_WINDOW_S:
            yield Note("warn", f"'{method_name}' is served by another app on this daemon")
            return
        yield pause(RECLAIM_AFTER_S)
        method = self._registry.method(method_name)
        if method is None:
            return
        try:
            yield claims.ask_for(Claim("method", method.name, method.streaming), life)
        except ControlError as error:
            yield Note("warn", f"{method_name} handler install failed: {error.text}")


def refuse(request_id: str, text: str, *, streaming: bool = False, end_only: bool = False) -> Procedure[None]:
    """Answer a call that nobody serves. Of a stream the error goes before the end, whose own the reference drops."""
    try:
        if not streaming and not end_only:
            yield Ask("rpc_respond", {"request_id": request_id, "error": text})
            return
        if not end_only:
            yield Ask("rpc_stream_chunk", {"request_id": request_id, "payload": {"error": text}})
        yield Ask("rpc_stream_end", {"request_id": request_id, "error": text})
    except ControlError:
        return  # the caller is gone, or the daemon is
