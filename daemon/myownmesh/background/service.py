"""One service: what it is called, where its files are, and what its process is told (spec 07 §7). No I/O."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

UNIT: Final = "myownmesh"
"""systemd's name of it."""
LABEL: Final = "com.myownmesh.daemon"
"""launchd's name of it."""
HOMEPAGE: Final = "https://github.com/mrjeeves/MyOwnMesh"

SYSTEM_COPY: Final = Path("/usr/local/lib/myownmesh/myownmesh")
"""Where the system's service runs a single file from that lies where its user cannot read."""


@frozen
class Service:
    """Everything that its definition says."""

    words: tuple[str, ...]
    """The program, by its absolute path, and its arguments."""
    environ: Mapping[str, str]
    system: bool
    """Of the machine, not of one person: starts at boot, under a user of its own."""

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"MyOwnMesh ({'system' if self.system else 'user'} service)"


def environment(environ: Mapping[str, str], *, state: Path | None, log_filter: str | None) -> dict[str, str]:
    """What the service's process is told; `state` is the directory of the system's service, None for a person's."""
    told: dict[str, str] = {}
    if state is not None:
        told = {"MYOWNMESH_HOME": str(state), "MYOWNMESH_AUTOUPDATE": "0"}
    elif home := environ.get("MYOWNMESH_HOME", "").strip():
        told["MYOWNMESH_HOME"] = str(Path(home).absolute())
    if log_filter is not None:
        told["MYOWNMESH_LOG"] = log_filter
    return told
