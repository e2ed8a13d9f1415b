"""Questions of this device: to its own models, or to a peer's over `infer` (spec 08 §9.4, the caller's side).

Commands and the local API go through here. A device that cannot be asked is an error at once that names it; nothing is
run here in its place (FE-9.18).
"""

from __future__ import annotations

import secrets
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs

from mesh_common.values import Value
from myownllm.api.answers import model_entry
from myownllm.capabilities import LanguageModel, supports
from myownllm.client.work import Resource
from myownllm.coerce import as_object
from myownllm.features.brake import Brake
from myownllm.inference import embedding, names, picks
from myownllm.inference.request import read_chunk, to_payload
from myownllm.refusals import NO_MODEL_TEXT
from myownllm.runtimes import RuntimeFailure
from myownllm.runtimes.chat import Finished, ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from myownllm.api.answers import ModelEntry
    from myownllm.client import MeshClient, Operations
    from myownllm.coerce import JsonObject
    from myownllm.inference.pins import Pins
    from myownllm.peers import PeerEntry
    from myownllm.runtimes import Runtimes
    from myownllm.runtimes.chat import ChatRequest, Piece

FIRST_S: Final = 180.0
IDLE_S: Final = 60.0
TOOLS_FEATURE: Final = "infer_tools_v1"


class Target(Value, frozen=True):
    """Who answers: this device, or a peer; `tag` may be empty, then the host chooses by `family` and `mode`."""

    tag: str = ""
    host: PeerEntry | None = None
    family: str = ""
    mode: str = ""

    @property
    def name(self) -> str:
        return "this device" if self.host is None else self.host.label

    @property
    def hint(self) -> str:
        """The model that answers, as far as is known: a host that has the choice chooses the same way (FE-9.18)."""
        if self.tag or self.host is None:
            return self.tag
        return picks.pick_model(self.host.capabilities.llms, self.family, self.mode)


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
            raise RuntimeFailure("down", f"{state.reason}{self._others()}")
        return Target(picks.pick_model(state.chat_models, "", "text"))

    def of_family(self, family: str) -> Target:
        """Who answers where any device with a model of that family may: this one, else the best of the others.

        Raises HostError where none can be asked now.
        """
        here = [m for m in self._runtimes.state.chat_models if m.family == family]
        if here:
            return Target(picks.pick_model(here, family, "text"))
        found = picks.of_family(self._devices(), family)
        if found is None:
            raise picks.HostError(
                "no_model",
                f"no device that answers now has a model of the family '{family[:200]}'; `myownllm models` lists all",
            )
        host, tag = found
        return self._there(tag, host.device_pubkey)

    def _others(self) -> str:
        """Who else could be asked, behind the reason why this device cannot."""
        able = picks.eligible(self._client.state.peers)
        if not able:
            return ""
        named = ", ".join(names.device_names(self._devices())[p.device_pubkey] for p in able[:4])
        return f"; a device with a model is {named}: `--peer` asks it once, `myownllm pin text` always"

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
            raise picks.HostError("no_model", NO_MODEL_TEXT)
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
                while (chunk := await brake.wait(lambda: anext(chunks, None))) is not None:
                    piece = read_chunk(chunk)
                    if isinstance(piece, Finished):
                        finish = piece
                    elif piece is not None:
                        if isinstance(piece, ToolCall):
                            finish = Finished("tool_calls")
                        yield [piece]
        yield [finish]

    async def embeddings(self, model: str, members: JsonObject) -> JsonObject:
        """Of `tag` here, or of `tag@device` there, in OpenAI's shape."""
        tag, device = names.split_model(model)
        if not device or self._runtimes.state.model(model) is not None:
            return await self._runtimes.embeddings(self._local(model, "embeddings"), members)
        host = self._embedder(tag, device)
        stream_id = secrets.token_hex(8)
        brake = Brake()
        entry = Resource(
            id=stream_id,
            peer_id=host.device_pubkey,
            peer_label=host.label,
            kind="outbound_infers",
            title=tag,
            mode="embedding",
        )
        call = partial(
            self._operations.call,
            host.device_pubkey,
            embedding.METHOD,
            {**members, "model": tag, "stream_id": stream_id},
            timeout_s=embedding.EMBED_S + 5,
        )
        with self._client.work.begin(entry, brake.pull):
            answer = await brake.wait(call)
        if not embedding.is_answer(answer):
            raise picks.HostError("device_failed", f"what {host.label} answered holds no embeddings")
        return as_object(answer)

    def _embedder(self, tag: str, device: str) -> PeerEntry:
        """The device, if it makes embeddings with that model. Raises HostError."""
        host = names.find_device(device, self._devices())
        picks.usable(host, device, need="any")
        assert host is not None
        if not supports(host.capabilities, embedding.FEATURE):
            raise picks.HostError("no_model", f"the app on {host.label} is too old to make embeddings for others")
        if tag not in _tags(host):
            raise picks.HostError("no_model", f"{host.label} has no model '{tag[:200]}'")
        return host

    async def preload(self, model: str) -> bool:
        return await self._runtimes.preload(self._local(model, "loading a model"))

    def _local(self, model: str, what: str) -> str:
        target = self.target(model)
        if target.host is not None or not target.tag:
            raise picks.HostError("model_not_found", f"{what} needs a model of this device")
        return target.tag

    # ── what is there ─────────────────────────────────────────────────────────────────────────────────────────────────

    def models(self) -> list[ModelEntry]:
        """Entries of `/v1/models`: ours, then those of each peer as `tag@device`, whatever its state is."""
        ours = [
            model_entry(m.tag, "this device", family=m.family, mode=m.mode, context_length=m.context_length)
            for m in self._runtimes.state.models
        ]
        devices = self._devices()
        called = names.device_names(devices)
        for peer in devices:
            state = peer.status if peer.status != "active" else str(peer.capabilities.accepting)
            name = called[peer.device_pubkey]
            for llm in (*peer.capabilities.llms, *(LanguageModel(tag, mode="embedding") for tag in _embedders(peer))):
                if llm.tag:
                    facts = {"family": llm.family, "mode": llm.mode, "context_length": llm.context_length}
                    entry = model_entry(f"{llm.tag}@{name}", name, device=peer.device_pubkey, state=state, **facts)
                    ours.append(entry)
        return ours

    def status(self) -> JsonObject:
        """What `/v1/myownllm/status` tells; `hosts` are those who can be asked now, best first."""
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
            "hosts": [_hints(peer) for peer in picks.eligible(mesh.peers)],
        }


def _hints(peer: PeerEntry) -> JsonObject:
    """Who could be pinned, and what would answer there (FE-9.18)."""
    blob = peer.capabilities
    model = picks.pick_model(blob.llms, "", "text")
    asr = blob.asr[:1] if picks.can_serve_transcribe(blob) else ()
    recogniser = "".join(f"{a.backend}-{a.tier}" for a in asr)
    return {"device": peer.device_pubkey, "label": peer.label, "model": model, "recogniser": recogniser}


def _embedders(peer: PeerEntry) -> tuple[str, ...]:
    """Its models for embeddings alone."""
    return peer.capabilities.embedders[: embedding.EMBEDDERS_MAX]


def _tags(peer: PeerEntry) -> list[str]:
    return [*(m.tag for m in peer.capabilities.llms), *_embedders(peer)]
