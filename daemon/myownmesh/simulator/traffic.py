"""What the devices of a run send each other: reliable frames, each of which arrives once and is acknowledged; and
others to one device or to all, by forwarders where there is no link, which arrive once or not at all.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from myownmesh.engine.peer import Live
from myownmesh.mesh.errors import MeshError
from myownmesh.protocol.frames import Channel
from myownmesh.simulator.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.simulator.cast import Cast
    from myownmesh.simulator.node import Node

CHANNEL: Final = "sim"
LOOSE: Final = "loose"
"""Of what may get lost."""
REMEMBERED: Final = 1000
"""Frames that may get lost, of which is known where each arrived."""
SMALL: Final = 20
"""Devices of a network in which every round has a broadcast; one costs a frame for each link, so that in one ten times
as large a hundredth of the rounds has one."""
EVERY_S: Final = 5.0
"""Between two frames of the whole network."""


class Traffic:
    """Sends until `end`; raises `Violation` where the contract of reliable frames is broken (spec 01 §13)."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast
        self._clock = cast.world.clock
        self._rng = cast.world.sources.of("traffic")
        self._number = 0
        self._over = False
        self._arrived: dict[int, Node] = {}
        self._until_flood = 0
        """So many more rounds."""
        self._came_loose: dict[int, set[Node]] = {}
        self.acknowledged = 0
        self.failed = 0
        cast.on_start.append(self._listen)

    def begin(self) -> None:
        self._clock.after(EVERY_S, self._send)

    def end(self) -> None:
        self._over = True

    def _listen(self, node: Node) -> None:
        def arrive(sender: str, payload: msgspec.Raw) -> None:
            number = msgspec.json.decode(payload, type=int)
            if not isinstance(node.engine.link(sender), Live):
                raise Violation(f"frame {number} came through before admission", (node.device_id, sender))
            if self._arrived.get(number) is node:
                raise Violation(f"frame {number} was delivered twice", (node.device_id, sender))
            self._arrived[number] = node

        def arrive_loose(origin: str, payload: msgspec.Raw) -> None:
            number = msgspec.json.decode(payload, type=int)
            if not isinstance(node.engine.link(origin), Live) and not node.engine.core.is_rostered(origin):
                raise Violation(f"frame {number} came through before admission", (node.device_id, origin))
            came = self._came_loose.setdefault(number, set())
            if node in came:
                raise Violation(f"frame {number} was delivered twice", (node.device_id, origin))
            came.add(node)

        node.switch.channels.listen(CHANNEL, arrive)
        node.switch.channels.listen(LOOSE, arrive_loose)

    def _send(self) -> None:
        if self._over:
            return
        running = self._cast.running()
        if len(running) > 1:
            one, other = self._rng.sample(running, 2)
            number = self._number = self._number + 1
            try:
                one.switch.send_reliable(
                    other.device_id, CHANNEL, msgspec.Raw(b"%d" % number), 30.0, self._outcome(one, other, number)
                )
            except MeshError:
                self.failed += 1
            self._send_loose(one, other)
        self._clock.after(self._rng.expovariate(1 / EVERY_S), self._send)

    def _send_loose(self, one: Node, other: Node) -> None:
        """To one device, and to all: seldom in a large network, whose own frames a run is to show."""
        with suppress(MeshError):  # nobody carries it
            one.send(other, Channel(LOOSE, self._next_loose()))
        self._until_flood -= 1
        if self._until_flood <= 0:
            self._until_flood = max(1, len(self._cast.nodes) // SMALL) ** 2
            with suppress(MeshError):  # nobody is linked
                one.switch.broadcast(LOOSE, self._next_loose(), lambda _reached: None)

    def _next_loose(self) -> msgspec.Raw:
        """The next number, of something that may get lost."""
        self._number += 1
        self._came_loose.pop(self._number - REMEMBERED, None)
        return msgspec.Raw(b"%d" % self._number)

    def _outcome(self, one: Node, other: Node, number: int) -> Callable[[str | None], None]:
        def done(error: str | None) -> None:
            if error is not None:
                self.failed += 1
            elif number not in self._arrived:
                raise Violation(f"frame {number} was acknowledged and never arrived", (one.device_id, other.device_id))
            else:
                self.acknowledged += 1

        return done
