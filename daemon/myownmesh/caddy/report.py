"""What an installation did, step by step, for a person and for programs."""

from __future__ import annotations

from typing import Literal

from mesh_common.values import Value

Outcome = Literal["done", "unchanged", "would", "advice", "failed"]
"""``would``: what a dry run would have done. ``advice``: left to the person."""


class Step(Value, frozen=True):
    """One step; `detail` is a sentence without its full stop."""

    step: str
    outcome: Outcome
    detail: str

    def to_json(self) -> dict[str, object]:
        return {"step": self.step, "outcome": self.outcome, "detail": self.detail}
