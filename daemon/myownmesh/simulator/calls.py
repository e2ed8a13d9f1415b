"""What came of something that calls back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    import msgspec

    from myownmesh.simulator.clock import VirtualClock


@define(eq=False)
class Outcome:
    """Of a dial, a send or a call: nothing yet, or what it ended with and when. An end that comes twice fails."""

    clock: VirtualClock
    at: float | None = None
    """Second of the end."""
    ok: bytes | None = None
    error: str | None = None

    def sent(self, error: str | None) -> None:
        self.answered(None, error)

    def answered(self, ok: msgspec.Raw | None, error: str | None) -> None:
        assert self.at is None, "it has ended before"
        self.at = self.clock.seconds
        self.ok, self.error = None if ok is None else bytes(ok), error

    def is_there(self) -> bool:
        return self.at is not None


@define(eq=False)
class Stream:
    """Of a stream call."""

    chunks: list[bytes] = field(factory=list)
    ends: list[str | None] = field(factory=list)

    def chunk(self, payload: msgspec.Raw) -> None:
        assert not self.ends, "a chunk after the end"
        self.chunks.append(bytes(payload))

    def end(self, error: str | None) -> None:
        self.ends.append(error)
