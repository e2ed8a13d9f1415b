"""Descriptors: the limit is raised where it may be, and clients never get all of them."""

from __future__ import annotations

import resource

import pytest

from myownmesh.daemon.descriptors import CLIENTS_AT_MOST, WANTED, share_for_clients
from myownmesh.worker.descriptors import raise_limit

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "after"),
    [
        (256, UNLIMITED, WANTED),
        (1024, 1_048_576, WANTED),
        (256, 1024, 1024),
        (64, 64, 64),
        (10_000, 20_000, 10_000),
        (UNLIMITED, UNLIMITED, WANTED),
    ],
)
def test_the_limit_is_raised_as_far_as_is_useful(
    soft: int, hard: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    assert raise_limit(WANTED) == after
    assert asked == ([(after, hard)] if soft not in (after, UNLIMITED) else [])


def test_a_system_that_refuses_leaves_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_kind: int, _limits: tuple[int, int]) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, UNLIMITED))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit(WANTED) == 256


def test_clients_leave_half_to_the_mesh() -> None:
    assert share_for_clients(WANTED) == CLIENTS_AT_MOST
    assert share_for_clients(256) == 128
    assert share_for_clients(1) == 1
