"""The one way a script fails that its own text hides: Windows line ends after the name of its interpreter."""

from __future__ import annotations

from mesh_common.files import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_LINE_MAX_BYTES = 512
"""More than any system reads of the line."""


def has_windows_shebang(path: Path) -> bool:
    """Whether the system would look for an interpreter whose name ends in a carriage return."""
    try:
        with open_regular(path) as file:
            line = file.readline(_LINE_MAX_BYTES)
    except OSError:
        return False
    return line.startswith(b"#!") and line.endswith(b"\r\n")
