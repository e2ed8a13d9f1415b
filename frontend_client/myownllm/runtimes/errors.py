"""What goes wrong between the app and a model server: one sentence with the reason, and a kind to branch on."""

from __future__ import annotations

from typing import Literal

from myownllm.errors import AppError

FailureKind = Literal["down", "refused", "garbage", "broken", "timeout", "stopped"]


class RuntimeFailure(AppError):
    """No answer, or half of one. `down`: nobody listens; `refused`: the server said no; `garbage`: what it said is no
    answer; `broken`: it stopped in the middle; `timeout`: it said nothing for too long; `stopped`: the app ends.
    """

    def __init__(self, kind: FailureKind, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.kind: FailureKind = kind
        self.status = status
        """the HTTP status of a server that refused; 0 without one"""
