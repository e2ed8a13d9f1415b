"""The last look at a daemon before it may enter the slot: its header and its own word (spec 09 §6.3 step 3)."""

from __future__ import annotations

from mesh_bundler import header
from mesh_bundler.errors import Exit, Notice, Refused
from mesh_common.pins import Pin
from mesh_common.versions import Unreadable, compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from mesh_bundler.gather import Gatherer
    from mesh_bundler.obtain import Archive
    from mesh_bundler.plan import Plan


def check_binary(path: Path, plan: Plan, source: str) -> None:
    """Refuse (exit 7) what is no executable for the target; nothing is run to find out."""
    try:
        found = header.inspect(path)
    except header.BadHeader as bad:
        raise Refused(
            bad.code,
            Exit.INTEGRITY,
            f"The daemon from the {source} is not an executable for any machine we know ({bad.code}).",
            hint="Nothing was staged. Report this to whoever published it.",
        ) from None
    wanted = header.misfit(found, plan.target.platform)
    if wanted is not None:
        raise Refused(
            "wrong_target",
            Exit.INTEGRITY,
            f"The daemon from the {source} is built for {found}; {wanted} is wanted.",
            hint="Nothing was staged. The asset was published under the wrong name; report it.",
        )


def check_version(path: Path, archive: Archive, plan: Plan, gather: Gatherer) -> str:
    """The version that the unpacked daemon prints, which must be the pin's (else exit 8).

    Without running it (another machine's daemon, or `--no-exec` with a lock or signature) it is the pin's.
    """
    assert isinstance(plan.pin, Pin)
    assert plan.pin.version is not None
    trusted = plan.request.no_exec and archive.verified in ("lock", "signature")
    if not plan.runnable or trusted:
        why = "--no-exec" if trusted else f"it is for {plan.target.triple}, not for this machine"
        text = f"{archive.name} was not run ({why}). Its version is known by {archive.verified} only."
        plan.request.on_notice(Notice("version_not_asked", text, level="note"))
        return str(plan.pin.version)
    reading = gather.probe(path)
    verdict = compare(plan.pin, reading)
    if verdict.matches:
        return verdict.version or str(plan.pin.version)
    said = verdict.version or f"no version ({verdict.reason})"
    detail = f" {reading.detail[-200:]}" if isinstance(reading, Unreadable) and reading.detail else ""
    raise Refused(
        "version_mismatch",
        Exit.VERSION,
        f"The daemon from {archive.url} reports {said}; the pin is {plan.pin.label}.{detail}",
        hint="Nothing was staged. If this machine cannot run it (noexec, missing loader), lock it and use --no-exec.",
        actual=verdict.version,
        reason=verdict.reason,
        pin=plan.pin.label,
        url=archive.url,
    )
