"""Finding out what the decision needs to know, without changing anything (spec 09 §5 rows 2 to 4)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from mesh_bundler import files, header
from mesh_bundler.decision import Candidate, Facts
from mesh_bundler.record import override_key, sibling_key
from mesh_bundler.store import name_key
from mesh_common.pins import Pin
from mesh_common.semver import SemVer
from mesh_common.shebang import has_windows_shebang
from mesh_common.versions import Reported, Unreadable, compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh_bundler.plan import Plan
    from mesh_bundler.record import Record
    from mesh_bundler.store import Store
    from mesh_common.versions import Reading


class Gatherer:
    """Facts of one plan. Runs a binary at most once, however often it is asked."""

    def __init__(self, plan: Plan, checkpoint: Callable[[], None]) -> None:
        self._plan, self._checkpoint = plan, checkpoint
        self._probed: dict[tuple[str, int, int], Reading] = {}

    def facts(self, store: Store | None) -> Facts:
        noted = self._plan.slot.record()
        override = None if self._plan.override is None else self._override(noted)
        wants_sibling = override is None and self._plan.policy.skip is None and not self._plan.policy.require
        tag = self._plan.pin.tag if isinstance(self._plan.pin, Pin) else None
        return Facts(
            triple=self._plan.target.triple,
            slot_path=str(self._plan.slot.path),
            slot=self._plan.slot.facts(),
            record=noted,
            bundled_rev=self._plan.slot.marker(),
            override=override,
            siblings=self._siblings(noted) if wants_sibling and self._plan.policy.use_siblings else (),
            cached=tag is not None and self._maybe_cached(store, tag),
            offline=self._plan.offline_miss(tag) if self._plan.offline and tag is not None else None,
            lock_binary_sha256=None if self._plan.lock_entry is None else self._plan.lock_entry.binary_sha256,
            can_build=self._plan.policy.allow_source_build and _has_cargo(self._plan),
        )

    def _maybe_cached(self, store: Store | None, tag: str) -> bool:
        """Whether an archive is at hand; cheap, and verified when it is used."""
        seed = self._plan.request.seed_dir
        if seed is not None and any(
            (seed / part).is_file() for part in (self._plan.asset, f"{tag}/{self._plan.asset}")
        ):
            return True
        if store is None:
            return False
        if self._plan.lock_entry is not None:
            return store.has_digest(self._plan.lock_entry.sha256)
        return store.has_name(name_key(self._plan.feed.canonical, tag, self._plan.asset))

    def _override(self, noted: Record | None) -> Candidate:
        assert self._plan.override is not None
        origin, text = self._plan.override
        path = Path(os.path.expanduser(text))  # noqa: PTH111 - a user that is not there is no exception here
        path = path if path.is_absolute() else (self._plan.request.repo_root or Path.cwd()) / path
        return self._candidate(origin, path, noted, "override")

    def _siblings(self, noted: Record | None) -> tuple[Candidate, ...]:
        """Existing candidates in order, up to the first that will be used: programs are run only when needed."""
        found: list[Candidate] = []
        for path in self._plan.sibling_paths:
            candidate = self._candidate("sibling", path, noted, "sibling")
            if candidate.problem == "missing":
                continue
            found.append(candidate)
            if candidate.problem is None and candidate.reading is not None:
                verdict = compare(self._plan.pin, candidate.reading, self._plan.policy.sibling_policy)
                if verdict.matches or (verdict.verdict == "no_pin" and self._plan.policy.allow_unpinned):
                    break
        return tuple(found)

    def _candidate(self, origin: str, path: Path, noted: Record | None, source: str) -> Candidate:
        try:
            facts = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return Candidate(origin, str(path), problem="missing")
        except (OSError, ValueError) as error:
            return Candidate(origin, str(path), problem=(getattr(error, "strerror", None) or str(error)).lower())
        real = Path(os.path.realpath(path))
        seen = Candidate(origin, str(real), facts.st_size, facts.st_mtime_ns)
        if not real.is_file():
            return replace(seen, problem="not_a_file")
        if facts.st_size < header.MIN_BINARY_BYTES:
            return replace(seen, problem="crlf_shebang" if has_windows_shebang(real) else "too_small")
        try:
            found = header.inspect(real)
        except header.BadHeader as bad:
            return replace(seen, problem="crlf_shebang" if has_windows_shebang(real) else bad.code)
        except OSError as error:
            return replace(seen, problem=(error.strerror or "unreadable").lower())
        wanted = header.misfit(found, self._plan.target.platform)
        if wanted is not None:
            return replace(seen, problem="wrong_target", found=str(found), wanted=wanted)
        remembered = _remembered(noted, source, seen)
        if remembered is not None:
            return replace(seen, reading=remembered)
        if not self._plan.runnable:
            return replace(seen, reading=Unreadable("other_machine", f"built for {self._plan.target.triple}"))
        return replace(seen, reading=self.probe(real))

    def probe(self, path: Path) -> Reading:
        from mesh_common.probe import probe

        found = path.stat()
        key = (str(path), found.st_size, found.st_mtime_ns)
        if key not in self._probed:
            timeout = self._plan.request.probe_timeout or self._plan.settings.probe_timeout
            self._probed[key] = probe(
                path,
                program=self._plan.settings.program,
                timeout=min(120.0, max(1.0, timeout)),
                checkpoint=self._checkpoint,
            )
        return self._probed[key]

    def hashed(self, facts: Facts) -> Facts:
        assert facts.slot is not None
        with files.explained(self._plan.slot.path):
            return replace(facts, slot=replace(facts.slot, sha256=files.sha256_of(self._plan.slot.path)))


def _remembered(noted: Record | None, source: str, seen: Candidate) -> Reading | None:
    """The version of a file that was staged before and has not changed since: it need not be run again."""
    if noted is None or noted.source != source or noted.version is None:
        return None
    version = SemVer.parse(noted.version)
    if version is None:
        return None
    keys = (
        override_key(seen.path, seen.mtime_ns, seen.size),
        sibling_key(noted.version, seen.path, seen.mtime_ns, seen.size),
    )
    return Reported(version) if noted.stage_key in keys else None


def _has_cargo(plan: Plan) -> bool:
    import shutil

    return shutil.which("cargo", path=plan.request.env.get("PATH", os.defpath)) is not None
