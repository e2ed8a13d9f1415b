"""A release archive that is known to be the right one (spec 09 §7.4, §7.5, §8).

From the store, a seed folder or the network, in that order; whatever the way, it is handed on only after its digest
came from somewhere trusted and agreed with the bytes on disk.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mesh_bundler import messages, parts, signature
from mesh_bundler.checksum import CHECKSUM_MAX_BYTES, parse_checksum_file
from mesh_bundler.client import Client
from mesh_bundler.errors import Exit, Notice, Refused
from mesh_bundler.fetch import Fetcher
from mesh_bundler.policy import rank
from mesh_bundler.store import name_key
from mesh_bundler.trust import Expected, Trust
from mesh_common.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh_bundler.client import Limits
    from mesh_bundler.lockfile import LockEntry
    from mesh_bundler.plan import Plan
    from mesh_bundler.store import Store

_POLL_ASSET = 20.0
"""Seconds between looks for an asset that is still being built."""
_NEXT_BASE = frozenset({"network", "tls", "asset_not_found", "release_not_found", "rate_limited"})


@dataclass(frozen=True, slots=True)
class Archive:
    """A verified archive on disk."""

    path: Path
    name: str
    sha256: str
    size: int
    url: str
    verified: str  # "lock" | "signature" | "checksum"
    key_id: str | None
    resumed: bool
    from_cache: bool
    checksum_from: str = "sidecar"


class Obtainer:
    """Gets one plan's asset, or another one (`asset`) that no lock entry is asked about.

    `store` may be None: then downloads live in a folder that goes away with this object.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store | None,
        *,
        limits: Limits | None = None,
        checkpoint: Callable[[], None] | None = None,
        fetcher: Fetcher | None = None,
        asset: str | None = None,
    ) -> None:
        request = plan.request
        self._plan, self._store = plan, store
        self._asset = asset or plan.asset
        self._entry: LockEntry | None = None if asset else plan.lock_entry
        self._notice = request.on_notice
        self._checkpoint = checkpoint or (lambda: None)
        self._limits = limits
        self._fetcher = fetcher
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._trust = Trust(plan, self._asset)

    def close(self) -> None:
        if self._fetcher is not None:
            self._fetcher.close()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def fetcher(self) -> Fetcher:
        """Made on first use: most runs need no network."""
        if self._fetcher is None:
            client = Client(
                self._plan.feed,
                token=self._plan.token,
                limits=self._limits,
                on_notice=self._notice,
                checkpoint=self._checkpoint,
                netrc=self._plan.request.netrc,
            )
            self._fetcher = Fetcher(client, self._plan.request.on_progress)
        return self._fetcher

    # ── without network ───────────────────────────────────────────────────────────────────────────────────────────────

    def at_hand(self, tag: str) -> Archive | None:
        """The archive from the store or the seed folder, if it satisfies today's demands."""
        return self._from_store(tag) or self._from_seed(tag)

    def _from_store(self, tag: str) -> Archive | None:
        if self._store is None:
            return None
        cached = (
            self._store.by_digest(self._entry.sha256) if self._entry is not None else self._store.by_name(self.key(tag))
        )
        if cached is None:
            return None
        level = "lock" if self._entry is not None else cached.verified
        if rank(level) < rank(self._plan.policy.floor):
            return None
        return Archive(
            cached.path,
            self._asset,
            cached.sha256,
            cached.path.stat().st_size,
            cached.url,
            level,
            cached.key_id,
            resumed=False,
            from_cache=True,
        )

    def _from_seed(self, tag: str) -> Archive | None:
        folder = self._plan.request.seed_dir
        if folder is None:
            return None
        path = next((path for path in (folder / self._asset, folder / tag / self._asset) if path.is_file()), None)
        if path is None:
            return None
        minisig = _read_optional(path.with_name(path.name + ".minisig"), signature.SIGNATURE_MAX_BYTES)
        sidecar = _read_optional(path.with_name(path.name + ".sha256"), CHECKSUM_MAX_BYTES)
        if self._entry is not None:
            expected: Expected | None = Expected(self._entry.sha256, "lock")
        else:
            expected = None if sidecar is None else Expected(parse_checksum_file(sidecar, self._asset), "sidecar")
        return self._judged(path, tag, path.as_uri(), expected, minisig, resumed=False, from_cache=True)

    # ── network ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def download(self, tag: str) -> Archive:
        """From the feed. Raises `Refused`: exit 6 when it cannot be had, 7 when it is not what it should be."""
        waited = 0.0
        while True:
            try:
                return self._download(tag)
            except Refused as refusal:
                patient = refusal.code in ("asset_not_found", "release_not_found", "checksum_missing")
                if not patient or waited >= self._plan.request.wait_for_asset:
                    raise
                self._notice(
                    Notice("asset_awaited", f"{refusal.message} Looking again in {_POLL_ASSET:.0f} s.", level="info")
                )
                self.fetcher.pause(_POLL_ASSET)
                waited += _POLL_ASSET

    def _download(self, tag: str) -> Archive:
        first: Refused | None = None
        for base in self._plan.feed.bases:
            try:
                return self._download_from(tag, base)
            except Refused as refusal:
                if refusal.code not in _NEXT_BASE:
                    raise
                first = first or refusal
                if base != self._plan.feed.bases[-1]:
                    self._notice(
                        Notice("mirror_tried", f"{refusal.message} The next mirror is tried.", fields={"base": base})
                    )
        assert first is not None
        raise self._with_way_out(first, tag)

    def _with_way_out(self, refusal: Refused, tag: str) -> Refused:
        """Without network the way out is another machine's network: name the file, its digest and where it goes."""
        if refusal.code not in ("network", "tls", "rate_limited"):
            return refusal
        miss = self._plan.offline_miss(tag)
        return Refused(
            refusal.code, refusal.exit_code, refusal.message, hint=f"{refusal.hint} {miss.hint}", **refusal.detail
        )

    def _download_from(self, tag: str, base: str) -> Archive:
        urls = self._plan.feed.urls(tag, self._asset, base)
        size = None if self._entry is None else self._entry.size
        known = "" if size is None else f" ({size / 1e6:.1f} MB)"
        self._notice(
            Notice(
                "release_fetch",
                f"Fetching {self._asset} {tag}{known} from {_host(base)}.",
                level="info",
                fields={"host": _host(base), "asset": self._asset, "size": size, "url": urls.archive},
            )
        )
        minisig = self._signature(tag, base) if self._trust.keys else None
        expected, url, accept = self._expected(tag, base, urls.archive, signed=minisig is not None)
        for fresh in (False, True):
            done = self.fetcher.download(
                url, self._part(tag, expected), asset=self._asset, size=size, fresh=fresh, accept=accept
            )
            try:
                archive = self._judged(
                    done.path, tag, urls.archive, expected, minisig, resumed=done.resumed, from_cache=False
                )
            except Refused as refusal:
                parts.drop(done.path)
                if refusal.code != "checksum_mismatch" or fresh:
                    raise self._explained(refusal, tag, base) from None
                self._notice(
                    Notice("checksum_retry", f"{refusal.message} It is fetched once more, from scratch.", level="info")
                )
            else:
                self._compare_sidecar(tag, archive)
                return self._stored(archive, tag)
        raise AssertionError("unreachable: the second download returns or raises")

    def _expected(
        self, tag: str, base: str, archive_url: str, *, signed: bool
    ) -> tuple[Expected | None, str, str | None]:
        """(digest to hold the bytes to, where to download, Accept header)."""
        if self._entry is not None:
            return Expected(self._entry.sha256, "lock"), archive_url, None
        canonical = self._plan.feed.urls(tag, self._asset)
        trusted = base == self._plan.feed.canonical or self._plan.request.trust_mirror_checksums
        checksum_url = self._plan.feed.urls(tag, self._asset, base).checksum if trusted else canonical.checksum
        sidecar = self.fetcher.small(checksum_url, CHECKSUM_MAX_BYTES)
        if sidecar is not None:
            return Expected(parse_checksum_file(sidecar, self._asset), "sidecar"), archive_url, None
        described = self.fetcher.release_asset(tag, self._asset)
        if described is not None and described.sha256 is not None:
            return (
                Expected(described.sha256, "api_digest"),
                archive_url if self.fetcher.exists(archive_url) else described.url,
                None if self.fetcher.exists(archive_url) else "application/octet-stream",
            )
        if self.fetcher.exists(archive_url) is False:
            raise self.fetcher.missing(archive_url, self._asset)
        if signed:
            return None, archive_url, None
        raise Refused(
            "checksum_missing",
            Exit.INTEGRITY,
            f"{self._asset} at {tag} has no checksum beside it, so it cannot be verified.",
            hint="Nothing was staged. Write a lock file on a machine that trusts it, or wait with --wait-for-asset.",
            asset=self._asset,
            tag=tag,
            url=checksum_url,
        )

    def _signature(self, tag: str, base: str) -> bytes | None:
        url = self._plan.feed.urls(tag, self._asset, base).signature
        return self.fetcher.small(url, signature.SIGNATURE_MAX_BYTES)

    def _compare_sidecar(self, tag: str, archive: Archive) -> None:
        """With a lock the publisher's checksum decides nothing; that it differs is worth a remark."""
        if archive.verified != "lock":
            return
        if (theirs := self.published_digest(tag)) is not None and theirs != archive.sha256:
            self._notice(
                Notice(
                    "checksum_sidecar_differs",
                    f"The lock file vouches for {self._asset}, but the release's own checksum differs ({theirs}).",
                    fields={"asset": self._asset, "sha256": theirs},
                )
            )

    def published_digest(self, tag: str) -> str | None:
        """What the release itself says now; None when it does not, or cannot be asked."""
        url = self._plan.feed.urls(tag, self._asset).checksum
        try:
            sidecar = self.fetcher.small(url, CHECKSUM_MAX_BYTES, attempts=1)
            return None if sidecar is None else parse_checksum_file(sidecar, self._asset)
        except Refused:
            return None

    def _explained(self, refusal: Refused, tag: str, base: str) -> Refused:
        """Tell bytes that were replaced after locking from bytes that were damaged on the way."""
        if refusal.code != "checksum_mismatch" or self._entry is None:
            return refusal
        if self.published_digest(tag) != refusal.detail.get("actual"):
            return refusal
        return Refused(
            "checksum_mismatch",
            Exit.INTEGRITY,
            f"{self._asset} at {tag} was replaced after locking: the release now says {refusal.detail.get('actual')}, "
            f"the lock file {self._entry.sha256}.",
            hint="Nothing was staged. Ask the publisher why; then run mesh-bundler lock and review the change.",
            **refusal.detail,
            base=base,
        )

    def _judged(
        self,
        path: Path,
        tag: str,
        url: str,
        expected: Expected | None,
        minisig: bytes | None,
        *,
        resumed: bool,
        from_cache: bool,
    ) -> Archive:
        """The archive at `path`, when it may be trusted."""
        judged = self._trust.judge(path, tag, expected, minisig)
        if judged.level == "checksum":
            self._notice(messages.unsigned_release(self._asset))
        return Archive(
            path,
            self._asset,
            judged.sha256,
            judged.size,
            url,
            judged.level,
            judged.key_id,
            resumed=resumed,
            from_cache=from_cache,
            checksum_from="computed" if expected is None else expected.source,
        )

    # ── places ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def key(self, tag: str) -> str:
        """Name of this asset in the store."""
        return name_key(self._plan.feed.canonical, tag, self._asset)

    def _part(self, tag: str, expected: Expected | None) -> Path:
        key = expected.sha256 if expected is not None and expected.source == "lock" else self.key(tag)
        if self._store is not None:
            return self._store.part_path(key)
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="mesh-bundler-")
        return Path(self._folder.name) / f"{key}.part"

    def _stored(self, archive: Archive, tag: str) -> Archive:
        """Move into the store; a store that cannot take it costs the cache, not the run."""
        if self._store is None:
            return archive
        try:
            cached = self._store.put(
                archive.path,
                archive.sha256,
                key=self.key(tag),
                verified="checksum" if archive.verified == "lock" else archive.verified,
                key_id=archive.key_id,
                url=archive.url,
            )
        except OSError as error:
            self._notice(
                Notice("cache_unusable", f"The download was not kept in the cache: {error.strerror}.", level="info")
            )
            return archive
        parts.drop(archive.path)
        return Archive(
            cached.path,
            archive.name,
            archive.sha256,
            archive.size,
            archive.url,
            archive.verified,
            archive.key_id,
            resumed=archive.resumed,
            from_cache=False,
            checksum_from=archive.checksum_from,
        )


def _read_optional(path: Path, limit: int) -> bytes | None:
    try:
        return read_regular(path, limit + 1)
    except OSError:
        return None


def _host(base: str) -> str:
    return base.split("//", 1)[-1].split("/", 1)[0] or base
