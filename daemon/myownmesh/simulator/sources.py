"""Where a run's chance comes from: a source for each name, so that what one node draws moves nobody else's."""

from __future__ import annotations

import random


class Sources:
    """Random sources of one seed, by name; the same name gives the same one."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._by_name: dict[str, random.Random] = {}

    def of(self, name: str) -> random.Random:
        source = self._by_name.get(name)
        if source is None:
            source = self._by_name[name] = random.Random(f"{self.seed}/{name}")
        return source
