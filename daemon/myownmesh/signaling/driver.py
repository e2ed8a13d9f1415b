"""The signaling interface: how one network's driver meets the room (spec 04 §1.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from myownmesh.protocol.signals import Carried, InboundSignal
    from myownmesh.signaling.standing import News, RelayReport


class Signaling(Protocol):
    """One way into one room. `publish` and `redial` never block and never raise for network trouble."""

    on_up: Callable[[], None]
    """Called whenever a way into the room starts to work; set it before `run`."""

    on_news: Callable[[News], None]
    """Called when a relay begins to be of no use, or serves again; set it before `run`."""

    def report(self) -> Sequence[RelayReport]:
        """How each relay that this way leads over serves us at the moment; empty for a way without relays."""
        ...

    @property
    def is_met_locally(self) -> bool:
        """Whether this way works at the moment, and leads to devices in the local network alone."""
        ...

    def publish(self, signal: Carried) -> None:
        """Queue a signal; the driver paces, repeats and drops it by its own rules."""
        ...

    def redial(self, *, if_mute: bool = False) -> None:
        """Replace every connection (spec 03 §8.5); with `if_mute` only those that do not answer a ping in a second.

        `on_up` is called for each one that was replaced, or has answered.
        """
        ...

    def network_moved(self, *, offline: bool) -> None:
        """This machine's addresses have changed, or may have; or there is no network. `redial` follows by itself."""
        ...

    def set_pace(self, *, quiet: bool) -> None:
        """Announce us seldom from now on, or as often as v0.3.8 does (spec 03 §10)."""
        ...

    async def run(
        self,
        deliver: Callable[[InboundSignal], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve the room until cancelled. Calls `deliver` synchronously for every accepted inbound signal."""
        ...


@runtime_checkable
class UsesRelays(Protocol):
    """A way that leads over relays, and can take more of them while it runs."""

    def adopt(self, urls: Sequence[str]) -> None:
        """Use these as well, behind the network's own, in place of those of an earlier call (spec 06 K)."""
        ...
