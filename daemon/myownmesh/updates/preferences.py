"""What a person wants of the updater: the block ``auto_update``, the environment, and the build's own feed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mesh_common.values import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.store.config import AutoUpdate
    from myownmesh.updates.installation import Installation

REFERENCE_FEEDS = {
    "stable": "https://api.github.com/repos/mrjeeves/MyOwnMesh/releases/latest",
    "beta": "https://api.github.com/repos/mrjeeves/MyOwnMesh/releases",
}
"""What v0.3.8 reads, and `update_status` shows where nothing else is set. Its releases are another program, so a build
without a feed of its own takes none (docs/decisions.md)."""


class Feed(Value, frozen=True):
    """Where releases are looked for."""

    url: str
    overridden: bool
    """By the configuration."""
    ours: bool
    """Whether what it offers may be taken."""


def feed_of(preferences: AutoUpdate) -> Feed:
    """The feed of the channel: the configuration's, else the one that the build was given."""
    beta = preferences.channel == "beta"
    override = (preferences.beta_url if beta else preferences.stable_url) or ""
    if override.strip():
        return Feed(override.strip(), overridden=True, ours=True)
    channel = "beta" if beta else "stable"
    built_in = _stamp(f"RELEASE_URL_{channel.upper()}")
    return Feed(built_in or REFERENCE_FEEDS[channel], overridden=False, ours=bool(built_in))


def trusted_keys(environ: Mapping[str, str]) -> str:
    """minisign keys of releases, blank between them: the build's, then the environment's."""
    return " ".join(text for text in (_stamp("RELEASE_PUBKEY"), environ.get("MYOWNMESH_TRUSTED_KEYS")) if text)


def switched_off(environ: Mapping[str, str]) -> bool:
    """Whether the environment switches checks off, whatever the configuration says."""
    return environ.get("MYOWNMESH_AUTOUPDATE", "").lower() in ("0", "false")


def is_on(preferences: AutoUpdate, environ: Mapping[str, str]) -> bool:
    return preferences.enabled and not switched_off(environ)


def why_not(installation: Installation, feed: Feed) -> str | None:
    """Why this program does not replace itself, in words; None when it does."""
    if installation.managed is not None:
        return installation.managed
    if not feed.ours:
        return "this build names no release feed; auto_update.stable_url or beta_url can"
    return None


def _stamp(name: str) -> str | None:
    """What the release builder wrote into this build."""
    try:
        return getattr(import_module("myownmesh._build"), name, None) or None
    except ModuleNotFoundError:
        return None
