"""What the host of services asks of each of them (spec 06 §2–4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from myownmesh.store.services_config import ServicesConfig

if TYPE_CHECKING:
    import trio

    from mesh_common.views import ServerReport


class CannotServe(Exception):
    """A service did not come up, or ended; the text is for the report. It is made anew and tried again."""


class Advert(Struct, frozen=True):
    """What one service adds to the daemon's advert."""

    tags: tuple[str, ...] = ()
    endpoints: Mapping[str, object] = field(default_factory=dict)
    """Members of `extra.services`."""


class Service(Protocol):
    """One thing that this device hosts for others. Made from the configuration; another configuration makes another."""

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled, once. Started when others can reach it; `CannotServe` when they cannot."""
        ...

    def report(self, *, enabled: bool, listening_since: int | None) -> ServerReport:
        """What `services_status` says of it while it serves, since that Unix second."""
        ...

    def advert(self, config: ServicesConfig) -> Advert:
        """What peers are told while it serves.

        `config` is the newest one: members outside of this service's own block may have changed without a restart.
        """
        ...


class Switch(Protocol):
    """The block of a role in the configuration; services are restarted when it changes."""

    @property
    def enabled(self) -> bool: ...


class Role(Struct, frozen=True):
    """A service by its member of the configuration and of the ServicesReport."""

    name: str
    title: str
    """For the log."""
    block: Callable[[ServicesConfig], Switch]
    make: Callable[[ServicesConfig], Service]
    folded_into: str | None = None
    """The role that plays this one as well while it is enabled: both would listen on the same port."""
