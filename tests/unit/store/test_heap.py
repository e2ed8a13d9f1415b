"""Free memory goes back to the system where the allocator can be asked to."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import TYPE_CHECKING

from myownmesh.store.heap import give_back, keep_together

if TYPE_CHECKING:
    import pytest


def test_the_allocator_is_asked_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(
        ctypes,
        "CDLL",
        lambda _name: SimpleNamespace(malloc_trim=asked.append, mallopt=lambda *chosen: asked.extend(chosen)),
    )
    give_back()
    keep_together()
    assert asked == [0, -8, 1]


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace())
    give_back()
    keep_together()
