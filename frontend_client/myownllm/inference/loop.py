"""A model that calls functions: ask, do what it wants, tell it the result, ask again (spec 08 FE-9.19)."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Final, Protocol

import attrs

from mesh_common.values import Value
from myownllm.errors import AppError
from myownllm.runtimes.chat import Delta, ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from myownllm.coerce import JsonObject
    from myownllm.inference.gate import Prompt, Question
    from myownllm.runtimes.chat import ChatRequest, Piece

ROUNDS_MAX: Final = 8
RESULT_MAX_CHARS: Final = 64 * 2**10
"""What a model reads of one result; the rest is cut off, and it is told so."""
REFUSED_TEXT: Final = "refused: the user does not allow this"


class TooManyRoundsError(AppError):
    """The model does not come to an end."""

    def __init__(self) -> None:
        super().__init__(f"the model called functions in {ROUNDS_MAX} rounds and gave no answer; it was stopped")


class Function(Protocol):
    """What a model may call."""

    @property
    def definition(self) -> JsonObject:
        """Its entry in `tools`."""
        ...

    def literal(self, arguments: JsonObject) -> str:
        """What a person is asked about. Raises ValueError for arguments that make no sense."""
        ...

    async def run(self, arguments: JsonObject) -> str:
        """Do it; the text is what the model reads. Raises ValueError, OSError."""
        ...


class Asks(Protocol):
    """Puts a request to the same host each time."""

    def __call__(self, request: ChatRequest) -> AsyncGenerator[list[Piece], None]: ...


class Permits(Protocol):
    """The gate, for one conversation."""

    async def __call__(self, function: str, literal: str) -> Question: ...


class Wants(Value, frozen=True):
    """A person has to say whether a function may be used; the answer goes to the gate."""

    prompt: Prompt


class Ran(Value, frozen=True):
    """A function was called: what came of it."""

    name: str
    literal: str
    result: str


async def converse(
    ask: Asks,
    request: ChatRequest,
    functions: dict[str, Function],
    permits: Permits,
) -> AsyncGenerator[Piece | Wants | Ran, None]:
    """The pieces of the answer and, between them, what was done for it. Functions run here, never at the host.

    Without functions this is one question and one answer. Raises what `ask` raises, and
    TooManyRoundsError.
    """
    offered = tuple(f.definition for f in functions.values())
    request = attrs.evolve(request, tools=(*request.tools, *offered))
    for _ in range(ROUNDS_MAX):
        calls: list[ToolCall] = []
        said = ""
        async with aclosing(ask(request)) as answer:
            async for pieces in answer:
                for piece in pieces:
                    if isinstance(piece, ToolCall):
                        calls.append(piece)
                    elif isinstance(piece, Delta):
                        said += piece.text
                    yield piece
        if not functions or not calls:
            return
        results: list[str] = []
        for call in calls:
            async with aclosing(_use(call, functions, permits)) as steps:
                async for step in steps:
                    yield step
                    if isinstance(step, Ran):
                        results.append(step.result)
        request = attrs.evolve(request, messages=(*request.messages, *_turn(said, calls, results)))
    raise TooManyRoundsError


async def _use(call: ToolCall, functions: dict[str, Function], permits: Permits) -> AsyncGenerator[Wants | Ran, None]:
    """Every way in which this can fail is a result that the model reads."""
    function = functions.get(call.name)
    if function is None:
        yield Ran(call.name, "", f"error: there is no function '{call.name[:100]}'")
        return
    if not isinstance(call.arguments, dict):
        yield Ran(call.name, "", "error: the arguments are no JSON object")
        return
    literal = ""
    try:
        literal = function.literal(call.arguments)
        with await permits(call.name, literal) as question:
            if question.prompt is not None:
                yield Wants(question.prompt)
            allowed = await question.allowed()
        result = await function.run(call.arguments) if allowed else REFUSED_TEXT
    except (ValueError, OSError) as error:
        result = f"error: {error}"
    cut = result if len(result) <= RESULT_MAX_CHARS else f"{result[:RESULT_MAX_CHARS]}\n… (cut off)"
    yield Ran(call.name, literal, cut)


def _turn(said: str, calls: Sequence[ToolCall], results: Sequence[str]) -> list[JsonObject]:
    """What the model said and did, and what came of it, as messages of the next request."""
    ids = [call.id or f"call_{i}" for i, call in enumerate(calls, 1)]
    wanted = [
        {"id": i, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for i, c in zip(ids, calls, strict=True)
    ]
    told = [
        {"role": "tool", "tool_call_id": i, "name": c.name, "content": r}
        for i, c, r in zip(ids, calls, results, strict=True)
    ]
    return [{"role": "assistant", "content": said, "tool_calls": wanted}, *told]
