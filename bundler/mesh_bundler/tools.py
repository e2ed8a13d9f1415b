"""The commands beside `ensure`: lock, verify, probe, which, platforms, fetch, clean (spec 09 §9)."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mesh_bundler import files, header
from mesh_bundler.errors import Exit, Notice, Refused
from mesh_bundler.lockfile import LOCK_MAX_BYTES, Lock, LockEntry, out_of_date, parse_lock
from mesh_bundler.messages import commit_has_no_release, pin_missing
from mesh_bundler.obtain import Obtainer
from mesh_bundler.plan import make_plan
from mesh_bundler.store import Store, cache_root
from mesh_bundler.target import PLATFORMS, check_availability
from mesh_common.files import read_regular, write_atomically
from mesh_common.pins import Pin
from mesh_common.probe import probe
from mesh_common.versions import Unreadable, compare

if TYPE_CHECKING:
    from pathlib import Path

    from mesh_bundler.obtain import Archive
    from mesh_bundler.plan import Plan
    from mesh_bundler.request import EnsureRequest
    from mesh_bundler.target import Platform


@dataclass(frozen=True, slots=True)
class LockReport:
    """What stands in the lock file now, or should: a state for each platform."""

    lock: Path
    pin: str | None
    platforms: dict[str, str]

    def to_json(self) -> dict[str, object]:
        return {"format": 1, "lock": str(self.lock), "pin": self.pin, "platforms": self.platforms}


def write_lock(request: EnsureRequest, names: tuple[str, ...]) -> LockReport:
    """Download, verify and note every platform's asset at the pin; write the lock file. Raises `Refused`."""
    plan = make_plan(request, ignore_lock=True)
    pin = _release_pin(plan)
    old = _read_lock(plan)
    states: dict[str, str] = {}
    assets: dict[str, LockEntry] = {}
    for platform in _platforms(plan, names):
        try:
            archive = _obtain(plan, platform)
        except Refused as refused:
            if names or plan.settings.platforms or refused.code not in ("asset_not_found", "asset_not_in_release"):
                raise
            states[platform.name] = "not in this release"
            continue
        assets[platform.name] = _entry(plan, platform, archive)
        states[platform.name] = f"{archive.sha256} ({archive.verified})"
    if not assets:
        raise Refused(
            "asset_not_found", Exit.NETWORK, f"Release {pin.tag} has no asset at all.", hint="Check pin and feed."
        )
    same_pin = old is not None and old.pin == pin.tag
    kept = old.assets if old is not None and same_pin and names else {}
    lock = Lock(
        plan.settings.name,
        pin.tag or "",
        plan.feed.repo,
        {**kept, **assets},
        old.trusted_keys if old is not None else (),
        old.extra if old is not None else {},
    )
    path = _lock_path(plan)
    with files.explained(path):
        write_atomically(path, lock.to_bytes(), mode=0o644)
    return LockReport(path, pin.tag, states)


def check_lock(request: EnsureRequest, names: tuple[str, ...]) -> LockReport:
    """Does the lock fit the pin, cover every platform and, online, the release? Raises `Refused` when not."""
    plan = make_plan(request, check=True)
    pin = _release_pin(plan)
    lock = plan.lock
    if lock is None:
        raise Refused(
            "lock_missing",
            Exit.NOT_CURRENT,
            f"There is no lock file {_lock_path(plan)}.",
            hint="Write it with mesh-bundler lock and commit it.",
        )
    if lock.pin != pin.tag:
        raise out_of_date(lock.pin, pin.tag or "", Exit.NOT_CURRENT)
    wanted = names or plan.settings.platforms or tuple(lock.assets)
    missing = [name for name in wanted if name not in lock.assets]
    if missing:
        raise Refused(
            "lock_incomplete",
            Exit.NOT_CURRENT,
            f"The lock file lacks {', '.join(missing)}.",
            hint="Write it anew with mesh-bundler lock.",
            missing=missing,
        )
    states = {name: lock.assets[name].sha256 for name in wanted}
    if not plan.offline:
        for name in wanted:
            _compare_live(plan, PLATFORMS[name], lock.assets[name], pin.tag or "")
    return LockReport(_lock_path(plan), pin.tag, states)


