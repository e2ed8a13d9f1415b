"""The repository as tests depend on it: its files by content, and what each module of it imports."""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ROOTS = ("common", "daemon", "frontend_client", "bundler", "tests", "")
"""Where the first word of an imported name may stand, as sys.path and pytest's `pythonpath` say."""

EVERYTHING = "*"
"""Stands for all files: of a test that starts programs or looks at the repository, nobody knows what it depends on."""

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def digest(data: bytes) -> str:
    """What tells one content from another."""
    return hashlib.sha256(data).hexdigest()[:32]


def of_repository(root: Path) -> dict[str, str]:
    """Each file that git knows or would add, with the digest of its content."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    paths = sorted(set(listed.stdout.decode().split("\0")) - {""})
    return {path: digest((root / path).read_bytes()) for path in paths if (root / path).is_file()}


def names_in(source: str) -> list[str]:
    """Dotted names of all that a module may import, wherever it does, and of what its texts name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                names.update(each.name for each in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                names.add(module)
                names.update(f"{module}.{each.name}" for each in node.names)
            case ast.Constant(value=str(text)) if _DOTTED.fullmatch(text):
                names.add(text)
    return sorted(names)


class Tree:
    """The files with their digests. `known` maps digests of modules to what `names_in` says of them, and is filled."""

    def __init__(self, root: Path, files: Mapping[str, str], known: dict[str, list[str]]) -> None:
        self.root = root
        self.files = files
        self.known = known
        self._edges: dict[str, frozenset[str]] = {}

    def _modules(self, name: str) -> Iterable[str]:
        """Files that an import of the name runs: the module's and those of the packages around it."""
        words = name.split(".")
        for root in ROOTS:
            start = f"{root}/" if root else ""
            for length in range(1, len(words) + 1):
                stem = start + "/".join(words[:length])
                yield from (path for path in (f"{stem}/__init__.py", f"{stem}.py") if path in self.files)

    def imports(self, path: str) -> frozenset[str]:
        """What a module imports itself; for a file below tests also the conftest.py that pytest loads for it."""
        if path not in self._edges:
            found: set[str] = set()
            if path.endswith(".py") and path in self.files:
                mark = self.files[path]
                if mark not in self.known:
                    self.known[mark] = names_in((self.root / path).read_text("utf-8"))
                for name in self.known[mark]:
                    found.update(self._modules(name))
            parts = path.split("/")
            if parts[0] == "tests":
                around = ("/".join([*parts[:length], "conftest.py"]) for length in range(1, len(parts)))
                found.update(each for each in around if each in self.files)
            self._edges[path] = frozenset(found - {path})
        return self._edges[path]

    def closure(self, path: str, learned: Mapping[str, Iterable[str]]) -> set[str]:
        """All that a test depends on: its imports, theirs, and what was `learned` that each of them reads."""
        reached, ahead = {path}, [path]
        while ahead:
            each = ahead.pop()
            new = (self.imports(each) | set(learned.get(each, ()))) - reached
            reached |= new
            ahead += new
        return reached

    def key(self, closure: Iterable[str]) -> str:
        """What changes when anything of it does; a name with `/` at its end is a folder and means the names in it."""
        wanted = set(closure)
        lines = []
        for path in sorted(self.files if EVERYTHING in wanted else wanted):
            if path.endswith("/"):
                mark = digest("\n".join(sorted(name for name in self.files if name.startswith(path))).encode())
            else:
                mark = self.files.get(path, "absent")
            lines.append(f"{mark} {path}\n")
        return digest("".join(lines).encode())

    def distances(
        self, changed: Iterable[str], learned: Mapping[str, Iterable[str]], tests: Iterable[str]
    ) -> dict[str, int]:
        """How many imports lie between each test and the nearest file that changed; without a way it is not named."""
        goals = set(changed)
        found: dict[str, int] = {}
        for test in tests:
            reached, ring, steps = {test}, {test}, 0
            while ring and not ring & goals:
                ring = {new for each in ring for new in self.imports(each) | set(learned.get(each, ()))} - reached
                reached |= ring
                steps += 1
            if ring:
                found[test] = steps
        return found
