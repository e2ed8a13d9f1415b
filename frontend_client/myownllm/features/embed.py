"""`embed`: models of this device make embeddings for peers; ours, for the local API of other devices.

| name    | kind | payload                                                      | answer                              |
|---------|------|--------------------------------------------------------------|-------------------------------------|
| `embed` | call | `{model, input, dimensions?, encoding_format?, stream_id?}`  | what OpenAI's `/embeddings` answers |
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from myownllm.capabilities import BUSY_TEXT
from myownllm.client import CallRefusedError, Method
from myownllm.client.registry import INFERENCES
from myownllm.client.work import Resource
from myownllm.features.brake import Brake
from myownllm.features.releases import all_of
from myownllm.inference.embedding import EMBED_S, EMBEDDERS_MAX, FEATURE, METHOD, EmbedPayload

if TYPE_CHECKING:
    from myownllm.client import InboundCall, MeshClient
    from myownllm.client.registry import Release
    from myownllm.coerce import Json, JsonObject
    from myownllm.runtimes import Runtimes


def install(client: MeshClient, runtimes: Runtimes) -> Release:
    """Offer it while a model server is there."""

    def embedders() -> Json:
        return [m.tag for m in runtimes.state.models if not m.chats][:EMBEDDERS_MAX]

    async def embed(call: InboundCall) -> JsonObject:
        asked: EmbedPayload = call.payload
        if client.state.accepting == "busy":
            raise CallRefusedError(BUSY_TEXT)
        if runtimes.state.model(asked.model) is None:
            raise CallRefusedError(f"this device has no model '{asked.model}'")
        brake = Brake()
        with client.work.begin(_entry(call), brake.pull):
            return await brake.wait(lambda: runtimes.embeddings(asked.model, asked.members()))

    return all_of(
        client.add_source("embedders", embedders),
        client.serve(Method(METHOD, answer=embed, request=EmbedPayload, limit=INFERENCES, timeout_s=EMBED_S)),
        client.add_features(FEATURE),
    )


def _entry(call: InboundCall) -> Resource:
    return Resource(
        id=call.stream_id or secrets.token_hex(8),
        peer_id=call.peer.device_pubkey,
        peer_label=call.peer.label,
        kind="inbound_infers",
        title=call.payload.model,
        mode="embedding",
    )