def verify_file(request: EnsureRequest, path: Path) -> dict[str, object]:
    """Hold any file against target, pin and lock. Raises `Refused` with exit 7 or 8."""
    plan = make_plan(request)
    with files.explained(path):
        digest, size = files.sha256_of(path), path.stat().st_size
        try:
            found = header.inspect(path)
        except header.BadHeader as bad:
            raise Refused(
                bad.code, Exit.INTEGRITY, f"{path} is not an executable ({bad.code}).", hint="Stage it again."
            ) from None
    wanted = header.misfit(found, plan.target.platform)
    if wanted is not None:
        raise Refused(
            "wrong_target", Exit.INTEGRITY, f"{path} is built for {found}; {wanted} is wanted.", hint="Stage it again."
        )
    locked = plan.lock_entry.binary_sha256 if plan.lock_entry is not None else None
    if locked is not None and locked != digest:
        raise Refused(
            "checksum_mismatch",
            Exit.INTEGRITY,
            f"{path} has SHA-256 {digest}, the lock file says {locked}.",
            hint="Something changed it after staging (a packager that strips or signs?), or it is another file.",
        )
    version = None
    if plan.runnable:
        reading = probe(path, program=plan.settings.program)
        verdict = compare(plan.pin, reading)
        version = verdict.version
        if not verdict.matches and isinstance(plan.pin, Pin):
            raise Refused(
                "version_mismatch",
                Exit.VERSION,
                f"{path} reports {version or 'no version (' + str(verdict.reason) + ')'}; the pin is {plan.pin.label}.",
                hint="Stage it again with mesh-bundler ensure.",
            )
    return {
        "format": 1,
        "path": str(path),
        "header": str(found),
        "version": version,
        "sha256": digest,
        "size": size,
        "locked": locked is not None,
    }


def probe_file(request: EnsureRequest, path: Path) -> dict[str, object]:
    """What a binary says about itself; never raises for what it does."""
    reading = probe(path.absolute(), program="myownmesh", timeout=request.probe_timeout or 10.0)
    if isinstance(reading, Unreadable):
        return {"format": 1, "version": None, "reason": reading.reason, "detail": reading.detail}
    return {"format": 1, "version": str(reading.version), "reason": None, "detail": " ".join(reading.commits)}


def which(request: EnsureRequest) -> dict[str, object]:
    """What lies in the slot, from its record. Raises `Refused` when nothing does."""
    plan = make_plan(replace(request, skip=True))
    facts, noted = plan.slot.facts(), plan.slot.record()
    if facts is None or facts.size == 0:
        raise Refused(
            "slot_empty",
            Exit.NOT_CURRENT,
            f"{plan.slot.path} holds no daemon.",
            hint="Stage one with mesh-bundler ensure.",
        )
    fits = noted is not None and noted.size == facts.size
    return {
        "format": 1,
        "path": str(plan.slot.path),
        "version": noted.version if noted is not None and fits else None,
        "source": noted.source if noted is not None and fits else None,
        "verified": noted.verified if noted is not None and fits else None,
    }


def platforms(request: EnsureRequest) -> list[dict[str, object]]:
    """Every platform and whether the pinned release has it, as far as that is known without network."""
    plan = make_plan(replace(request, skip=True))
    rows: list[dict[str, object]] = []
    for platform in PLATFORMS.values():
        available = "unknown"
        if isinstance(plan.pin, Pin) and plan.pin.version is not None and plan.feed.is_reference:
            try:
                check_availability(platform, plan.pin.version)
                available = "yes"
            except Refused:
                available = f"since {platform.since}"
        asset = platform.asset(plan.settings.name, plan.settings.asset_template)
        rows.append({"platform": platform.name, "triple": platform.triple, "asset": asset, "available": available})
    return rows


def fetch(request: EnsureRequest, platform_name: str, output: Path) -> dict[str, object]:
    """Put a verified asset and its checksum into a folder, ready for `--seed-dir` elsewhere."""
    platform = PLATFORMS.get(platform_name)
    if platform is None:
        raise Refused(
            "unknown_platform",
            Exit.TARGET,
            f"There is no platform {platform_name!r}.",
            hint="Known: " + ", ".join(PLATFORMS) + ".",
        )
    plan = make_plan(replace(request, target=platform.triple))
    archive = _obtain(plan, platform, output)
    path = output / archive.name
    sidecar = f"{archive.sha256}  {archive.name}\n".encode()
    with files.explained(path):
        write_atomically(path.with_name(path.name + ".sha256"), sidecar, mode=0o644)
    return {"format": 1, "path": str(path), "size": archive.size, "sha256": archive.sha256}


