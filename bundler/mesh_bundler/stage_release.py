"""From a release into the slot: an archive at hand or fetched, and one member of it (spec 09 §5 row 5)."""

from __future__ import annotations

import contextlib

from mesh_bundler import files, verify
from mesh_bundler.errors import Exit, Notice, Refused
from mesh_bundler.extract import extract
from mesh_bundler.obtain import Obtainer
from mesh_common.pins import Pin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mesh_bundler.client import Limits
    from mesh_bundler.decision import Decision, StageRelease
    from mesh_bundler.obtain import Archive
    from mesh_bundler.result import EnsureResult
    from mesh_bundler.run import Run
    from mesh_bundler.store import Store


@contextlib.contextmanager
def obtaining(run: Run, store: Store | None, limits: Limits | None) -> Iterator[Obtainer]:
    """Who gets archives for this run; its connections and folders end with the block."""
    obtainer = Obtainer(run.plan, store, limits=limits, checkpoint=run.checkpoint)
    try:
        yield obtainer
    finally:
        obtainer.close()


def stage_release(run: Run, obtainer: Obtainer, stage: StageRelease, answer: Decision) -> EnsureResult:
    """The release in the slot, or `Refused` with what stood in the way."""
    archive = obtainer.at_hand(stage.tag)
    if archive is None and run.plan.offline:
        raise run.plan.offline_miss(stage.tag)
    if archive is None:
        archive = _download_once(run, obtainer, stage.tag)
    try:
        return _unpack(run, archive, stage, answer)
    except Refused as refusal:
        if refusal.exit_code in (Exit.INTEGRITY, Exit.VERSION):
            store = run.store()
            if store is not None:
                store.forget(archive.sha256)  # never offered again; the next run fetches afresh
        raise


def _download_once(run: Run, obtainer: Obtainer, tag: str) -> Archive:
    """Two checkouts that want the same asset make one download: the second finds it in the store."""
    store = run.store()
    if store is None:
        return obtainer.download(tag)
    with run.locked(store.lock_path(obtainer.key(tag))):
        return obtainer.at_hand(tag) or obtainer.download(tag)


def _unpack(run: Run, archive: Archive, stage: StageRelease, answer: Decision) -> EnsureResult:
    with run.plan.slot.incoming() as temp:
        with files.explained(temp.path):
            ignored = extract(archive.path, run.plan.member, temp.write)
            found = temp.finish()
        if ignored:
            names = ", ".join(ignored)
            run.notice(Notice("members_ignored", f"The archive also holds {names}; ignored.", level="note"))
        verify.check_binary(temp.path, run.plan, "release")
        locked = run.plan.lock_entry.binary_sha256 if run.plan.lock_entry is not None else None
        if locked is not None and locked != found.sha256:
            raise Refused(
                "binary_differs_from_lock",
                Exit.INTEGRITY,
                f"The daemon in {archive.name} is not the one that the lock file names.",
                hint="Nothing was staged. Write the lock file anew with mesh-bundler lock and review the change.",
            )
        version = verify.check_version(temp.path, archive, run.plan, run.gather)
        note = run.record(
            stage.stage_key,
            "release",
            version,
            found,
            asset={"name": archive.name, "sha256": archive.sha256, "url": archive.url},
            verified=archive.verified,
            key_id=archive.key_id,
        )
        run.checkpoint()
        run.plan.slot.commit(temp, note, run.plan.pin.raw if isinstance(run.plan.pin, Pin) else None)
    return run.from_record("staged", note, answer, archive)
