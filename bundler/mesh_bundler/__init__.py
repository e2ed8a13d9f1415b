"""Stage the pinned mesh daemon beside an app, or refuse with a reason.

    from mesh_bundler import EnsureRequest, Refused, ensure

    result = ensure(EnsureRequest(dest=folder, pin="v0.3.8", on_progress=show))

Blocking; a trio program calls it in a thread and passes `cancelled`.
"""

from __future__ import annotations

from importlib import import_module

from mesh_common.version import VERSION as __version__

TYPE_CHECKING = False  # not from typing: its import costs as much as everything else that `check` needs
if TYPE_CHECKING:
    from mesh_bundler.errors import Exit, Notice, Refused
    from mesh_bundler.progress import Progress
    from mesh_bundler.request import EnsureRequest
    from mesh_bundler.result import EnsureResult
    from mesh_bundler.staging import Cancelled, ensure, examine

_HOMES = {
    "Cancelled": "staging",
    "EnsureRequest": "request",
    "EnsureResult": "result",
    "Exit": "errors",
    "Notice": "errors",
    "Progress": "progress",
    "Refused": "errors",
    "ensure": "staging",
    "examine": "staging",
}
__all__ = [
    "Cancelled",
    "EnsureRequest",
    "EnsureResult",
    "Exit",
    "Notice",
    "Progress",
    "Refused",
    "__version__",
    "ensure",
    "examine",
]


def __getattr__(name: str) -> object:
    """Public names load on first use: `cache-key` runs in CI loops and must not import a download client."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
