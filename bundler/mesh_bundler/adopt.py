"""A slot that another bundler filled: taken over when it is what its marker says (spec 09 §6.1)."""

from __future__ import annotations

from mesh_bundler import files, header
from mesh_bundler.record import SlotFacts
from mesh_common.versions import Reported, compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mesh_bundler.decision import Facts
    from mesh_bundler.record import Record
    from mesh_bundler.run import Run


def adopt(run: Run, facts: Facts, key: str) -> Record | None:
    """Our record for a slot that another bundler filled, or None when it is not what its marker says."""
    assert facts.slot is not None
    path = run.plan.slot.path
    try:
        found = header.inspect(path)
    except (header.BadHeader, OSError):
        return None
    if header.misfit(found, run.plan.target.platform) is not None or facts.slot.size < header.MIN_BINARY_BYTES:
        return None
    digest = files.sha256_of(path)
    if facts.lock_binary_sha256 is not None and digest != facts.lock_binary_sha256:
        return None
    version = run.pinned_version
    if run.plan.runnable:
        reading = run.gather.probe(path)
        if not compare(run.plan.pin, reading).matches:
            return None
        version = str(reading.version) if isinstance(reading, Reported) else version
    elif facts.lock_binary_sha256 is None:
        return None  # neither its version nor its digest can be checked here
    level = "lock" if facts.lock_binary_sha256 is not None else "none"
    note = run.record(key, "release", version, SlotFacts(facts.slot.size, facts.slot.mtime_ns, digest), verified=level)
    run.plan.slot.refresh_record(note)
    return note
