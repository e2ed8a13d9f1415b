"""That an invariant does not hold."""

from __future__ import annotations


class Violation(Exception):
    """Something that must hold did not. `nodes` are the devices that it is about."""

    def __init__(self, text: str, nodes: tuple[str, ...]) -> None:
        super().__init__(text)
        self.nodes = nodes
