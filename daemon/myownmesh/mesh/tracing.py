"""Who follows how the peers of one network stand (spec 04 §9.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine.trace import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh_common.events import ConnTrace
    from myownmesh.engine import Engine
    from myownmesh.protocol.clock import Instant


class Followers:
    """Callbacks, each with what it has been shown. While there is none, a change costs nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.tracers: dict[Tracer, Callable[[ConnTrace], None]] = {}

    def add(self, on_record: Callable[[ConnTrace], None], now: Instant) -> Callable[[], None]:
        """Show every peer, and from then on what changes; returns what ends that. `on_record` does not come back in."""
        tracer = Tracer()
        self.tracers[tracer] = on_record
        self._show(tracer, on_record, now)

        def end() -> None:
            self.tracers.pop(tracer, None)

        return end

    def show_changes(self, now: Instant) -> None:
        """Tell each of them what is different from what it was shown last."""
        for tracer, on_record in tuple(self.tracers.items()):
            self._show(tracer, on_record, now)

    def _show(self, tracer: Tracer, on_record: Callable[[ConnTrace], None], now: Instant) -> None:
        for record in self._engine.trace(tracer, now):
            on_record(record)
