"""A plugin of pytest that tells which members of the vectors no test looks at.

With `-p support.vector_reads`, `support.vectors.load` gives containers that remember what was looked up. Only tests
that hold vectors are run, in one process, and the file that `UNREAD_VECTORS` names gets a line per member that none of
them read, as `signaling.turn.errors[3].ours`. A case is a dictionary in a list: each of its members is to be looked up,
and what lies below a member goes with it. `VECTOR_SECTIONS` names the sections to watch, as `signaling.turn`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import vectors

if TYPE_CHECKING:
    import pytest

_unread: set[str] = set()


class Watched(dict[str, Any]):
    """A dictionary of a vector; whoever compares it or goes through it has read every member."""

    def __init__(self, members: dict[str, Any], path: str) -> None:
        super().__init__(members)
        self._path = path
        _unread.update(f"{path}.{name}" for name, each in members.items() if not isinstance(each, Watched | Cases))

    def __getitem__(self, name: str) -> Any:
        _unread.discard(f"{self._path}.{name}")
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        _unread.discard(f"{self._path}.{name}")
        return super().get(name, default)

    def items(self) -> Any:
        self._all_read()
        return super().items()

    def values(self) -> Any:
        self._all_read()
        return super().values()

    def __eq__(self, other: object) -> bool:
        self._all_read()
        return super().__eq__(other)

    __hash__ = None

    def _all_read(self) -> None:
        _unread.difference_update({f"{self._path}.{name}" for name in self})


class Cases(list[Any]):
    """A list of cases."""


def watched(value: Any, path: str) -> Any:
    """`value`, none of whose members has been read."""
    match value:
        case dict():
            return Watched({name: watched(each, f"{path}.{name}") for name, each in value.items()}, path)
        case [dict(), *_]:
            return Cases(Watched(each, f"{path}[{at}]") for at, each in enumerate(value))
        case _:
            return value


def pytest_configure() -> None:
    names = os.environ["VECTOR_SECTIONS"].split()
    known = {name: watched(vectors.load(*name.split(".")), name) for name in names}
    load = vectors.load

    def remembering(file: str, section: str) -> Any:
        name = f"{file}.{section}"
        return known[name] if name in known else load(file, section)

    vectors.load = remembering


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    items[:] = [item for item in items if _holds_vectors(item)]


def _holds_vectors(item: pytest.Function) -> bool:
    cases = item.callspec.params.values() if hasattr(item, "callspec") else ()
    names = item.function.__code__.co_names
    held = [*cases, *(getattr(item.module, name, None) for name in names)]
    return "load" in names or any(isinstance(each, Watched | Cases) for each in held)


def pytest_sessionfinish() -> None:
    Path(os.environ["UNREAD_VECTORS"]).write_text("".join(f"{name}\n" for name in sorted(_unread)), encoding="utf-8")
