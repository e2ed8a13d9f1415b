"""From a file of this machine into the slot: an override, a sibling build, or a build made for the purpose."""

from __future__ import annotations

from pathlib import Path

from mesh_bundler import files, verify
from mesh_bundler import record as records
from mesh_bundler.errors import Exit, Refused
from mesh_common.files import open_regular
from mesh_common.versions import Reported, Unreadable, compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mesh_bundler.decision import BuildSource, Decision, StageFile
    from mesh_bundler.result import EnsureResult
    from mesh_bundler.run import Run
    from mesh_bundler.slot import Incoming


def stage_file(run: Run, stage: StageFile, answer: Decision) -> EnsureResult:
    """Copy an override or a sibling; a build that runs at the same time must not be copied half."""
    source, wanted = Path(stage.candidate.path), (stage.candidate.size, stage.candidate.mtime_ns)
    for attempt in (1, 2):
        with run.plan.slot.incoming() as temp:
            with files.explained(source), open_regular(source) as file:
                while data := file.read(files.CHUNK):
                    run.checkpoint()
                    temp.write(data)
                found = temp.finish()
            now = source.stat()
            if (now.st_size, now.st_mtime_ns) != wanted or found.size != now.st_size:
                if attempt == 1:
                    wanted = (now.st_size, now.st_mtime_ns)
                    continue
                break
            key, version = _recheck(run, stage, temp, wanted)
            note = run.record(key, stage.source, version, found)
            run.plan.slot.commit(temp, note, stage.marker)
        return run.from_record("staged", note, answer)
    raise Refused(
        "source_changed",
        Exit.FILES,
        f"{source} keeps changing while it is copied.",
        hint="Wait until its build has finished, then run again.",
        path=str(source),
    )


def _recheck(run: Run, stage: StageFile, temp: Incoming, wanted: tuple[int, int]) -> tuple[str, str | None]:
    """(stage key, version) of what was really copied, which may be newer than what was decided on."""
    candidate = stage.candidate
    if wanted == (candidate.size, candidate.mtime_ns):
        return stage.stage_key, stage.version
    reading = run.gather.probe(temp.path)
    version = str(reading.version) if isinstance(reading, Reported) else None
    if stage.source == "override":
        return records.override_key(candidate.path, wanted[1], wanted[0]), version
    verify.check_binary(temp.path, run.plan, "sibling")
    if not compare(run.plan.pin, reading, run.plan.policy.sibling_policy).matches or version is None:
        raise Refused(
            "source_changed",
            Exit.FILES,
            f"{candidate.path} was rebuilt while it was copied and is not the pinned daemon any more.",
            hint="Run again.",
            path=candidate.path,
        )
    return records.sibling_key(version, candidate.path, wanted[1], wanted[0]), version


def stage_build(run: Run, build: BuildSource, answer: Decision) -> EnsureResult:
    """Build the daemon from source and put it into the slot. Raises `Refused`, with the old content in place."""
    from mesh_bundler.source_build import built

    with built(run.plan, build, run.notice, run.checkpoint) as path, run.plan.slot.incoming() as temp:
        with files.explained(path), open_regular(path) as file:
            while data := file.read(files.CHUNK):
                temp.write(data)
            found = temp.finish()
        verify.check_binary(temp.path, run.plan, "source build")
        version = run.pinned_version
        if run.plan.runnable:
            reading = run.gather.probe(temp.path)
            if isinstance(reading, Unreadable) or (build.is_tag and not compare(run.plan.pin, reading).matches):
                raise Refused(
                    "version_mismatch",
                    Exit.VERSION,
                    f"The daemon built from {build.revision} does not report that version.",
                    hint="Nothing was staged. Check the pin.",
                )
            version = str(reading.version)
        note = run.record(build.stage_key, "source", version, found)
        run.plan.slot.commit(temp, note, None)
    return run.from_record("staged", note, answer)
