"""Who reads the connection trace of which network; a trace ends with its network (spec 05 §10.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.control.answers import trace_lagged, trace_record
from myownmesh.control.event_stream import EventStream
from myownmesh.control.outbox import MAX_RECORDS, Outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh_common.events import ConnTrace
    from myownmesh.control.writer import Writer
    from myownmesh.mesh.network import Network


class TraceStream(EventStream):
    """The pushing half of a connection that reads a trace. What it does not read gives way, and is counted."""

    def __init__(self, writer: Writer, on_end: Callable[[], None]) -> None:
        super().__init__(writer, on_end, Outbox(MAX_RECORDS, trace_lagged))
        self.end = on_end
        self.stop: Callable[[], None] | None = None
        """Ends the subscription."""

    def record(self, record: ConnTrace) -> None:
        self.event(trace_record(record))

    def close(self) -> None:
        super().close()
        stop, self.stop = self.stop, None
        if stop is not None:
            stop()


class Traces:
    """All readers."""

    def __init__(self) -> None:
        self._readers: dict[Network, list[TraceStream]] = {}

    def begin(self, network: Network, reader: TraceStream) -> None:
        """Tell `reader` how every peer stands, and each change, until its `close` or the end of the network."""
        readers = self._readers.setdefault(network, [])
        readers.append(reader)
        untrace = network.trace(reader.record)

        def stop() -> None:
            untrace()
            readers.remove(reader)
            if not readers:
                self._readers.pop(network, None)

        reader.stop = stop

    def network_removed(self, network: Network) -> None:
        """The trace of a network that was left is over; one that is joined again is another."""
        for reader in tuple(self._readers.get(network, ())):
            reader.end()