def clean(request: EnsureRequest, older_than: float) -> dict[str, object]:
    """Drop cache entries that were not used for this many seconds."""
    root = cache_root(request.env)
    return {"format": 1, "path": str(root), "removed": Store(root).clean(older_than) if root.is_dir() else 0}


# ── helpers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _release_pin(plan: Plan) -> Pin:
    if not isinstance(plan.pin, Pin):
        raise pin_missing(plan.pin.reason)
    if plan.pin.tag is None:
        raise commit_has_no_release(plan.pin.raw, plan.policy.override_variable)
    return plan.pin


def _platforms(plan: Plan, names: tuple[str, ...]) -> list[Platform]:
    wanted = names or plan.settings.platforms or tuple(PLATFORMS)
    unknown = [name for name in wanted if name not in PLATFORMS]
    if unknown:
        raise Refused(
            "unknown_platform",
            Exit.TARGET,
            f"There is no platform {', '.join(unknown)}.",
            hint="Known: " + ", ".join(PLATFORMS) + ".",
        )
    return [PLATFORMS[name] for name in wanted]


def _obtain(plan: Plan, platform: Platform, keep_in: Path | None = None) -> Archive:
    """The verified asset of one platform, whatever the lock says about it today."""
    pin = _release_pin(plan)
    assert pin.version is not None
    if plan.feed.is_reference:
        check_availability(platform, pin.version)
    opened = Store.open(cache_root(plan.request.env))
    asset = platform.asset(plan.settings.name, plan.settings.asset_template)
    obtainer = Obtainer(plan, opened if isinstance(opened, Store) else None, asset=asset)
    try:
        archive = obtainer.at_hand(pin.tag or "") or obtainer.download(pin.tag or "")
        if keep_in is not None:
            with files.explained(keep_in):
                keep_in.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(archive.path, keep_in / archive.name)
        if keep_in is None and not isinstance(opened, Store):
            raise Refused(
                "cache_refused", Exit.FILES, f"The cache is needed to lock: {opened}.", hint="Set MYOWNMESH_CACHE_DIR."
            )
        return archive
    finally:
        obtainer.close()


def _entry(plan: Plan, platform: Platform, archive: Archive) -> LockEntry:
    from mesh_bundler.extract import extract

    digest, size = hashlib.sha256(), 0

    def take(data: bytes) -> None:
        nonlocal size
        digest.update(data)
        size += len(data)

    extract(archive.path, plan.settings.program + platform.exe, take)
    return LockEntry(
        archive.name,
        archive.size,
        archive.sha256,
        digest.hexdigest(),
        size,
        None if archive.key_id is None else f"minisign:{archive.key_id}",
        archive.checksum_from,
    )


def _compare_live(plan: Plan, platform: Platform, entry: LockEntry, tag: str) -> None:
    asset = platform.asset(plan.settings.name, plan.settings.asset_template)
    obtainer = Obtainer(plan, None, asset=asset)
    try:
        live = obtainer.published_digest(tag)
    finally:
        obtainer.close()
    if live is None:
        plan.request.on_notice(Notice("lock_not_compared", f"{asset}: the release gives no checksum to compare with."))
    elif live != entry.sha256:
        raise Refused(
            "checksum_mismatch",
            Exit.INTEGRITY,
            f"{asset} at {tag} was replaced after locking: the release says {live}, the lock file {entry.sha256}.",
            hint="Ask the publisher why; then run mesh-bundler lock and review the change.",
            asset=asset,
        )


def _read_lock(plan: Plan) -> Lock | None:
    try:
        return parse_lock(read_regular(_lock_path(plan), LOCK_MAX_BYTES + 1))
    except (OSError, Refused):
        return None


def _lock_path(plan: Plan) -> Path:
    assert plan.request.repo_root is not None
    return plan.request.repo_root / plan.settings.lock_file
