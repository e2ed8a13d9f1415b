"""The member `files` of the app's configuration: where received files go, and from whom they are taken unasked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mesh_common.files import read_regular
from mesh_common.values import Value
from myownllm.coerce import as_object, strings
from myownllm.ids import bare_id

if TYPE_CHECKING:
    from myownllm.coerce import JsonObject

_USER_DIRS_MAX_BYTES: Final = 64 << 10


class FileSettings(Value, frozen=True):
    """Read leniently: what is malformed is as if it were absent."""

    folder: Path
    accept_from: frozenset[str]
    """Public keys of devices whose files are taken without asking; nobody unless a person writes them there"""

    @classmethod
    def read(cls, config: JsonObject, home: Path) -> FileSettings:
        """From the whole configuration; `home` is the folder of the login."""
        raw = as_object(config.get("files"))
        folder = raw.get("folder")
        if isinstance(folder, str) and folder.strip():
            where = Path(folder.strip())
            where = home / where.relative_to("~") if where.parts[0] == "~" else home / where
        else:
            where = download_folder(home)
        return cls(where, frozenset(bare_id(text) for text in strings(raw.get("accept_from"))))


def download_folder(home: Path) -> Path:
    """Where the desktop puts downloads, else `Downloads`."""
    try:
        text = read_regular(home / ".config" / "user-dirs.dirs", _USER_DIRS_MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError):
        text = ""
    found = re.search(r'^XDG_DOWNLOAD_DIR="(?:\$HOME/([^"]+)|(/[^"]+))"', text, re.MULTILINE)
    if found is None:
        return home / "Downloads"
    return home / found[1] if found[1] else Path(found[2])
