"""Every op of this release, gathered from the modules that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

from myownmesh.control.request import Deferred, Immediate, Request, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST: Final = ("device_ops", "network_ops", "traffic_ops")
"""What every client asks."""
_SELDOM: Final = (
    "netcheck_ops",
    "metrics_ops",
    "invite_ops",
    "custody_ops",
    "danger_ops",
    "governance_ops",
    "governance_reports",
    "governance_carrying",
    "update_ops",
)
"""What a person asks now and then. They are loaded with the first op that is not in the others, for half of the daemon
stands behind them, and a start waits for none of that."""


class Catalogue(Mapping[str, type[Request]]):
    """Op name → its class, of these modules."""

    def __init__(self, first: tuple[str, ...], seldom: tuple[str, ...]) -> None:
        self._seldom = seldom
        self._served: dict[str, type[Request]] = {}
        self._load(first)

    def __getitem__(self, op: str) -> type[Request]:
        if op not in self._served:
            self.load_all()
        return self._served[op]

    def __iter__(self) -> Iterator[str]:
        self.load_all()
        return iter(self._served)

    def __len__(self) -> int:
        self.load_all()
        return len(self._served)

    def load_all(self) -> None:
        """Load what has not been needed yet. Raises `OSError` or `ImportError`, and then tries again the next time."""
        self._load(self._seldom)
        self._seldom = ()

    def _load(self, modules: tuple[str, ...]) -> None:
        for module in modules:
            for cls in vars(import_module(f"myownmesh.control.{module}")).values():
                if isinstance(cls, type) and issubclass(cls, Request) and cls not in _BASES:
                    self._served[str(cls.__struct_config__.tag)] = cls


_BASES: Final = (Request, Immediate, Deferred, Task)

SERVED: Final = Catalogue(_FIRST, _SELDOM)
