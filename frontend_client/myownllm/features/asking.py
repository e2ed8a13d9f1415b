"""Questions of this device: to its own models, or to a peer's over `infer` (spec 08 §9.4, the caller's side).

Commands and the local API go through here. A device that cannot be asked is an error at once that names it; nothing is
run here in its place (FE-9.18).
"""

from __future__ import annotations

import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import attrs
import trio

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm.api.shapes import model_entry
from myownllm.capabilities import supports
from myownllm.client.work import Resource
from myownllm.coerce import as_object
from myownllm.inference import names, picks
from myownllm.inference.request import read_chunk, to_payload
from myownllm.runtimes import RuntimeFailure
from myownllm.runtimes.chat import Finished, ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from myownllm.client import MeshClient, Operations
    from myownllm.coerce import Json, JsonObject
    from myownllm.inference.pins import Pins
    from myownllm.peers import PeerEntry
    from myownllm.runtimes import Runtimes
    from myownllm.runtimes.chat import ChatRequest, Piece

FIRST_S: Final = 180.0
IDLE_S: Final = 60.0
TOOLS_FEATURE: Final = "infer_tools_v1"


@attrs.frozen
class Target:
    """Who answers: this device, or a peer; `tag` may be empty, then the host chooses by `family` and `mode`."""

    tag: str = ""
    host: PeerEntry | None = None
    family: str = ""
    mode: str = ""

    @property
    def name(self) -> str:
        return "this device" if self.host is None else self.host.label


class Brake:
    """Ends the wait for a peer's next piece from outside."""

    def __init__(self) -> None:
        self._pulled = False
        self._scope = trio.CancelScope()

    def pull(self) -> None:
        self._pulled = True
        self._scope.cancel()

    async def next(self, chunks: AsyncGenerator[Json, None]) -> Json:
        """The next one, None at the end. Raises ControlError STOPPED once the brake is pulled."""
        if not self._pulled:
            with trio.CancelScope() as self._scope:
                return await anext(chunks, None)
        raise ControlError(ErrorKind.STOPPED, "ended by the person at this device")


