"""Carrying out what a pushed frame means: state changes at once, work in the life's nursery (spec 08 §5.6, §9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

import trio

from myownllm import effects
from myownllm.client import features
from myownllm.errors import MeshError
from myownllm.peers import CONNECTED

if TYPE_CHECKING:
    from myownllm import wire
    from myownllm.client.client import MeshClient
    from myownllm.client.features import FeatureSet, Method
    from myownllm.client.life import Life
    from myownllm.peers import PeerEntry

RECLAIM_AFTER_S: Final = 5.0  # FE-5.28
CONTEND_WINDOW_S: Final = 60.0


class Dispatcher:
    """Called by the bridge's reader for each frame, so it never waits; what waits runs as a task of the life."""

    def __init__(self, client: MeshClient, feature_set: FeatureSet) -> None:
        self._client = client
        self._features = feature_set

    def dispatch(self, life: Life, frame: wire.Frame) -> None:
        """Do what the frame means for this life."""
        if life.scope.cancel_called or not life.wire_id:
            return  # a client that is bound to no network hears nothing
        decided = effects.frame_effects(
            frame,
            network=life.wire_id,
            diag_quiet=self._client.quiet,
            serves=lambda name: self._features.method(name) is not None,
            listens=lambda name: self._features.channel(name) is not None,
        )
        for effect in decided:
            self._perform(life, effect)

    def _perform(self, life: Life, effect: effects.Effect) -> None:
        client = self._client
        match effect:
            case effects.RefreshPeers():
                client.refresh_peers()
            case effects.Resync():
                client.refresh_peers(resync=True)
            case effects.CheckJoined():
                life.recheck.set()
            case effects.SetPhase(phase, status):
                if phase == "peer-active" and not client.state.connected_peers:
                    client.refresh_peers(resync=True)  # the headline counts peers, so it waits for them
                    return
                client.update(phase=phase, status=status)
                if status != "online":
                    life.recheck.set()
            case effects.AddDiag(level, message, ts):
                client.note(level, message, ts)
            case effects.NoteIceFailure(at_ms, needs_turn):
                self._ice_failed(life, at_ms, needs_turn=needs_turn)
            case effects.RefuseCall(request_id, error, streaming):
                self._spawn(life, self._refuse, life, request_id, error, streaming)
            case effects.ServeCall(call):
                method = self._features.method(call.method)
                if method is not None:
                    self._spawn(life, self._serve, life, call, method)
            case effects.DeliverChannel(message):
                self._spawn(life, self._deliver, life, message)
            case effects.DeliverStream(frame):
                life.streams.receive(frame, trio.current_time())
                life.wake_streams(frame.request_id)
            case effects.Reclaim(method_name):
                self._spawn(life, self._reclaim, life, method_name)
            case _:
                assert_never(effect)

    @staticmethod
    def _spawn(life: Life, task: Any, *arguments: Any) -> None:
        if life.nursery is not None:
            life.nursery.start_soon(task, *arguments)

    def _ice_failed(self, life: Life, at_ms: int, *, needs_turn: bool) -> None:
        state = self._client.state
        changes: dict[str, Any] = {"recent_ice_failure_at": at_ms}
        if needs_turn and not any(p.status == "active" for p in state.peers):
            has_turn = life.network is not None and bool(life.network.turn_servers)
            changes["phase"] = "ice-failed-turn-unreachable" if has_turn else "ice-failed-no-turn"
        self._client.update(**changes)

    async def _authorised(self, life: Life, pubkey: str) -> PeerEntry | None:
        """The approved peer behind a frame; the list is read once more before a stranger is refused (FE-9.2)."""
        for is_last in (False, True):
            peer = self._client.state.peer(pubkey)
            if peer is not None and peer.authorized and peer.status in CONNECTED:
                return peer
            if not is_last:
                self._client.apply_peers(await life.command("peers_list", network=life.wire_id))
        return None

    async def _deliver(self, life: Life, message: wire.ChannelInbound) -> None:
        handler = self._features.channel(message.channel)
        try:
            peer = await self._authorised(life, message.from_peer)
        except MeshError:
            return
        if handler is not None and peer is not None:
            handler(peer, message.channel, message.payload)

    async def _refuse(self, life: Life, request_id: str, error: str, streaming: bool) -> None:
        try:
            if streaming:
                await self._fail_stream(life, request_id, error)
            else:
                await life.command("rpc_respond", request_id=request_id, error=error)
        except MeshError:
            return  # the caller is gone, or the daemon is

    @staticmethod
    async def _fail_stream(life: Life, request_id: str, error: str) -> None:
        """An error chunk before the end: the reference discards the end's own error (FE-9.6)."""
        await life.command("rpc_stream_chunk", request_id=request_id, payload={"error": error})
        await life.command("rpc_stream_end", request_id=request_id, error=error)

    async def _serve(self, life: Life, call: wire.RpcInbound, method: Method) -> None:
        if not life.load.admit(call.from_peer):
            await self._refuse(life, call.request_id, "host busy", method.streaming)
            return
        try:
            peer = await self._authorised(life, call.from_peer)
            if peer is None:
                await self._refuse(life, call.request_id, "not authorized", method.streaming)
                return
            if method.streaming and not call.streaming:  # without a word the caller would read "network down"
                text = f"'{method.name}' answers in pieces; call it as a stream"
                await life.command("rpc_stream_end", request_id=call.request_id, error=text)
                return
            inbound = features.InboundCall(peer, call.method, call.payload)
            if method.stream is not None:
                await self._serve_stream(life, call.request_id, method, inbound)
            elif method.answer is not None:
                await self._serve_single(life, call.request_id, method, inbound)
        except MeshError as error:
            if error.kind not in ("daemon_error", "connection_lost"):
                await self._refuse(life, call.request_id, error.text, method.streaming)
        finally:
            life.load.done(call.from_peer)

    async def _serve_single(self, life: Life, request_id: str, method: Method, inbound: features.InboundCall) -> None:
        assert method.answer is not None
        try:
            with trio.fail_after(features.SINGLE_TIMEOUT_S):
                result = await method.answer(inbound)
        except features.CallRefusedError as error:
            await self._refuse(life, request_id, str(error), streaming=False)
            return
        except trio.TooSlowError:
            await self._refuse(life, request_id, f"{method.name} took too long", streaming=False)
            return
        await life.command("rpc_respond", request_id=request_id, ok=result)

    async def _serve_stream(self, life: Life, request_id: str, method: Method, inbound: features.InboundCall) -> None:
        """One task sends everything and awaits each answer, so the order holds and the end is last (FE-9.9)."""
        assert method.stream is not None
        pieces = method.stream(inbound)
        try:
            with trio.fail_after(features.STREAM_TIMEOUT_S):
                async for piece in pieces:
                    await life.command("rpc_stream_chunk", request_id=request_id, payload=piece)
        except features.CallRefusedError as error:
            await self._refuse(life, request_id, str(error), streaming=True)
            return
        except trio.TooSlowError:
            await self._refuse(life, request_id, f"{method.name} took too long", streaming=True)
            return
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]  # generators have it; plain iterators are not used
        await life.command("rpc_stream_end", request_id=request_id)

    async def _reclaim(self, life: Life, method_name: str) -> None:
        """Take a method back once; a second loss within a minute means another app wants it (FE-5.28)."""
        now = trio.current_time()
        before = life.displaced_at.get(method_name)
        life.displaced_at[method_name] = now
        method = self._features.method(method_name)
        if method is None or life.bridge is None:
            return
        if before is not None and now - before < CONTEND_WINDOW_S:
            self._client.note("warn", f"'{method_name}' is served by another app on this daemon")
            return
        await trio.sleep(RECLAIM_AFTER_S)
        try:
            await life.command(
                "rpc_register",
                client_id=life.bridge.client_id,
                network=life.wire_id,
                method=method.name,
                streaming=method.streaming,
            )
        except MeshError as error:
            self._client.note("warn", f"{method_name} handler install failed: {error.text}")
