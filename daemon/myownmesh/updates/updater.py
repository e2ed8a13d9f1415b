"""Looking, staging, putting in and back, as a command does it (spec 09 §10.3 to §10.6). Blocking."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mesh_common.answers import UpdateChecked
from mesh_common.locks import FileLock
from mesh_common.version import VERSION
from myownmesh.updates import rules, swap
from myownmesh.updates.decision import Verdict, decide
from myownmesh.updates.errors import Unfit, UpdateError
from myownmesh.updates.offers import FeedError, asset_name, newest, read_feed
from myownmesh.updates.preferences import feed_of, is_on, why_not
from myownmesh.updates.records import Failures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mesh_bundler.fetch import Fetcher
    from mesh_bundler.progress import Progress
    from mesh_bundler.target import Platform
    from myownmesh.store.config import AutoUpdate
    from myownmesh.updates.installation import Installation
    from myownmesh.updates.offers import Offer
    from myownmesh.updates.place import Place
    from myownmesh.updates.records import Staged, State

DOWNLOAD_WAIT_S = 700.0
"""For another process that downloads; what it fetched is then here."""


class Updater:
    """One installation's updates."""

    def __init__(
        self,
        place: Place,
        installation: Installation,
        preferences: AutoUpdate,
        environ: Mapping[str, str],
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._place, self._installation, self._preferences = place, installation, preferences
        self._environ, self._on_progress = environ, on_progress
        self._feed = feed_of(preferences)

    # ── looking ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def check(self) -> UpdateChecked:
        """Look at the feed, and stage what the policy permits. Raises `UpdateError`; the failure is noted."""
        if not is_on(self._preferences, self._environ):
            return UpdateChecked("disabled")
        return self._look(self._preferences.auto_apply, force=False)

    def fetch(self, *, force: bool) -> UpdateChecked:
        """The same whatever the policy and the switch say; `force`: a quarantined version, too."""
        return self._look("all", force=force)

    def _look(self, policy: str, *, force: bool) -> UpdateChecked:
        if (kept := why_not(self._installation, self._feed)) is not None:
            return UpdateChecked("package_manager", detail=kept)
        try:
            found = self._looked(policy, force=force)
        except (UpdateError, OSError) as error:
            before = self._place.failures()
            self._place.write(Failures(before.count + 1, int(time.time()), str(error)))
            raise
        self._place.checked(time.time())
        return found

    def _looked(self, policy: str, *, force: bool) -> UpdateChecked:
        from mesh_bundler import host
        from mesh_bundler.errors import Refused
        from mesh_bundler.target import detect
        from myownmesh.updates import obtain

        try:
            platform = detect(host.gather()).platform
        except Refused as refusal:
            raise UpdateError(refusal.message) from refusal
        asset = asset_name(platform.name, folder=self._installation.folder)
        state = self.state()
        with obtain.fetcher(self._feed.url, self._environ, self._on_progress) as fetching:
            try:
                offer = newest(self._preferences.channel, read_feed(obtain.read_feed(fetching, self._feed.url)), asset)
            except FeedError as error:
                if error.code != "invalid_candidate":
                    raise UpdateError(str(error)) from error
                return UpdateChecked("up_to_date", current=state.current, detail=str(error))
            verdict = decide(
                policy=policy,
                current=state.current,
                candidate=str(offer.version),
                channel=self._preferences.channel,
                quarantined=() if force else [row.version for row in state.quarantine],
            )
            answer = _answer(verdict, state.current, offer, policy, asset)
            if answer is not None:
                return answer
            if force and state.quarantined(str(offer.version)):
                with self._place.lock():
                    self._place.write(self.state().without_quarantined(str(offer.version)))
            auto = verdict is Verdict.STAGE_AND_APPLY
            with self._alone():
                staged = self._already(offer, auto=auto) or self._stage(fetching, offer, asset, platform, auto=auto)
        return UpdateChecked("staged", version=staged.version, verified=staged.verified, auto=staged.auto)

    def _already(self, offer: Offer, *, auto: bool) -> Staged | None:
        from dataclasses import replace
        from pathlib import Path

        staged = self._place.staged()
        if staged is None or staged.version != str(offer.version) or not Path(staged.path).exists():
            return None
        if staged.target_mtime_ns != self._installation.program.stat().st_mtime_ns:
            return None
        if staged.auto != auto:
            staged = replace(staged, auto=auto)
            self._place.write(staged)
        return staged

    def _stage(self, fetching: Fetcher, offer: Offer, asset: str, platform: Platform, *, auto: bool) -> Staged:
        from mesh_bundler.errors import Refused
        from myownmesh.updates import obtain, staging

        version = str(offer.version)
        self._discard()
        self._place.sweep(keep=version)
        folder = self._place.version_folder(version)
        folder.mkdir(mode=0o700, exist_ok=True)
        obtained = obtain.obtain(fetching, offer, asset, folder, self._environ)
        try:
            return staging.stage(
                self._place, self._installation, obtained, version=version, asset=asset, platform=platform, auto=auto
            )
        except (Unfit, Refused) as error:  # an archive that breaks a rule, too, is the same the next time
            state = self.state().with_quarantined(version, str(error), time.time())
            self._place.write(state)
            self._place.sweep(keep=None)  # it is never asked for again, and as large as the program
            raise

    def _alone(self) -> FileLock:
        """One process downloads; the lock of the swap stays free meanwhile."""
        self._place.make()
        lock = FileLock(self._place.root / ".download-lock")
        lock.acquire(wait=DOWNLOAD_WAIT_S)
        return lock

    # ── putting in and back ───────────────────────────────────────────────────────────────────────────────────────────

    def apply(self) -> str | None:
        """Put in what is staged; None when nothing is.

        Raises `UpdateError`, OSError; the program is then what it was.
        """
        if self._place.staged() is None:
            return None
        if (kept := why_not(self._installation, self._feed)) is not None:
            raise UpdateError(f"the staged version stays where it is: {kept}")
        with self._place.lock():
            staged, state = self._place.staged(), self.state()
            if staged is None or not swap.fits(self._place, self._installation, staged, state):
                return None
            try:
                swap.put_in(self._place, self._installation, staged, state)
            except swap.Altered as error:
                swap.refuse(self._place, self._installation, staged, state, str(error))
                raise
            return staged.version

    def roll_back(self) -> tuple[str, str]:
        """Bring the version before this one back; answers (from, to). Raises `UpdateError`, OSError."""
        with self._place.lock():
            state = self.state()
            if state.previous is None or not swap.way_back(self._installation, state):
                raise UpdateError("there is no version before this one here")
            after = rules.rolled_back(state, "a person went back from it", time.time())
            swap.put_back(self._place, self._installation, after)
            return state.current, after.current

    def state(self) -> State:
        """Of the version that is in place on the disk, which a daemon that runs may not be yet."""
        return rules.in_place(self._place.state(), self._installation.version_on_disk() or VERSION)

    def _discard(self) -> None:
        staged = self._place.staged()
        if staged is not None:
            swap.discard(self._place, self._installation, staged)


def _answer(verdict: Verdict, current: str, offer: Offer, policy: str, asset: str) -> UpdateChecked | None:
    """What is told when nothing is staged; None when something is."""
    latest = str(offer.version)
    match verdict:
        case Verdict.UP_TO_DATE:
            return UpdateChecked("up_to_date", current=current, latest=latest)
        case Verdict.IGNORED_PRERELEASE:
            why = f"{latest} is a pre-release, and the channel is stable"
        case Verdict.QUARANTINED:
            why = f"{latest} was here and did not work; `myownmesh update --force` takes it all the same"
        case Verdict.INVALID_CANDIDATE:
            why = f"{latest} cannot be compared with {current}"
        case Verdict.POLICY_BLOCKED:
            return UpdateChecked("policy_blocked", current=current, latest=latest, policy=policy)
        case _:
            if offer.has(asset):
                return None
            why = f"{latest} has nothing for this machine yet ({asset})"
    return UpdateChecked("up_to_date", current=current, latest=latest, detail=why)
