"""May a model do this here? The gate before functions that change something (spec 08 §9.9).

Pure but for waiting: `Gate` holds the questions that a person has not answered yet, oldest first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

import attrs
import trio

from myownllm import policy
from myownllm.errors import AppError
from myownllm.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.coerce import JsonObject

PROMPT_S: Final = 600.0
"""A question that nobody answers for so long is answered with no (FE-9.47)."""
PROMPTS_MAX: Final = 64
"""Questions that wait at once; further ones are answered with no."""

Decision = Literal["refuse", "allow", "prompt"]
Choice = Literal["allow_once", "always_accept", "accept_all", "deny"]
CHOICES: Final[tuple[Choice, ...]] = get_args(Choice)


def decide(gate: policy.Gate, literal: str) -> Decision:
    """What a network's policy says about one use: denied, everything, exactly this, or nothing yet."""
    match gate.mode:
        case "denied":
            return "refuse"
        case "accept_all":
            return "allow"
    return "allow" if literal in gate.always_accept else "prompt"


class Policies(Protocol):
    """The active network's policy. The setters raise AppError where there is no active network."""

    async def gate(self, tool: policy.Tool) -> policy.Gate:
        """The fresh one where nothing was decided, or nothing can be."""
        ...

    async def allow(self, tool: policy.Tool, literal: str) -> None: ...
    async def set_mode(self, tool: policy.Tool, mode: policy.Mode) -> None: ...


@attrs.frozen
class Prompt:
    """A question to the person at this device."""

    id: int
    conversation: str
    tool: policy.Tool
    literal: str
    since_ms: int

    def to_json(self) -> JsonObject:
        return attrs.asdict(self)


class Question:
    """May the model use this function so? `prompt` is there when a person has to say it.

    A context manager: leaving the block takes the question back.
    """

    def __init__(self, gate: Gate, prompt: Prompt | None, allowed: bool) -> None:
        self.prompt = prompt
        self._gate, self._allowed = gate, allowed

    async def allowed(self) -> bool:
        """What the policy says, or a person; silence is a no."""
        return self._allowed if self.prompt is None else await self._gate.wait(self.prompt)

    def __enter__(self) -> Question:
        return self

    def __exit__(self, *_: object) -> None:
        if self.prompt is not None:
            self._gate.take_back(self.prompt)


class Gate:
    """Questions in the order in which they came; one is shown at a time (FE-9.46)."""

    def __init__(self, policies: Policies, now_ms: Callable[[], int], note: Callable[[str], None]) -> None:
        """`note` is told what a person should know: a choice that could not be kept."""
        self.prompts: Watch[tuple[Prompt, ...]] = Watch(())
        self._policies, self._now_ms, self._note = policies, now_ms, note
        self._choices: dict[int, Choice] = {}
        self._answered = trio.Event()
        self._last = 0

    @property
    def shown(self) -> Prompt | None:
        """The question that is to be answered now."""
        return self.prompts.value[0] if self.prompts.value else None

    async def ask(self, conversation: str, tool: str, literal: str) -> Question:
        """Functions that are not gated are allowed; of the others the policy decides, or a person."""
        if tool not in policy.TOOLS:
            return Question(self, None, allowed=True)
        decision = decide(await self._policies.gate(tool), literal)
        if decision != "prompt" or len(self.prompts.value) >= PROMPTS_MAX:
            return Question(self, None, allowed=decision == "allow")
        self._last += 1
        prompt = Prompt(self._last, conversation, tool, literal, self._now_ms())
        self.prompts.set((*self.prompts.value, prompt))
        return Question(self, prompt, allowed=False)

    def take_back(self, prompt: Prompt) -> None:
        """Nobody needs to know any more."""
        self._choices.pop(prompt.id, None)
        self.prompts.set(tuple(p for p in self.prompts.value if p.id != prompt.id))

    def answer(self, prompt_id: int, choice: Choice) -> bool:
        """A person has decided; False when the question is not open any more."""
        if prompt_id in self._choices or all(p.id != prompt_id for p in self.prompts.value):
            return False
        self._choices[prompt_id] = choice
        self.look_again()
        return True

    def look_again(self) -> None:
        """The policy has changed: questions that it answers now are no questions any more (FE-9.47)."""
        self._answered.set()
        self._answered = trio.Event()

    async def wait(self, prompt: Prompt) -> bool:
        """The answer to an open question."""
        with trio.move_on_after(PROMPT_S):
            while True:
                choice, answered = self._choices.get(prompt.id), self._answered
                if choice is not None:
                    await self._keep(prompt, choice)
                    return choice != "deny"
                decision = decide(await self._policies.gate(prompt.tool), prompt.literal)
                if decision != "prompt":
                    return decision == "allow"
                await answered.wait()
        return False

    async def _keep(self, prompt: Prompt, choice: Choice) -> None:
        try:
            match choice:
                case "always_accept":
                    await self._policies.allow(prompt.tool, prompt.literal)
                case "accept_all":
                    await self._policies.set_mode(prompt.tool, "accept_all")
                case _:
                    return
        except AppError as error:
            self._note(f"the choice for {prompt.tool} counts this once only: {error}")
        self.look_again()
