"""Files that were dropped on the screen: on disk until they are sent, in a private folder of their own each."""

from __future__ import annotations

import secrets
import shutil
from typing import TYPE_CHECKING

import trio

from mesh_common.labels import shown
from myownllm.errors import AppError
from myownllm.home import PRIVATE_DIR
from myownllm.transfer_files.notes import Notes

if TYPE_CHECKING:
    from pathlib import Path

    from myownllm.app import App
    from myownllm.home import AppHome

NAME_MAX_BYTES = 200
"""Of a file's name; file systems take 255."""


def place_for(home: AppHome, name: str) -> Path:
    """Where a file of that name is put. Raises AppError for a name that is none. Blocking."""
    plain = shown(name.replace("\\", "/").rpartition("/")[2]).encode()[:NAME_MAX_BYTES].decode(errors="ignore").strip()
    if plain.strip(".") == "":
        raise AppError("the file has no name that could be used")
    folder = home.uploads / secrets.token_hex(8)
    home.uploads.mkdir(mode=PRIVATE_DIR, exist_ok=True)
    folder.mkdir(mode=PRIVATE_DIR)
    return folder / plain


def drop(path: Path) -> None:
    """It is not needed any more. Blocking."""
    shutil.rmtree(path.parent, ignore_errors=True)


def sweep(home: AppHome) -> None:
    """Drop what nobody sends on: the app ended while it came in. Blocking."""
    if not home.uploads.is_dir():
        return
    needed = {note.path for note in Notes(home.transfers).sending()}
    for folder in home.uploads.iterdir():
        if not any(path.startswith(f"{folder}/") for path in needed):
            shutil.rmtree(folder, ignore_errors=True)


async def drop_when_sent(app: App, path: Path, transfer: str) -> None:
    """Wait for the end of a transfer, and drop its file. One that outlives the app is swept by a later start."""
    files = app.files
    while (job := files.sender.jobs.get(transfer)) is not None and not job.is_over:
        await files.changes.changed()
    await trio.to_thread.run_sync(drop, path)
