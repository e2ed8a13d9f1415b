"""What the daemon pushes, taken in: frames change the picture, call for looks, or become work. Pure.

The table is in spec 08 §5.6; who may call what is in §9.2.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, assert_never

from mesh_common.client import frames
from mesh_common.client.errors import ControlError, ErrorKind
from myownllm import effects
from myownllm.client import asks, messages
from myownllm.client.messages import Ask, Note
from myownllm.client.procedures import pause
from myownllm.peers import CONNECTED

if TYPE_CHECKING:
    from myownllm.client.features import FeatureSet
    from myownllm.client.life import Life
    from myownllm.client.procedures import Procedure, Procedures
    from myownllm.client.state import Picture
    from myownllm.peers import PeerEntry

EARLY_FRAMES: Final = 1024
"""Kept while no life is up that could hear them; beyond that the oldest are missed."""
RECLAIM_AFTER_S: Final = 5.0
"""Seconds until a displaced client claims again (FE-5.28)."""
CONTEND_WINDOW_S: Final = 60.0


class Hearing:
    """Takes frames in for the life that is up, and keeps those of a life that is coming up."""

    def __init__(self, features: FeatureSet, picture: Picture, procedures: Procedures) -> None:
        self._features = features
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
        life.load.done(order.call.peer)
        method = self._features.method(order.call.method)
        if refusal and method is not None:
            steps = refuse(order.call.request_id, refusal, streaming=method.streaming)
            self._procedures.begin(steps, life.number)

    def _hear(self, frame: frames.Frame, life: Life) -> None:
        if not life.wire_id:
            return  # a client that is bound to no network hears nothing
        decided = effects.frame_effects(
            frame,
            network=life.wire_id,
            diag_quiet=self._picture.quiet,
            serves=lambda name: self._features.method(name) is not None,
            listens=lambda name: self._features.channel(name) is not None,
        )
        for effect in decided:
            self._perform(effect, life)

    def _perform(self, effect: effects.Effect, life: Life) -> None:
        match effect:
            case effects.RefreshPeers():
                life.peers_dirty = True
            case effects.Resync():
                life.peers_dirty = life.resync = True
            case effects.CheckJoined():
                life.recheck = True
            case effects.SetPhase("peer-active") if not self._picture.state.connected_peers:
                life.peers_dirty = life.resync = True  # the headline counts peers, so it waits for them
            case effects.SetPhase(phase):
                self._picture.update(phase=phase)
                life.recheck = life.recheck or self._picture.state.status != "online"
            case effects.AddDiag(level, message, ts):
                self._procedures.out.append(Note(level, message, ts))
            case effects.NoteIceFailure(at_ms, needs_turn):
                self._picture.show_ice_failure(at_ms, needs_turn=needs_turn)
            case effects.RefuseCall(request_id, error, streaming):
                self._procedures.begin(refuse(request_id, error, streaming=streaming), life.number)
            case effects.ServeCall(call):
                self._procedures.begin(self._admit(call, life), life.number)
            case effects.DeliverChannel(message):
                self._procedures.begin(self._deliver(message, life), life.number)
            case effects.DeliverStream(piece):
                self._procedures.out.append(messages.PassStream(life.number, piece))
            case effects.Reclaim(method_name):
                self._procedures.begin(self._reclaim(method_name, life), life.number)
            case _:
                assert_never(effect)

    def _approved(self, pubkey: str, life: Life) -> Procedure[PeerEntry | None]:
        """The approved peer behind a frame; the list is read once more before a stranger is refused (FE-9.2)."""
        for is_last in (False, True):
            peer = self._picture.state.peer(pubkey)
            if peer is not None and peer.authorized and peer.status in CONNECTED:
                return peer
            if not is_last:
                self._picture.show_peers((yield from asks.peers(life.wire_id)))
        return None

    def _deliver(self, message: frames.ChannelInbound, life: Life) -> Procedure[None]:
        try:
            peer = yield from self._approved(message.peer, life)
        except ControlError:
            return
        if peer is not None:
            yield messages.Deliver(peer, message.channel, message.payload)

    def _admit(self, call: frames.RpcInbound, life: Life) -> Procedure[None]:
        """May this call be answered at all? `Served` follows each `Serve`."""
        method = self._features.method(call.method)
        assert method is not None
        if not life.load.admit(call.peer):
            yield from refuse(call.request_id, "host busy", streaming=method.streaming)
            return
        refusal = "not authorized"
        try:
            peer = yield from self._approved(call.peer, life)
        except ControlError as error:
            peer = None
            refusal = "" if error.refused or error.kind is ErrorKind.CONNECTION_LOST else error.text
        if peer is not None and (call.streaming or not method.streaming):
            yield messages.Serve(life.number, call, peer)
            return
        life.load.done(call.peer)
        if peer is not None:  # without a word the caller would read "network down"
            text = f"'{method.name}' answers in pieces; call it as a stream"
            yield from refuse(call.request_id, text, end_only=True)
        elif refusal:
            yield from refuse(call.request_id, refusal, streaming=method.streaming)

    def _reclaim(self, method_name: str, life: Life) -> Procedure[None]:
        """Take a method back once; a second loss within a minute means another app wants it (FE-5.28)."""
        now = self._procedures.now
        before = life.displaced_at.get(method_name)
        life.displaced_at[method_name] = now
        method = self._features.method(method_name)
        if method is None or life.link is None:
            return
        if before is not None and now - before < CONTEND_WINDOW_S:
            yield Note("warn", f"'{method_name}' is served by another app on this daemon")
            return
        yield pause(RECLAIM_AFTER_S)
        claim = {"method": method.name, "streaming": method.streaming}
        where = {"client_id": life.link.client_id, "network": life.wire_id}
        try:
            yield Ask("rpc_register", {**where, **claim})
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
