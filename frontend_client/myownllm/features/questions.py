"""What commands ask of the models at the door of the app: `infer`, `models`, `pin`, `gate`, `gate_answer`.

`infer` streams items of one member each: `{from}` first, then `{delta}`, `{thinking_delta}`, `{tool_call}`, `{wants}`
(a person has to say whether a function may be used), `{ran}`, and `{finish_reason}` at the end.
"""

from __future__ import annotations

import functools
import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, cast

import attrs
import msgspec
import trio
from msgspec.structs import asdict

from myownllm.errors import DoorError
from myownllm.features.functions import FUNCTIONS
from myownllm.inference.gate import CHOICES
from myownllm.inference.loop import Ran, Wants, converse
from myownllm.inference.picks import PURPOSES, HostError
from myownllm.inference.request import InferPayload, to_chunks
from myownllm.payloads import structure
from myownllm.runtimes import RuntimeFailure
from myownllm.runtimes.chat import Finished, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from myownllm.api import ApiServer
    from myownllm.client.operations import Operations
    from myownllm.coerce import Json, JsonObject
    from myownllm.door.server import Door
    from myownllm.features.asking import Asking, Target
    from myownllm.inference.gate import Choice, Gate
    from myownllm.inference.loop import Function
    from myownllm.runtimes.chat import ChatRequest, Piece

FUNCTIONS_MAX: Final = 16


@attrs.frozen(kw_only=True)
class Question(InferPayload):
    """A request of a command: that of a peer, and who is to answer it."""

    peer: str = ""
    functions: list[str] = attrs.field(factory=list)

    @property
    def wanted(self) -> dict[str, Function]:
        """The functions of this device that the model may use. Raises DoorError for one that there is not."""
        unknown = [name for name in self.functions if name not in FUNCTIONS]
        if unknown:
            raise DoorError("validation", f"there is no function '{unknown[0]}'; there are {', '.join(FUNCTIONS)}")
        return {name: FUNCTIONS[name] for name in self.functions[:FUNCTIONS_MAX]}


class Questions:
    """Answers the operations; holds what they share."""

    def __init__(self, operations: Operations, asking: Asking, gate: Gate, api: ApiServer) -> None:
        self._operations, self._asking, self._gate, self._api = operations, asking, gate, api

    def install(self, door: Door) -> None:
        for handler in (self.infer, self.models, self.pin, self.gate, self.gate_answer):
            door.operation(handler.__name__, handler)

    async def infer(self, members: JsonObject) -> AsyncGenerator[Json, None]:
        """Ask a model of this device or of a peer. Leaving ends it wherever it runs."""
        question = structure(Question, members)
        try:
            target = await self._target(question)
            yield {"from": {"device": target.name, "model": target.hint}}
            async with aclosing(self._answer(question, target)) as steps:
                async for step in steps:
                    for item in _items(step):
                        yield item
        except HostError as error:
            raise DoorError(error.kind, str(error)) from error
        except RuntimeFailure as error:
            raise DoorError(f"model_server_{error.kind}", str(error)) from error

    async def _target(self, question: Question) -> Target:
        if question.family and not (question.model or question.peer):
            return self._asking.of_family(question.family)
        device = question.peer and (await self._operations.named(question.peer)).device_pubkey
        return self._asking.target(question.model, device)

    def _answer(self, question: Question, target: Target) -> AsyncGenerator[Piece | Wants | Ran, None]:
        conversation = secrets.token_hex(4)

        def ask(request: ChatRequest) -> AsyncGenerator[list[Piece], None]:
            return self._asking.put(request, target)

        permits = functools.partial(self._gate.ask, conversation)
        return converse(ask, question.to_chat(), question.wanted, permits)

    async def models(self, _: JsonObject) -> JsonObject:
        """Models of this device and of every peer, the model server, and where the local API is."""
        await trio.lowlevel.checkpoint()
        api = self._api.watch.value
        return {**self._asking.status(), "models": msgspec.to_builtins(self._asking.models()), "api": asdict(api)}

    async def pin(self, members: JsonObject) -> JsonObject:
        """Pin a device for a purpose, or none with `peer` null; without a purpose: tell the pins."""
        await trio.lowlevel.checkpoint()
        purpose, peer = members.get("purpose"), members.get("peer")
        if purpose is not None:
            if purpose not in PURPOSES or not isinstance(peer, str | None):
                raise DoorError("validation", f"a purpose is one of {', '.join(PURPOSES)}")
            key = None if peer is None else (await self._operations.named(peer, also_away=True)).device_pubkey
            self._asking.pins.set(purpose, key)
        return self._asking.pins.all()

    async def gate(self, _: JsonObject) -> list[JsonObject]:
        """Questions to the person at this device, oldest first."""
        await trio.lowlevel.checkpoint()
        return [prompt.to_json() for prompt in self._gate.prompts.value]

    async def gate_answer(self, members: JsonObject) -> None:
        """Answer one of them."""
        await trio.lowlevel.checkpoint()
        choice, prompt_id = members.get("choice"), members.get("id")
        if choice not in CHOICES or not isinstance(prompt_id, int):
            raise DoorError("validation", f"a choice is one of {', '.join(CHOICES)}")
        if not self._gate.answer(prompt_id, cast("Choice", choice)):
            raise DoorError("not_found", "this question is not open any more")


def _items(step: Piece | Wants | Ran) -> list[JsonObject]:
    match step:
        case Wants(prompt):
            return [{"wants": prompt.to_json()}]
        case Ran():
            return [{"ran": asdict(step)}]
        case Finished(reason):
            return [{"finish_reason": reason}]
        case Usage():
            return []
        case _:
            return to_chunks([step])
