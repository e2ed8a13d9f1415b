"""OpenAI's answers: the classes that they are written from, and an answer under way. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs
from msgspec import UNSET, Struct, UnsetType

from myownllm.runtimes.chat import Delta, Finished, Thinking, ToolCall, Usage
from myownllm.runtimes.questions import FunctionText, arguments_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownllm.runtimes.chat import Piece


class Called(Struct, frozen=True, kw_only=True):
    """A function that the model wants called."""

    index: int | UnsetType = UNSET
    """In chunks."""
    id: str
    type: Literal["function"] = "function"
    function: FunctionText


class Said(Struct, frozen=True, kw_only=True):
    """A message, or what a chunk adds to it."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: tuple[Called, ...] | UnsetType = UNSET


class Choice(Struct, frozen=True, kw_only=True):
    """The one answer: as a whole, in chunks, or as plain text."""

    index: int = 0
    delta: Said | UnsetType = UNSET
    message: Said | UnsetType = UNSET
    text: str | UnsetType = UNSET
    logprobs: None = None
    finish_reason: str | None = None


class Counted(Struct, frozen=True):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(Struct, frozen=True):
    """An answer, or a chunk of one."""

    id: str
    object: Literal["chat.completion", "chat.completion.chunk", "text_completion"]
    created: int
    """Unix seconds."""
    model: str
    choices: tuple[Choice, ...]
    usage: Counted | UnsetType = UNSET


class ModelEntry(Struct, frozen=True):
    """An entry of `/v1/models`; what only we know stands in `myownllm`."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    myownllm: dict[str, Any]


def model_entry(name: str, owner: str, **ours: object) -> ModelEntry:
    return ModelEntry(name, "model", 0, owner, ours)


@attrs.define
class ChatAnswer:
    """One answer, in chunks or as a whole."""

    id: str
    model: str
    created: int
    calls: int = 0
    finish: str = "stop"
    usage: Usage | None = None
    text: str = ""
    thinking: str = ""
    called: list[Called] = attrs.field(factory=list)

    def first(self) -> Completion:
        return self._chunk(Said(role="assistant", content=""))

    def chunks(self, pieces: Sequence[Piece]) -> list[Completion]:
        """The chunks of these pieces."""
        made: list[Completion] = []
        for piece in pieces:
            match piece:
                case Delta(text):
                    made.append(self._chunk(Said(content=text)))
                case Thinking(text):
                    made.append(self._chunk(Said(reasoning_content=text)))
                case ToolCall():
                    made.append(self._chunk(Said(tool_calls=(self._call(piece, index=self.calls),))))
                case _:
                    self._note(piece)
        return made

    def last(self, *, usage: bool) -> list[Completion]:
        """How it ended, and what it cost if that was asked."""
        end = [self._chunk(Said(), self.finish)]
        if usage and self.usage is not None:
            end.append(self._completion("chat.completion.chunk", counted=True))
        return end

    def gather(self, pieces: Sequence[Piece]) -> None:
        """Keep pieces for `whole`."""
        for piece in pieces:
            match piece:
                case Delta(text):
                    self.text += text
                case Thinking(text):
                    self.thinking += text
                case ToolCall():
                    self.called.append(self._call(piece))
                case _:
                    self._note(piece)

    def whole(self) -> Completion:
        """The answer as `chat.completion`."""
        message = Said(
            role="assistant",
            content=self.text or (None if self.called else ""),
            reasoning_content=self.thinking or UNSET,
            tool_calls=tuple(self.called) or UNSET,
        )
        return self._completion("chat.completion", Choice(message=message, finish_reason=self.finish), counted=True)

    def whole_text(self) -> Completion:
        """The answer as `text_completion`."""
        return self._completion("text_completion", Choice(text=self.text, finish_reason=self.finish), counted=True)

    def text_chunks(self, pieces: Sequence[Piece]) -> list[Completion]:
        """Chunks of a streamed `text_completion`."""
        self.gather(pieces)
        words = [p.text for p in pieces if isinstance(p, Delta)]
        return [self._completion("text_completion", Choice(text=text)) for text in words]

    def last_text(self) -> Completion:
        return self._completion("text_completion", Choice(text="", finish_reason=self.finish))

    def _note(self, piece: Piece) -> None:
        match piece:
            case Usage():
                self.usage = piece
            case Finished(reason):
                self.finish = "tool_calls" if self.calls else reason

    def _call(self, call: ToolCall, index: int | UnsetType = UNSET) -> Called:
        number = self.calls
        self.calls += 1
        self.finish = "tool_calls"
        call_id = call.id or f"call_{self.id.rpartition('-')[2][:12]}_{number}"
        return Called(index=index, id=call_id, function=FunctionText(call.name, arguments_text(call.arguments)))

    def _chunk(self, delta: Said, finish: str | None = None) -> Completion:
        return self._completion("chat.completion.chunk", Choice(delta=delta, finish_reason=finish))

    def _completion(
        self,
        kind: Literal["chat.completion", "chat.completion.chunk", "text_completion"],
        *choices: Choice,
        counted: bool = False,
    ) -> Completion:
        usage = _counted(self.usage) if counted and self.usage is not None else UNSET
        return Completion(self.id, kind, self.created, self.model, choices, usage)


def _counted(usage: Usage) -> Counted:
    return Counted(usage.prompt, usage.completion, usage.prompt + usage.completion)
