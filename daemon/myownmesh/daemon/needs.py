"""What the daemon needs beyond the light installation (`myownllm-mesh` without extras), and whether it is here.

The command exists in every installation, because entry points cannot depend on extras. A supervisor takes an answer to
``--version`` as "this may become the daemon", so an installation that cannot serve must not give one.
"""

from __future__ import annotations

import sys

EXTRA = "daemon"
"""The extra of the distribution that brings all of `MODULES`."""
MODULES = ("OpenSSL", "aioice", "aiortc", "coincurve", "trio_websocket", "uvloop", "zeroconf")
"""What the extra brings, by the name under which it is imported."""


def missing() -> list[str]:
    """The modules of `MODULES` that cannot be imported here, found without importing any (0.2 ms)."""
    return [module for module in MODULES if not _is_here(module)]


def cannot_serve(cause: str) -> str:
    """The sentence for an installation that cannot serve, with the way out that fits how it was installed."""
    from mesh_common.installation import how_to_add

    return f"{cause}; the daemon needs more: {how_to_add(EXTRA)}"


def missing_text(names: list[str]) -> str:
    """The same for what `missing` found."""
    what = "has" if len(names) == 1 else "have"
    return cannot_serve(f"this installation cannot serve: {', '.join(names)} {what} not been installed")


def _is_here(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    for finder in sys.meta_path:
        spec = finder.find_spec(module, None)
        if spec is not None:
            return spec.origin is not None  # a folder that an uninstallation left behind has none
    return False
