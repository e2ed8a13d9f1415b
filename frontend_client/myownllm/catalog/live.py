"""The saved networks for a running app: as the file says, or as it said last while somebody is at work on it.

An editor truncates a file before it writes it, or moves another one into its place; for that instant it is damaged or
missing. Nothing follows from that until the file has been still for seconds, and a damaged one is never moved or
overwritten: it is told, and what was read last stays in force (spec 08 FE-12.25).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import trio

from myownllm.catalog.checking import setting_problems
from myownllm.catalog.model import Catalog
from myownllm.errors import HomeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.catalog.file import CatalogFile, Signature
    from myownllm.coerce import JsonObject
    from myownllm.effects import Level

SETTLE_S: Final = 5.0
"""A file that has not changed for that long is as somebody wants it."""


@attrs.define
class _Doubt:
    """A file that cannot be taken at its word yet."""

    signature: Signature | None
    reason: str
    since: float
    is_told: bool = False


class LiveCatalog:
    """Reads in a worker thread; notices a change by a glance at the file's identity."""

    def __init__(self, file: CatalogFile, clock: Callable[[], float] = trio.current_time) -> None:
        self.on_notice: list[Callable[[Level, str], None]] = []
        self.on_sections: list[Callable[[JsonObject], None]] = []
        """told the rest of the configuration whenever the file has been read"""
        self.sections: JsonObject = {}
        """that rest, as it was read last"""
        self._file = file
        self._clock = clock
        self._seen: Signature | None = None
        self._last: Catalog | None = None
        self._doubt: _Doubt | None = None
        self._told: tuple[str, ...] = ()

    @property
    def is_in_use(self) -> bool:
        """Something was read: from here on the file is the business of whoever edits it."""
        return self._last is not None

    async def load(self) -> Catalog:
        """As it is now. Raises HomeError while nothing has been read yet."""
        if self._last is not None and self._doubt is None and self._seen is not None and not self.changed():
            await trio.lowlevel.checkpoint()
            return self._last
        try:
            stored = await trio.to_thread.run_sync(self._file.load, abandon_on_cancel=True)
        except HomeError as error:
            self._seen = self._file.signature()
            if self._last is None:
                raise
            self._settles(self._seen, f"{error}; the networks stay as they were")
            return self._last
        self._seen = stored.signature
        if stored.signature is None and self._last not in (None, Catalog()):
            assert self._last is not None
            if not self._settles(None, f"{self._file.path} is gone: no network is saved any more"):
                return self._last
        self._doubt = None
        self._last, self.sections = stored.catalog, stored.sections
        for listener in self.on_sections:
            listener(stored.sections)
        active = stored.catalog.active
        wrong = (*stored.unusable, *(setting_problems(active) if active is not None else ()))
        self._tell([*(("error", text) for text in stored.notices), *(("warn", text) for text in wrong)])
        return stored.catalog

    def changed(self) -> bool:
        """Is there something new since the last `load`: another content, or one that has now been still for long?"""
        doubt = self._doubt
        if doubt is not None and not doubt.is_told and self._clock() - doubt.since >= SETTLE_S:
            return True
        return self._file.signature() != self._seen

    def _settles(self, signature: Signature | None, reason: str) -> bool:
        """Has the file been like this for long enough? Then it is told, once."""
        now = self._clock()
        if self._doubt is None or (self._doubt.signature, self._doubt.reason) != (signature, reason):
            self._doubt = _Doubt(signature, reason, now)
        if now - self._doubt.since < SETTLE_S:
            return False
        if not self._doubt.is_told:
            self._doubt.is_told = True
            for listener in self.on_notice:
                listener("warn", reason)
        return True

    def _tell(self, notices: list[tuple[Level, str]]) -> None:
        """Once for as long as it stands there."""
        for level, text in notices:
            for listener in self.on_notice if text not in self._told else ():
                listener(level, text)
        self._told = tuple(text for _, text in notices)
