"""One run of the bundler: its plan, what it has said so far, and how its steps put down what they did."""

from __future__ import annotations

import time
from dataclasses import replace

from mesh_bundler.errors import Notice
from mesh_bundler.gather import Gatherer
from mesh_bundler.plan import make_plan
from mesh_bundler.record import Record
from mesh_bundler.result import EnsureResult
from mesh_bundler.store import Store, cache_root
from mesh_common.pins import Pin
from mesh_common.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mesh_bundler.decision import Decision
    from mesh_bundler.obtain import Archive
    from mesh_bundler.record import SlotFacts
    from mesh_bundler.request import EnsureRequest


class Cancelled(Exception):
    """The caller's `cancelled` answered True. Temp files are gone, locks are free."""


class Run:
    """What every step needs: the plan, the facts, a way to say something, and a way to write down what was done."""

    def __init__(self, request: EnsureRequest, *, check: bool = False) -> None:
        self._began = time.monotonic()
        self._warnings: list[Notice] = []
        self._said: set[tuple[str, str]] = set()
        self.caller = request
        self.plan = make_plan(replace(request, on_notice=self.notice), check=check)
        self.gather = Gatherer(self.plan, self.checkpoint)

    def checkpoint(self) -> None:
        """Raises `Cancelled` when the caller wants to stop."""
        if self.caller.cancelled():
            raise Cancelled

    # ── what is said ──────────────────────────────────────────────────────────────────────────────────────────────────

    def notice(self, notice: Notice) -> None:
        """Tell the caller; a warning is part of the result as well."""
        if notice.level == "warning":
            self._warnings.append(notice)
        self.caller.on_notice(notice)

    def remark(self, answer: Decision) -> None:
        """What a decision has to say, each sentence once a run: decisions are asked for again and again."""
        for notice in answer.notices:
            if (notice.id, notice.text) not in self._said:
                self._said.add((notice.id, notice.text))
                self.notice(notice)

    # ── what is shared with other runs ────────────────────────────────────────────────────────────────────────────────

    def store(self) -> Store | None:
        """The cache, or None with a remark when it cannot be used."""
        root = cache_root(self.caller.env)
        opened = Store.open(root)
        if isinstance(opened, Store):
            return opened
        if not any(notice.id == "cache_refused" for notice in self._warnings):
            self.notice(
                Notice(
                    "cache_refused",
                    f"The cache {root} is not used: {opened}. Downloads are not kept.",
                    fields={"path": str(root), "reason": opened},
                )
            )
        return None

    def locked(self, path: Path) -> AbstractContextManager[None]:
        """The lock of this path for a block."""
        from mesh_bundler import filelock  # most runs change nothing and need no lock

        return filelock.hold(
            path,
            timeout=self.caller.lock_timeout or self.plan.settings.lock_timeout,
            waiting=self._waiting,
            cancelled=self.checkpoint,
        )

    def _waiting(self, holder: str, seconds: float) -> None:
        self.notice(
            Notice(
                "lock_waiting",
                f"Another bundler ({holder}) is at work here; waiting since {seconds:.0f} s.",
                level="info",
                fields={"holder": holder, "seconds": round(seconds)},
            )
        )

    # ── what was done ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def pinned_version(self) -> str | None:
        """The version that the pin names, if it names one."""
        pin = self.plan.pin
        return str(pin.version) if isinstance(pin, Pin) and pin.version is not None else None

    def record(
        self,
        stage_key: str,
        source: str,
        version: str | None,
        found: SlotFacts,
        *,
        asset: dict[str, str] | None = None,
        verified: str = "none",
        key_id: str | None = None,
    ) -> Record:
        """What the slot holds from now on, as it is written beside it."""
        return Record(
            slot=self.plan.slot.file_name,
            triple=self.plan.target.triple,
            tool=self.plan.settings.name,
            stage_key=stage_key,
            source=source,
            pin=self.plan.pin.raw if isinstance(self.plan.pin, Pin) else None,
            version=version,
            sha256=found.sha256 or "",
            size=found.size,
            mtime_ns=found.mtime_ns,
            asset=asset,
            verified=verified,
            key_id=key_id,
            bundler=VERSION,
            written_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )

    def from_record(
        self, outcome: str, noted: Record, answer: Decision, archive: Archive | None = None
    ) -> EnsureResult:
        """The result of a run that leaves the slot as the record says."""
        asset: dict[str, object] | None = dict(noted.asset) if noted.asset is not None else None
        if asset is not None:
            asset |= {
                "resumed": archive is not None and archive.resumed,
                "from_cache": archive is not None and archive.from_cache,
            }
        return self.result(
            outcome,
            answer,
            source=noted.source,
            version=noted.version,
            size=noted.size,
            sha256=noted.sha256,
            verified=noted.verified,
            key_id=noted.key_id,
            asset=asset,
        )

    def result(self, outcome: str, answer: Decision | None, **members: object) -> EnsureResult:
        """The result of a run; `members` are those that only some outcomes have."""
        return EnsureResult(
            outcome=outcome,
            slot=self.plan.slot.path,
            triple=self.plan.target.triple,
            platform=self.plan.target.platform.name,
            pin=self.plan.pin,
            warnings=tuple(self._warnings),
            duration_ms=round((time.monotonic() - self._began) * 1000),
            reasons=() if answer is None else answer.reasons,
            **members,  # type: ignore[arg-type]  # names and types are those of the fields
        )
