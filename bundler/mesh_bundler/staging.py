"""`ensure`: make the slot hold the pinned daemon, or refuse (spec 09 §5, §6).

The shell around `decision.decide`: it gathers facts, carries out the one action that was decided, and asks again when
the action taught it something. Synchronous on purpose (build scripts call it); a trio program runs it in a thread and
passes `cancelled`.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path

from mesh_bundler import decision, files, header, verify
from mesh_bundler import record as records
from mesh_bundler.decision import decide
from mesh_bundler.errors import Exit, Notice, Refused
from mesh_bundler.gather import Gatherer
from mesh_bundler.plan import make_plan
from mesh_bundler.record import Record, SlotFacts
from mesh_bundler.result import EnsureResult
from mesh_bundler.store import Store, cache_root
from mesh_common.pins import Pin, compare
from mesh_common.version import VERSION
from mesh_common.versions import Reported, Unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mesh_bundler.client import Limits
    from mesh_bundler.decision import Decision, Facts
    from mesh_bundler.obtain import Archive, Obtainer
    from mesh_bundler.request import EnsureRequest
    from mesh_bundler.slot import Incoming

_MAX_ROUNDS = 12  # every round removes a step; more would be a bug, not bad luck


class Cancelled(Exception):
    """The caller's `cancelled` answered True. Temp files are gone, locks are free."""


def ensure(request: EnsureRequest, *, limits: Limits | None = None) -> EnsureResult:
    """Make the slot hold the pinned daemon.

    Raises `Refused` when nothing may be staged (the old content of the slot stays) and `Cancelled`.
    """
    run = _Run(request, limits)
    try:
        return run.ensure()
    except Refused as refused:
        refused.context = run.context()
        raise


def examine(request: EnsureRequest, *, check: bool = False) -> tuple[EnsureResult, Refused | None]:
    """What `ensure` would do first, without network and without a write: the result and what would stop it."""
    return _Run(request, None, check=check).examine()


