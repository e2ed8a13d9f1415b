"""What the package index shows of the README: its links lead into the repository, where the files are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LOCAL_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)]+)\)")


class ReadmeHook(MetadataHookInterface):
    """Sets `readme`, and where the project lives if the build knows it (GitHub's runners do)."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        server, repository = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
        if server and repository:
            text = with_absolute_links(text, f"{server}/{repository}/blob/v{metadata['version']}/")
            metadata["urls"] = {"Repository": f"{server}/{repository}"}
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def with_absolute_links(text: str, base: str) -> str:
    """The text, its links to files of this repository beginning with `base`."""
    return _LOCAL_LINK.sub(lambda link: f"]({base}{link[1]})", text)
