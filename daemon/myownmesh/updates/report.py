"""Where the updater stands, for `update_status` (spec 05 §16, 09 §10.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh_common.answers import UpdateStatus
from myownmesh.updates.preferences import feed_of, is_on, why_not

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.store.config import AutoUpdate
    from myownmesh.updates.installation import Installation
    from myownmesh.updates.place import Place


def status(
    place: Place, installation: Installation, preferences: AutoUpdate, environ: Mapping[str, str], version: str
) -> UpdateStatus:
    """What the updater is set to and where it stands. Reads small files; never raises."""
    feed, state, staged, failures = feed_of(preferences), place.state(), place.staged(), place.failures()
    kept = why_not(installation, feed)
    return UpdateStatus(
        current_version=version,
        install_kind="raw" if kept is None else "package_manager",
        enabled=is_on(preferences, environ),
        channel=preferences.channel,
        auto_apply=preferences.auto_apply,
        check_interval_hours=preferences.check_interval_hours,
        last_check_at=place.last_check(),
        staged_version=place.foreign_version() if staged is None else staged.version,
        release_url=feed.url,
        release_url_overridden=feed.overridden,
        detail=kept or failures.reason or None,
        rolled_back_from=None if state is None else state.rolled_back_from,
        verified=staged.verified if staged is not None else None if state is None else state.verified,
        previous=None if state is None else state.previous,
        confirmed=None if state is None or state.applied_at is None else not state.unconfirmed,
        quarantine=() if state is None else tuple(row.version for row in state.quarantine),
        restart=preferences.restart,
    )
