"""`infer`: models of this device answer peers (spec 08 §9.4, the host's side).

| name    | kind   | payload                                                      |
|---------|--------|--------------------------------------------------------------|
| `infer` | stream | `{messages, family, mode, think?, tools?, model?, options?}` |

Its chunks are `{delta}`, `{thinking_delta}`, `{tool_call}` and `{finish_reason}`. Function calls are handed on,
never carried out here.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from myownllm.client import CallRefusedError, Method
from myownllm.client.registry import INFERENCES
from myownllm.client.work import Resource
from myownllm.features.brake import ENDED_TEXT
from myownllm.features.releases import all_of
from myownllm.inference import picks
from myownllm.inference.request import InferPayload, to_chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from myownllm.client import InboundCall, MeshClient
    from myownllm.client.registry import Release
    from myownllm.coerce import Json, JsonObject
    from myownllm.runtimes import Runtimes

FEATURE_IDS: Final = ("infer_request", "infer_tools_v1", picks.MODEL_FEATURE)


def install(client: MeshClient, runtimes: Runtimes) -> Release:
    """Offer the models and answer with them."""

    def llms() -> Json:
        return [model.to_llm() for model in runtimes.state.chat_models]

    async def infer(call: InboundCall) -> AsyncIterator[JsonObject]:
        asked: InferPayload = call.payload
        told = client.state.published
        models = None if told is None else told.llms
        admission = picks.admit(client.state.accepting, models, asked.family, asked.mode, asked.model)
        if admission.refusal:
            raise CallRefusedError(admission.refusal)
        said_something = False
        async with runtimes.chat(admission.model, asked.to_chat()) as answer:
            with client.work.begin(_entry(call, admission.model), lambda: answer.stop(ENDED_TEXT)):
                async for some in answer:
                    for chunk in to_chunks(some):
                        said_something = True
                        yield chunk
        if not said_something:
            yield {"delta": ""}  # an answer without a word is one; without a frame it would look like none

    return all_of(
        client.add_source("llms", llms),
        client.serve(Method("infer", stream=infer, request=InferPayload, limit=INFERENCES, cumulates=True)),
        client.add_features(*FEATURE_IDS),
        runtimes.on_models(client.capabilities_changed),
    )


def _entry(call: InboundCall, model: str) -> Resource:
    entry_id = call.stream_id or secrets.token_hex(8)
    peer, asked = call.peer, call.payload
    return Resource(
        id=entry_id,
        peer_id=peer.device_pubkey,
        peer_label=peer.label,
        kind="inbound_infers",
        title=model,
        family=asked.family,
        mode=asked.mode,
    )
