"""A machine whose programs are told by a test what to answer, and remember what they were told."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING

from mesh_common.tools import Ended
from myownmesh.caddy.tools import PATIENCE_S, CaddyError

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = Ended | Exception | Callable[[], Ended]


class Box:
    """`answers`: patterns of whole commands, the last that fits counts; what fits none ends well and says nothing."""

    def __init__(self, *programs: str, **answers: Answer) -> None:
        self.programs = set(programs)
        self.answers: dict[str, Answer] = answers
        self.commands: list[str] = []
        self.limits: dict[str, float] = {}

    def finds(self, program: str) -> str | None:
        return f"/usr/bin/{program}" if program in self.programs else None

    def __call__(self, *words: str, limit_s: float = PATIENCE_S) -> Ended:
        command = " ".join(words)
        self.commands.append(command)
        self.limits[command] = limit_s
        if words[0] not in self.programs:
            raise CaddyError(f"{words[0]} is not on this machine")
        fitting = [answer for pattern, answer in self.answers.items() if fnmatch(command, pattern)]
        answer = fitting[-1] if fitting else Ended(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Ended) else answer()

    def told(self, pattern: str) -> list[str]:
        """The commands that fit, in their order."""
        return [command for command in self.commands if fnmatch(command, pattern)]
