"""What the local API is a door to: models of this device and of peers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from myownllm.api.answers import ModelEntry
    from myownllm.coerce import JsonObject
    from myownllm.runtimes.chat import ChatRequest, Piece


class Backend(Protocol):
    """Every method fails at once where it fails; what it raises is in `api.failures`."""

    def models(self) -> Sequence[ModelEntry]:
        """Entries of `/v1/models`, from what is known now: nobody is asked."""
        ...

    def ask(self, model: str, request: ChatRequest) -> AsyncGenerator[list[Piece], None]:
        """The answer of `tag`, or of `tag@device` on that device; an empty `model` leaves the choice."""
        ...

    async def embeddings(self, model: str, members: JsonObject) -> JsonObject: ...

    async def preload(self, model: str) -> bool:
        """Load a model before it is needed; False where its server does that by itself."""
        ...

    def status(self) -> JsonObject: ...
