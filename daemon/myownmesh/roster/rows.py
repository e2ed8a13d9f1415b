"""The rows of a roster by id, in the order in which they came: a value whose changes share what stayed.

Of ten thousand rows one that comes copies none of the others: to take hold of each costs a millisecond.
"""

from __future__ import annotations

from collections.abc import KeysView, Mapping
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from myownmesh.roster.entry import Entry

MANY: Final = 1024
"""Fewer are copied for each change, which takes some microseconds."""
_SHARE: Final = 16
"""Changes are kept apart up to this part of the rows; then all is put together again."""


class Rows(Mapping[str, "Entry"]):
    """Entries by bare id; never changed."""

    __slots__ = ("_count", "_late", "_whole")

    def __init__(self, whole: dict[str, Entry], late: dict[str, Entry | None] | None = None, count: int = 0) -> None:
        """`late` is what is otherwise than in `whole`: None for what went, new ones behind the others; with it, how
        many that makes."""
        self._whole = whole
        self._late = late or {}
        self._count = count if late else len(whole)

    def find(self, device_id: str) -> Entry | None:
        """The entry of a bare id; None without one."""
        return self._late[device_id] if device_id in self._late else self._whole.get(device_id)

    def __getitem__(self, device_id: str) -> Entry:
        found = self.find(device_id)
        if found is None:
            raise KeyError(device_id)
        return found

    def __contains__(self, device_id: object) -> bool:
        late = self._late  # no call of `find`: of a crowd each announce asks for several times
        if late and device_id in late:
            return late[device_id] is not None
        return device_id in self._whole

    def keys(self) -> KeysView[str]:
        """The ids; of plain rows the quick ones."""
        return KeysView(self) if self._late else self._whole.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self._together() if self._late else self._whole)

    def __len__(self) -> int:
        return self._count

    def entries(self) -> tuple[Entry, ...]:
        """All of them, in their order."""
        return tuple((self._together() if self._late else self._whole).values())

    def changed(self, put: Collection[Entry], gone: Collection[str] = ()) -> Rows:
        """The rows after some went, and others came or were replaced; who went before and comes back stands last."""
        whole, late = self._whole, dict(self._late)
        returns = any(entry.device_id in gone or late.get(entry.device_id, entry) is None for entry in put)
        if returns or len(whole) < MANY or len(late) + len(put) + len(gone) > len(whole) // _SHARE:
            whole = self._together()
            for device_id in gone:
                whole.pop(device_id, None)
            whole.update((entry.device_id, entry) for entry in put)
            return Rows(whole)
        for device_id in gone:
            late.pop(device_id, None)
            if device_id in whole:
                late[device_id] = None
        late.update((entry.device_id, entry) for entry in put)
        new = len({entry.device_id for entry in put if entry.device_id not in self})
        return Rows(whole, late, self._count + new - len({device_id for device_id in gone if device_id in self}))

    def _together(self) -> dict[str, Entry]:
        """All of them in one dictionary of their own, in their order. By whole dictionaries: row by row ten thousand
        would hold the loop for some ten milliseconds."""
        together: dict[str, Entry | None] = {**self._whole, **self._late}
        for device_id, entry in self._late.items():
            if entry is None:
                del together[device_id]
        return cast("dict[str, Entry]", together)


NO_ROWS: Final = Rows({})


def rows_of(entries: Rows | Iterable[Entry]) -> Rows:
    """The rows of these entries, each of another device."""
    return entries if isinstance(entries, Rows) else Rows({entry.device_id: entry for entry in entries})
