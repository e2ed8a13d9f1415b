"""The text of a launchd property list (spec 07 §7). No I/O."""

from __future__ import annotations

import plistlib
from typing import TYPE_CHECKING, Any, Final

from myownmesh.background.service import LABEL

if TYPE_CHECKING:
    from pathlib import Path

    from myownmesh.background.service import Service

EXIT_S: Final = 20
"""For its farewell; launchd kills it then."""


def plist(service: Service, log: Path) -> bytes:
    """The whole file; what the daemon says goes to `log`.

    It comes back after a crash only: `launchctl stop` is to last, and in the danger zone it comes back by itself.
    """
    value: dict[str, Any] = {
        "Label": LABEL,
        "ProgramArguments": list(service.words),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ExitTimeOut": EXIT_S,
        "StandardOutPath": str(log),
        "StandardErrorPath": str(log),
    }
    if service.environ:
        value["EnvironmentVariables"] = dict(service.environ)
    return plistlib.dumps(value, sort_keys=False)
