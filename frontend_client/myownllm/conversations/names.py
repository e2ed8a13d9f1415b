"""Ids and folders of conversations, which become names of files although peers choose them (spec 08 FE-9.29). Pure."""

from __future__ import annotations

import re
from typing import Final

from myownllm.transfers.names import sanitize_filename

FOLDER_PART_CHARS: Final = 80
FOLDER_LEVELS: Final = 16
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_conversation_id(text: str) -> bool:
    """May the text be the id of a conversation, and so the name of its file?"""
    return _ID.fullmatch(text) is not None


def clean_folder(text: str) -> str:
    """A folder as it may exist below the root: parts joined by `/`, empty for the root itself.

    Parts that name no folder (empty, `.`, `..`) disappear; the others become names that every system can store.
    """
    parts = [_part(part) for part in re.split(r"[/\\]", text) if re.search(r"[^\s.]", part)]
    return "/".join(parts[:FOLDER_LEVELS])


def _part(text: str) -> str:
    short = sanitize_filename(text)[: FOLDER_PART_CHARS - 1]
    return sanitize_filename(short)  # once more for what the cut left at the end
