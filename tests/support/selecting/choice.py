"""What the fast loop has seen, what it has to run therefore, and in which order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from support.selecting.tree import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from support.selecting.tree import Tree

START_S = 0.03
"""What each test file takes beside its tests: it is compiled, imported and collected."""


@attrs.define
class Memory:
    """What stays between two runs. `about` names what all results hang on: the interpreter, its packages, the choice of
    tests; of another one nothing is remembered."""

    about: str
    green: dict[str, str] = attrs.field(factory=dict)
    """Test files, with the key of all that they depended on when they were green."""
    cost_s: dict[str, float] = attrs.field(factory=dict)
    """Processor time of each test file."""
    learned: dict[str, dict[str, list[str]]] = attrs.field(factory=dict)
    """Files, by their digest: what was read by them, or with them on the stack."""
    seen: dict[str, str] = attrs.field(factory=dict)
    """The files of the last run, with their digests."""
    known: dict[str, list[str]] = attrs.field(factory=dict)
    """The names in each module, by its digest."""

    @classmethod
    def load(cls, path: Path, about: str) -> Memory:
        """What is in the file, or nothing: a memory that is damaged, old or about something else costs a longer run."""
        try:
            memory = cls(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return cls(about)
        return memory if memory.about == about else cls(about, known=memory.known)

    def save(self, path: Path) -> None:
        """In one piece: a run that is interrupted while it writes has written nothing."""
        path.parent.mkdir(exist_ok=True)
        (path.parent / ".gitignore").write_text("*\n")
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(attrs.asdict(self)), "utf-8")
        draft.replace(path)

    def edges(self, tree: Tree) -> dict[str, list[str]]:
        """What was learned of files that are as they were."""
        return {path: by[mark] for path, by in self.learned.items() if (mark := tree.files.get(path)) in by}


@attrs.frozen
class Choice:
    """Test files that run now, those that wait for another run, and how many are as they were when they were green."""

    now: list[str]
    waiting: list[str]
    green: int


def choose(tests: Iterable[str], tree: Tree, memory: Memory, *, budget_s: float | None) -> Choice:
    """The nearest to what changed come first, cheap ones among equals; what exceeds the budget waits.

    Of a file that never ran nobody knows what it takes: it runs. Without a budget all of them do.
    """
    learned = memory.edges(tree)
    tests = list(tests)
    stale = [test for test in tests if memory.green.get(test) != tree.key(tree.closure(test, learned))]
    changed = {path for path in tree.files.keys() | memory.seen.keys() if tree.files.get(path) != memory.seen.get(path)}
    near = tree.distances(changed, learned, stale) if memory.seen else {}
    far = len(tree.files)
    stale.sort(key=lambda test: (near.get(test, far), memory.cost_s.get(test, 0.0), test))
    now: list[str] = []
    waiting: list[str] = []
    spent = 0.0
    for test in stale:
        cost = memory.cost_s.get(test, 0.0) + START_S
        if budget_s is not None and test in memory.cost_s and spent + cost > budget_s:
            waiting.append(test)
        else:
            spent += cost
            now.append(test)
    return Choice(now, waiting, len(tests) - len(stale))


def shares(tests: Iterable[str], cost_s: Mapping[str, float], count: int) -> list[list[str]]:
    """The tests in so many parts that take about as long: the dearest first, each to who has least."""
    parts: list[list[str]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for test in sorted(tests, key=lambda each: (-cost_s.get(each, 0.0), each)):
        least = loads.index(min(loads))
        parts[least].append(test)
        loads[least] += cost_s.get(test, 0.0) + START_S
    return [sorted(part) for part in parts if part]


def remember(memory: Memory, tree: Tree, ran: Iterable[str], reports: Iterable[Mapping[str, Any]]) -> set[str]:
    """Takes in what witnesses reported of test files that ran, and returns those that are green now.

    The keys are of the files as they were before the run: what was edited meanwhile makes its tests run again.
    """
    reports = list(reports)
    static: dict[str, set[str]] = {}
    for report in reports:
        for source, targets in report["read"].items():
            mark = tree.files.get(source)
            if mark is None:
                continue
            if source not in static:
                static[source] = tree.closure(source, {})
            known = memory.learned.get(source, {}).get(mark, [])
            every = {*known, *targets} - static[source]
            if every:
                memory.learned[source] = {mark: [EVERYTHING] if EVERYTHING in every else sorted(every)}
    for report in reports:
        memory.cost_s.update(report["ran"])
    failed = {path for report in reports for path in report["failed"]}
    learned = memory.edges(tree)
    green = set()
    for test in ran:
        if test in failed:
            memory.green.pop(test, None)
        else:
            memory.green[test] = tree.key(tree.closure(test, learned))
            memory.cost_s.setdefault(test, 0.0)
            green.add(test)
    memory.seen = dict(tree.files)
    memory.known = {mark: memory.known[mark] for mark in set(tree.files.values()) & memory.known.keys()}
    return green
