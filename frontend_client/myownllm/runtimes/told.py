"""What model servers tell, as classes. Pure.

A server is not of our making: a member of the wrong type counts as absent, and what is in lists is read one by one
(`tolerant`), so that nothing that is odd about one call or one model spoils the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import UNSET, Struct

from myownllm.coerce import tolerant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from myownllm.coerce import Json

S = TypeVar("S", bound=Struct)


class Refusal(Struct, frozen=True):
    """The body of an answer that is an error."""

    error: Any = UNSET
    message: str | None = None
    """Some servers give the reason here, or in `detail`, when they give no `error`."""
    detail: str | None = None


class Function(Struct, frozen=True):
    name: str | None = None
    arguments: Any = None
    """An object, or a text that ought to hold one."""


class Call(Struct, frozen=True):
    """A function call, or with OpenAI's servers a part of one."""

    id: str | None = None
    index: Any = 0
    """Which call it is a part of; a server that gives no number is refused, not understood."""
    function: Any = None


class OllamaMessage(Struct, frozen=True):
    thinking: str | None = None
    content: str | None = None
    tool_calls: tuple[Any, ...] | None = None


class OllamaLine(Struct, frozen=True):
    """One line of `/api/chat`."""

    error: Any = UNSET
    message: Any = UNSET
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None


class OpenAiDelta(Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[Any, ...] | None = None


class OpenAiChoice(Struct, frozen=True):
    delta: Any = None
    finish_reason: str | None = None


class OpenAiUsage(Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class OpenAiEvent(Struct, frozen=True):
    """One event of `/chat/completions`."""

    error: Any = None
    choices: tuple[Any, ...] | None = None
    usage: OpenAiUsage = OpenAiUsage()


class OllamaTag(Struct, frozen=True):
    model: str | None = None
    name: str | None = None
    digest: str | None = None


class OllamaTags(Struct, frozen=True):
    """The answer of `/api/tags`."""

    models: tuple[Any, ...] = ()


class OllamaShown(Struct, frozen=True):
    """The answer of `/api/show`."""

    model_info: dict[str, Any] = {}
    capabilities: Any = None


class OpenAiMeta(Struct, frozen=True):
    """What llama.cpp's server tells of a model beside its name."""

    n_ctx_train: int | None = None


class OpenAiModel(Struct, frozen=True):
    id: str | None = None
    meta: Any = None


class OpenAiModels(Struct, frozen=True):
    """The answer of `/models`."""

    data: tuple[Any, ...] = ()


class OllamaEmbeddings(Struct, frozen=True):
    """The answer of `/api/embed`."""

    embeddings: tuple[Any, ...] | None = None
    prompt_eval_count: int | None = None


class Spoken(Struct, frozen=True):
    """The answer of a recogniser."""

    text: str | None = None
    segments: tuple[Any, ...] = ()


class SpokenSegment(Struct, frozen=True):
    text: str = ""
    start: float | None = None
    """Seconds, as `end`."""
    end: float | None = None


def each(cls: type[S], values: tuple[Json, ...] | None, most: int | None = None) -> Iterator[S]:
    """The first `most` values of a list that a server gave, each as `cls`."""
    for value in (values or ())[:most]:
        yield tolerant(cls, value)
