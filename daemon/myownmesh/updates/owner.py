"""Who owns this program's file: whoever put it there replaces it (spec 09 §10.2). Pure."""

from __future__ import annotations

import re

_MANAGED_PLACES = (
    (r"/Cellar/|^/opt/homebrew/|^/home/linuxbrew/", "Homebrew"),
    (r"^/usr/s?bin/|^/usr/lib", "the system's package manager"),
    (r"^/nix/store/", "Nix"),
    (r"^/gnu/store/", "Guix"),
    (r"^/snap/", "Snap"),
    (r"^/app/", "Flatpak"),
)


def manager_of(path: str) -> str | None:
    """Who manages programs at this real path; None where a program may replace itself."""
    return next((name for place, name in _MANAGED_PLACES if re.search(place, path)), None)