class Asking:
    """Made once per app. Everything raises HostError, RuntimeFailure, ControlError or NoNetworkError."""

    def __init__(self, client: MeshClient, operations: Operations, runtimes: Runtimes, pins: Pins) -> None:
        self.pins = pins
        self._client, self._operations, self._runtimes = client, operations, runtimes

    # ── who answers ───────────────────────────────────────────────────────────────────────────────────────────────────

    def target(self, model: str = "", device: str = "", purpose: str = "text") -> Target:
        """Who answers `tag`, `tag@device`, or anything that a named, a pinned or this device has.

        A model that is named without a device is one of this device.
        """
        if device:
            return self._there(model, device)
        state = self._runtimes.state
        if model and state.model(model) is not None:
            return Target(model)
        tag, device = names.split_model(model)
        if device:
            return self._there(tag, device)
        if model:
            if not state.up:
                raise RuntimeFailure("down", state.reason)
            raise picks.HostError(
                "model_not_found", f"this device has no model '{model[:200]}'; `myownllm models` lists all"
            )
        host = picks.route(self._client.state.peers, self.pins.get(purpose))
        if host is not None:
            return self._there("", host.device_pubkey)
        if not state.up:
            raise RuntimeFailure("down", state.reason)
        return Target(picks.pick_model((m.to_llm() for m in state.chat_models), "", "text"))

    def _there(self, tag: str, device: str) -> Target:
        found = names.find_device(device, self._devices())
        host = picks.usable(found, device)
        assert found is not None
        family, mode = picks.request_labels(host, tag)
        return Target(tag, found, family, mode)

    def _devices(self) -> list[PeerEntry]:
        """Those that a person let in: what a stranger calls itself must not change what others are called."""
        return [p for p in self._client.state.peers if p.authorized or p.local_approved]

    # ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, model: str, request: ChatRequest) -> AsyncGenerator[list[Piece], None]:
        """The answer of whoever `target` finds, as it comes; closing the generator cancels it wherever it runs."""
        return self.put(request, self.target(model))

    async def put(self, request: ChatRequest, target: Target) -> AsyncGenerator[list[Piece], None]:
        """The same of a target that is known already."""
        if target.host is not None:
            async with aclosing(self._from_peer(request, target, target.host)) as pieces:
                async for some in pieces:
                    yield some
            return
        if not target.tag:
            raise picks.HostError("no_model", picks.NO_MODEL_TEXT)
        async with self._runtimes.chat(target.tag, request) as local:
            async for some in local:
                yield some

    async def _from_peer(
        self, request: ChatRequest, target: Target, host: PeerEntry
    ) -> AsyncGenerator[list[Piece], None]:
        if request.tools and not supports(host.capabilities, TOOLS_FEATURE):
            request = attrs.evolve(request, tools=())
        stream_id = secrets.token_hex(8)
        payload = to_payload(request, family=target.family, mode=target.mode, model=target.tag)
        called = self._operations.call_stream(
            host.device_pubkey, "infer", {**payload, "stream_id": stream_id}, first_s=FIRST_S, idle_s=IDLE_S
        )
        entry = Resource(
            id=stream_id,
            peer_id=host.device_pubkey,
            peer_label=host.label,
            kind="outbound_infers",
            title=target.tag,
            family=target.family,
            mode=target.mode,
        )
        finish = Finished()
        brake = Brake()
        async with aclosing(called) as chunks:
            with self._client.work.begin(entry, brake.pull):
                while (chunk := await brake.next(chunks)) is not None:
                    piece = read_chunk(chunk)
                    if isinstance(piece, Finished):
                        finish = piece
                    elif piece is not None:
                        if isinstance(piece, ToolCall):
                            finish = Finished("tool_calls")
                        yield [piece]
        yield [finish]

    async def embeddings(self, model: str, members: JsonObject) -> JsonObject:
        """Of a model of this device: peers serve chats only."""
        return await self._runtimes.embeddings(self._local(model, "embeddings"), members)

    async def preload(self, model: str) -> bool:
        return await self._runtimes.preload(self._local(model, "loading a model"))

    def _local(self, model: str, what: str) -> str:
        target = self.target(model)
        if target.host is not None or not target.tag:
            raise picks.HostError("model_not_found", f"{what} needs a model of this device")
        return target.tag

    # ── what is there ─────────────────────────────────────────────────────────────────────────────────────────────────

    def models(self) -> list[JsonObject]:
        """Entries of `/v1/models`: ours, then those of each peer as `tag@device`, whatever its state is."""
        ours = [
            model_entry(m.tag, "this device", family=m.family, mode=m.mode, context_length=m.context_length)
            for m in self._runtimes.state.models
        ]
        devices = self._devices()
        called = names.device_names(devices)
        for peer in devices:
            state = peer.status if peer.status != "active" else str(peer.capabilities.get("accepting"))
            for entry in peer.capabilities.get("llms") or ():
                llm = as_object(entry)
                tag = llm.get("tag")
                if isinstance(tag, str) and tag:
                    facts = {k: llm.get(k) for k in ("family", "mode", "context_length")}
                    name = called[peer.device_pubkey]
                    ours.append(model_entry(f"{tag}@{name}", name, device=peer.device_pubkey, state=state, **facts))
        return ours

    def status(self) -> JsonObject:
        """What `/v1/myownllm/status` tells."""
        runtime, mesh = self._runtimes.state, self._client.state
        return {
            "runtime": {
                "kind": runtime.kind,
                "base_url": runtime.base_url,
                "up": runtime.up,
                "reason": runtime.reason,
                "models": [m.tag for m in runtime.models],
            },
            "mesh": {"status": mesh.status, "network": mesh.network, "peers": mesh.connected_peers},
            "accepting": mesh.accepting,
            "pins": self.pins.all(),
        }