class _Run:
    """One run: its plan, what it has remarked so far, when it began."""

    def __init__(self, request: EnsureRequest, limits: Limits | None, *, check: bool = False) -> None:
        self._began = time.monotonic()
        self._warnings: list[Notice] = []
        self._caller = request
        self._request = replace(request, on_notice=self._notice)
        self._limits = limits
        self._said: set[tuple[str, str]] = set()
        self._plan = make_plan(self._request, check=check)
        self._gather = Gatherer(self._plan, self._checkpoint)

    # --- the two entry points ---------------------------------------------------------------------------------

    def ensure(self) -> EnsureResult:
        # Nearly every run ends here: no lock, no write, no network.
        answer, facts = self._first_answer()
        if isinstance(answer.action, decision.Keep):
            self._remark(answer)
            return self._kept(facts, answer.action, answer)
        if isinstance(answer.action, decision.Fail) and answer.action.refusal.exit_code is not Exit.NETWORK:
            self._remark(answer)
            raise answer.action.refusal
        with self._locked(self._plan.slot.lock_path):
            self._plan.slot.sweep()
            store = self._store()
            return self._carry_out(store)

    def examine(self) -> tuple[EnsureResult, Refused | None]:
        answer, facts = self._first_answer()
        self._remark(answer)
        if isinstance(answer.action, decision.Keep):
            noted = facts.record
            assert noted is not None
            return self._from_record("current", noted, answer), None
        refusal = answer.action.refusal if isinstance(answer.action, decision.Fail) else None
        outcome = "skipped" if isinstance(answer.action, decision.Skip) and not answer.action.stub else "would_stage"
        source = {
            decision.StageFile: getattr(answer.action, "source", None),
            decision.StageRelease: "release",
            decision.Adopt: "release",
            decision.BuildSource: "source",
        }.get(type(answer.action))
        return self._result(outcome, answer, source=source), refusal

    def context(self) -> dict[str, object]:
        """What a refusal is reported with."""
        return self._result("error", None).to_json()

    def _first_answer(self) -> tuple[Decision, Facts]:
        store = Store(cache_root(self._request.env))
        facts = self._gather.facts(store)
        answer = decide(self._plan.pin, self._plan.policy, facts)
        if isinstance(answer.action, decision.Hash):
            facts = self._gather.hashed(facts)
            answer = decide(self._plan.pin, self._plan.policy, facts)
        return answer, facts

    # --- carrying out -----------------------------------------------------------------------------------------

    def _carry_out(self, store: Store | None) -> EnsureResult:
        facts = self._gather.facts(store)
        obtainer: Obtainer | None = None
        try:
            for _ in range(_MAX_ROUNDS):
                self._checkpoint()
                answer = decide(self._plan.pin, self._plan.policy, facts)
                self._remark(answer)
                match answer.action:
                    case decision.Hash():
                        facts = self._gather.hashed(facts)
                    case decision.Adopt(stage_key=key):
                        adopted = self._adopt(facts, key)
                        facts = replace(facts, adoption_failed=True) if adopted is None else facts
                        if adopted is not None:
                            return self._from_record("current", adopted, answer)
                    case decision.StageRelease() as stage:
                        obtainer = obtainer or self._obtainer(store)
                        try:
                            return self._stage_release(obtainer, stage, answer)
                        except Refused as refusal:
                            if refusal.exit_code in (Exit.FILES, Exit.LOCK, Exit.USAGE):
                                raise
                            facts = replace(facts, release_failure=refusal)
                    case decision.BuildSource() as build:
                        try:
                            return self._build(build, answer)
                        except Refused as refusal:
                            facts = replace(facts, build_failure=refusal)
                    case decision.Keep() as keep:
                        return self._kept(facts, keep, answer)
                    case decision.StageFile() as stage_file:
                        return self._stage_file(stage_file, answer)
                    case decision.Skip(stub=stub):
                        if stub:
                            self._plan.slot.write_stub(move_aside=False)
                        return self._result("skipped", answer)
                    case decision.Stub() as stub_action:
                        return self._stub(stub_action, answer)
                    case decision.Fail(refusal=refusal):
                        raise refusal
        finally:
            if obtainer is not None:
                obtainer.close()
        raise AssertionError(f"the decision did not end within {_MAX_ROUNDS} rounds")

    def _stage_release(self, obtainer: Obtainer, stage: decision.StageRelease, answer: Decision) -> EnsureResult:
        archive = obtainer.at_hand(stage.tag)
        if archive is None and self._plan.offline:
            raise self._plan.offline_miss(stage.tag)
        if archive is None:
            archive = self._download_once(obtainer, stage.tag)
        try:
            return self._unpack(archive, stage, answer)
        except Refused as refusal:
            if refusal.exit_code in (Exit.INTEGRITY, Exit.VERSION):
                store = self._store()
                if store is not None:
                    store.forget(archive.sha256)  # never offered again; the next run fetches afresh
            raise

    def _download_once(self, obtainer: Obtainer, tag: str) -> Archive:
        """Two checkouts that want the same asset make one download: the second finds it in the store."""
        store = self._store()
        if store is None:
            return obtainer.download(tag)
        with self._locked(store.lock_path(obtainer.key(tag))):
            return obtainer.at_hand(tag) or obtainer.download(tag)

    def _unpack(self, archive: Archive, stage: decision.StageRelease, answer: Decision) -> EnsureResult:
        from mesh_bundler.extract import extract

        with self._plan.slot.incoming() as temp:
            with files.explained(temp.path):
                ignored = extract(archive.path, self._plan.member, temp.write)
                found = temp.finish()
            if ignored:
                names = ", ".join(ignored)
                self._notice(Notice("members_ignored", f"The archive also holds {names}; ignored.", level="note"))
            verify.check_binary(temp.path, self._plan, "release")
            locked = self._plan.lock_entry.binary_sha256 if self._plan.lock_entry is not None else None
            if locked is not None and locked != found.sha256:
                raise Refused(
                    "binary_differs_from_lock",
                    Exit.INTEGRITY,
                    f"The daemon in {archive.name} is not the one that the lock file names.",
                    hint="Nothing was staged. Write the lock file anew with mesh-bundler lock and review the change.",
                )
            version = verify.check_version(temp.path, archive, self._plan, self._gather)
            note = self._record(
                stage.stage_key,
                "release",
                version,
                found,
                asset={"name": archive.name, "sha256": archive.sha256, "url": archive.url},
                verified=archive.verified,
                key_id=archive.key_id,
            )
            self._checkpoint()
            self._plan.slot.commit(temp, note, self._plan.pin.raw if isinstance(self._plan.pin, Pin) else None)
        return self._from_record("staged", note, answer, archive)

    def _stage_file(self, stage: decision.StageFile, answer: Decision) -> EnsureResult:
        """Copy an override or a sibling; a build that runs at the same time must not be copied half."""
        source, wanted = Path(stage.candidate.path), (stage.candidate.size, stage.candidate.mtime_ns)
        for attempt in (1, 2):
            with self._plan.slot.incoming() as temp:
                with files.explained(source), source.open("rb") as file:
                    while data := file.read(files.CHUNK):
                        self._checkpoint()
                        temp.write(data)
                    found = temp.finish()
                now = source.stat()
                if (now.st_size, now.st_mtime_ns) != wanted or found.size != now.st_size:
                    if attempt == 1:
                        wanted = (now.st_size, now.st_mtime_ns)
                        continue
                    break
                key, version = self._recheck(stage, temp, wanted)
                note = self._record(key, stage.source, version, found)
                self._plan.slot.commit(temp, note, stage.marker)
            return self._from_record("staged", note, answer)
        raise Refused(
            "source_changed",
            Exit.FILES,
            f"{source} keeps changing while it is copied.",
            hint="Wait until its build has finished, then run again.",
            path=str(source),
        )

    def _recheck(self, stage: decision.StageFile, temp: Incoming, wanted: tuple[int, int]) -> tuple[str, str | None]:
        """(stage key, version) of what was really copied, which may be newer than what was decided on."""
        candidate = stage.candidate
        if wanted == (candidate.size, candidate.mtime_ns):
            return stage.stage_key, stage.version
        reading = self._gather.probe(temp.path)
        version = str(reading.version) if isinstance(reading, Reported) else None
        if stage.source == "override":
            return records.override_key(candidate.path, wanted[1], wanted[0]), version
        verify.check_binary(temp.path, self._plan, "sibling")
        if not compare(self._plan.pin, reading, self._plan.policy.sibling_policy).matches or version is None:
            raise Refused(
                "source_changed",
                Exit.FILES,
                f"{candidate.path} was rebuilt while it was copied and is not the pinned daemon any more.",
                hint="Run again.",
                path=candidate.path,
            )
        return records.sibling_key(version, candidate.path, wanted[1], wanted[0]), version

    def _build(self, build: decision.BuildSource, answer: Decision) -> EnsureResult:
        from mesh_bundler.source_build import built

        with built(self._plan, build, self._notice, self._checkpoint) as path, self._plan.slot.incoming() as temp:
            with files.explained(path), path.open("rb") as file:
                while data := file.read(files.CHUNK):
                    temp.write(data)
                found = temp.finish()
            verify.check_binary(temp.path, self._plan, "source build")
            version = (
                None
                if self._plan.pin.label == "no pin"
                else str(self._plan.pin.version)
                if isinstance(self._plan.pin, Pin)
                else None
            )
            if self._plan.runnable:
                reading = self._gather.probe(temp.path)
                if isinstance(reading, Unreadable) or (build.is_tag and not compare(self._plan.pin, reading).matches):
                    raise Refused(
                        "version_mismatch",
                        Exit.VERSION,
                        f"The daemon built from {build.revision} does not report that version.",
                        hint="Nothing was staged. Check the pin.",
                    )
                version = str(reading.version)
            note = self._record(build.stage_key, "source", version, found)
            self._plan.slot.commit(temp, note, None)
        return self._from_record("staged", note, answer)

    def _adopt(self, facts: Facts, key: str) -> Record | None:
        """Our record for a slot that another bundler filled, or None when it is not what its marker says."""
        assert facts.slot is not None
        path = self._plan.slot.path
        try:
            found = header.inspect(path)
        except (header.BadHeader, OSError):
            return None
        if header.misfit(found, self._plan.target.platform) is not None or facts.slot.size < header.MIN_BINARY_BYTES:
            return None
        digest = files.sha256_of(path)
        if facts.lock_binary_sha256 is not None and digest != facts.lock_binary_sha256:
            return None
        version = self._plan.pin.version if isinstance(self._plan.pin, Pin) else None
        if self._plan.runnable:
            reading = self._gather.probe(path)
            if not compare(self._plan.pin, reading).matches:
                return None
            version = reading.version if isinstance(reading, Reported) else version
        elif facts.lock_binary_sha256 is None:
            return None  # neither its version nor its digest can be checked here
        level = "lock" if facts.lock_binary_sha256 is not None else "none"
        note = self._record(
            key, "release", str(version), SlotFacts(facts.slot.size, facts.slot.mtime_ns, digest), verified=level
        )
        self._plan.slot.refresh_record(note)
        return note

    def _stub(self, stub: decision.Stub, answer: Decision) -> EnsureResult:
        if stub.write:
            aside = self._plan.slot.write_stub(move_aside=stub.move_aside)
            where = f" The old daemon is at {aside}." if aside is not None else ""
            why = f"({stub.cause.code}): the app has no bundled daemon."
            text = f"{self._plan.slot.path} is an empty placeholder {why}{where}"
        else:
            text = f"{self._plan.slot.path} keeps its old daemon, as asked; it is not the pinned one."
        # The outcome itself, so not a row of `warnings`.
        self._caller.on_notice(Notice("stub_written", text, fields={"slot": str(self._plan.slot.path)}))
        return self._result("stub", answer)

    # --- small helpers ----------------------------------------------------------------------------------------

    def _store(self) -> Store | None:
        opened = Store.open(cache_root(self._request.env))
        if isinstance(opened, Store):
            return opened
        if not any(notice.id == "cache_refused" for notice in self._warnings):
            self._notice(
                Notice(
                    "cache_refused",
                    f"The cache {cache_root(self._request.env)} is not used: {opened}. Downloads are not kept.",
                    fields={"path": str(cache_root(self._request.env)), "reason": opened},
                )
            )
        return None

    def _obtainer(self, store: Store | None) -> Obtainer:
        from mesh_bundler.obtain import Obtainer

        return Obtainer(self._plan, store, limits=self._limits, checkpoint=self._checkpoint)

    def _notice(self, notice: Notice) -> None:
        if notice.level == "warning":
            self._warnings.append(notice)
        self._caller.on_notice(notice)

    def _remark(self, answer: Decision) -> None:
        for notice in answer.notices:
            if (notice.id, notice.text) not in self._said:
                self._said.add((notice.id, notice.text))
                self._notice(notice)

    def _locked(self, path: Path) -> AbstractContextManager[None]:
        from mesh_bundler import filelock  # most runs change nothing and need no lock

        return filelock.hold(
            path,
            timeout=self._request.lock_timeout or self._plan.settings.lock_timeout,
            waiting=self._waiting,
            cancelled=self._checkpoint,
        )

    def _waiting(self, holder: str, seconds: float) -> None:
        self._notice(
            Notice(
                "lock_waiting",
                f"Another bundler ({holder}) is at work here; waiting since {seconds:.0f} s.",
                level="info",
                fields={"holder": holder, "seconds": round(seconds)},
            )
        )

    def _checkpoint(self) -> None:
        if self._request.cancelled():
            raise Cancelled

    def _record(
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
        return Record(
            slot=self._plan.slot.file_name,
            triple=self._plan.target.triple,
            tool=self._plan.settings.name,
            stage_key=stage_key,
            source=source,
            pin=self._plan.pin.raw if isinstance(self._plan.pin, Pin) else None,
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

    def _kept(self, facts: Facts, keep: decision.Keep, answer: Decision) -> EnsureResult:
        noted = facts.record
        assert noted is not None
        assert facts.slot is not None
        if facts.slot.mtime_ns != noted.mtime_ns:  # touched, same bytes: remember the new time
            noted = replace(noted, mtime_ns=facts.slot.mtime_ns)
            with contextlib.suppress(Refused):
                self._plan.slot.refresh_record(noted)
        return self._from_record("current", noted, answer)

    def _from_record(
        self, outcome: str, noted: Record, answer: Decision, archive: Archive | None = None
    ) -> EnsureResult:
        asset: dict[str, object] | None = dict(noted.asset) if noted.asset is not None else None
        if asset is not None:
            asset |= {
                "resumed": archive is not None and archive.resumed,
                "from_cache": archive is not None and archive.from_cache,
            }
        return self._result(
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

    def _result(self, outcome: str, answer: Decision | None, **members: object) -> EnsureResult:
        return EnsureResult(
            outcome=outcome,
            slot=self._plan.slot.path,
            triple=self._plan.target.triple,
            platform=self._plan.target.platform.name,
            pin=self._plan.pin,
            warnings=tuple(self._warnings),
            duration_ms=round((time.monotonic() - self._began) * 1000),
            reasons=() if answer is None else answer.reasons,
            **members,  # type: ignore[arg-type]  # names and types are those of the fields
        )
