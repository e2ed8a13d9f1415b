"""What the daemon tells its worker on one pipe: the job, then whose passwords are good (spec 06 M)."""

from __future__ import annotations

import errno
import itertools
import os
from typing import TYPE_CHECKING

import pytest

from myownmesh.turn.server import TurnServer
from myownmesh.turn.table import Settings
from myownmesh.turn_worker.messages import Change, Job, read_job
from myownmesh.turn_worker.worker import Worker
from myownmesh.worker.messages import first_line, line

if TYPE_CHECKING:
    from collections.abc import Collection

    from myownmesh.turn_worker.messages import Said

HERE = "127.0.0.1"
JOB = Job(bind=HERE, port=0, turn=Settings(HERE, realm="r", passwords={}, secret="s", labels=("alice",)))
CHANGES = [Change(admit=("bob",)), Change(admit=("carol",), expel=("alice",)), Change(expel=("bob",))]


@pytest.mark.parametrize("at_once", [5, 65536], ids=["in pieces", "the first read takes all"])
def test_what_is_said_behind_the_job_is_heard_however_it_is_cut(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for reader in ("turn_worker.worker", "worker.messages"):
        monkeypatch.setattr(f"myownmesh.{reader}.CHUNK_BYTES", at_once)
    heard: list[tuple[str, tuple[str, ...]]] = []

    def admit(_server: TurnServer, labels: Collection[str]) -> None:
        heard.append(("admit", tuple(labels)))

    def expel(_server: TurnServer, labels: Collection[str]) -> None:
        heard.append(("expel", tuple(labels)))

    monkeypatch.setattr(TurnServer, "admit", admit)
    monkeypatch.setattr(TurnServer, "expel", expel)
    commands, daemon = os.pipe()
    os.write(daemon, b"".join([line(JOB), *map(line, CHANGES)]))
    os.close(daemon)
    said: list[Said] = []
    try:
        text, begun = first_line(commands)
        assert read_job(text) == JOB
        Worker(JOB, said.append).run(commands, begun)  # it ends with the pipe
    finally:
        os.close(commands)
    assert said
    assert [each for each in heard if each[1]] == [
        ("admit", ("bob",)),
        ("admit", ("carol",)),
        ("expel", ("alice",)),
        ("expel", ("bob",)),
    ]


def test_without_a_descriptor_to_look_around_with_it_serves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    commands, daemon = os.pipe()
    looks = itertools.count(1)

    def addresses() -> frozenset[str]:
        look = next(looks)
        if look == 5:
            os.close(daemon)
        if look > 2:
            raise OSError(errno.EMFILE, "Too many open files")
        return frozenset({HERE})

    monkeypatch.setattr("myownmesh.turn_worker.worker.machine_addresses", addresses)
    monkeypatch.setattr("myownmesh.turn_worker.worker.IDLE_TICK_S", 0.0)
    try:
        Worker(JOB, lambda _: None).run(commands)  # it ends with the pipe
    finally:
        os.close(commands)
    assert next(looks) > 5
