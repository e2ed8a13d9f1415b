"""The models of a server, from the lists that each kind of server gives (spec 08 FE-9.48). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeGuard

from msgspec.structs import replace

from mesh_common.values import Value
from myownllm.coerce import strings, tolerant
from myownllm.runtimes.told import OllamaShown, OllamaTag, OllamaTags, OpenAiMeta, OpenAiModel, OpenAiModels, each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownllm.coerce import Json, JsonObject

MODELS_MAX: Final = 512
"""Models of one server; more are not listed."""
TAG_MAX_CHARS: Final = 256


class Model(Value, frozen=True):
    """A model that is present. `family` and `mode` are the labels that peers choose by."""

    tag: str
    family: str = ""
    mode: str = ""
    context_length: int | None = None
    chats: bool = True
    """False for a model that only makes embeddings"""

    def to_llm(self) -> JsonObject:
        """Its entry in the capabilities (spec 08 §9.3)."""
        entry: JsonObject = {"tag": self.tag, "family": self.family, "mode": self.mode}
        return entry if self.context_length is None else {**entry, "context_length": self.context_length}


def ollama_tags(raw: Json) -> dict[str, str]:
    """Tag to digest, from `/api/tags`; a digest that changed means another model under the same tag."""
    entries = each(OllamaTag, tolerant(OllamaTags, raw).models, MODELS_MAX)
    return {tag: str(m.digest) for m in entries if _is_tag(tag := m.model or m.name)}


def ollama_model(tag: str, shown: Json) -> Model:
    """A model with what `/api/show` tells about it."""
    facts = tolerant(OllamaShown, shown)
    length = facts.model_info.get(f"{facts.model_info.get('general.architecture')}.context_length")
    can = strings(facts.capabilities)
    return _labelled(tag, length, chats=not can or "completion" in can)


def openai_models(raw: Json) -> tuple[Model, ...]:
    """The models in an answer of `/models`."""
    entries = each(OpenAiModel, tolerant(OpenAiModels, raw).data, MODELS_MAX)
    found = [_labelled(m.id, tolerant(OpenAiMeta, m.meta).n_ctx_train, chats=True) for m in entries if _is_tag(m.id)]
    return tuple({m.tag: m for m in found}.values())


def _is_tag(value: str | None) -> TypeGuard[str]:
    return value is not None and 0 < len(value) <= TAG_MAX_CHARS and value.isprintable()


def _labelled(tag: str, context_length: Json, *, chats: bool) -> Model:
    """Labels follow from the name: `gemma4:e4b` is of the family `gemma4` and for text."""
    is_length = isinstance(context_length, int) and not isinstance(context_length, bool) and context_length > 0
    length = context_length if is_length else None
    return Model(tag, tag.rpartition("/")[2].partition(":")[0], "text", length, chats)


def relabelled(found: Sequence[Model], saved: Sequence[Model]) -> tuple[Model, ...]:
    """The models of a server with the labels that the configuration gives; those only it names come last."""
    chosen = {m.tag: m for m in saved}
    kept = [
        replace(m, **{n: getattr(s, n) or getattr(m, n) for n in ("family", "mode", "context_length")})
        if (s := chosen.get(m.tag))
        else m
        for m in found
    ]
    present = {m.tag for m in found}
    return (*kept, *(m for m in saved if m.tag not in present))
