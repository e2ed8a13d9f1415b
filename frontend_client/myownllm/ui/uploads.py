"""Files that were dropped on the screen: on disk until they are sent, in a private folder of their own each."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from mesh_common.labels import shown
from myownllm.errors import AppError
from myownllm.home import PRIVATE_DIR
from myownllm.transfer_files.notes import Notes

if TYPE_CHECKING:
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


def sweep(home: AppHome, running: dict[str, Path]) -> dict[str, Path]:
    """Drop what nobody sends on: the app ended while it came in. Blocking.

    `running` and the answer are files by their transfers: all that move now, and the uploaded ones that go on.
    """
    if not home.uploads.is_dir():
        return {}
    noted = {note.offer.id: Path(note.path) for note in Notes(home.transfers).sending() if not note.withdrawn}
    needed = {transfer: path for transfer, path in {**noted, **running}.items() if home.uploads in path.parents}
    for folder in home.uploads.iterdir():
        if not any(folder in path.parents for path in needed.values()):
            shutil.rmtree(folder, ignore_errors=True)
    return needed


async def tidy(app: App, nursery: trio.Nursery) -> None:
    """Before files come in: what an earlier screen has left goes away, now or when it is sent."""
    running = {job.id: job.path for job in app.files.sender.jobs.values()}
    for transfer, path in (await trio.to_thread.run_sync(sweep, app.home, running)).items():
        nursery.start_soon(_drop_when_gone_on_with, app, path, transfer)


async def _drop_when_gone_on_with(app: App, path: Path, transfer: str) -> None:
    await app.files.changes.until(lambda _: transfer in app.files.sender.jobs)  # the app has just started
    await drop_when_sent(app, path, transfer)


async def drop_when_sent(app: App, path: Path, transfer: str) -> None:
    """Wait for the end of a transfer, and drop its file. One that outlives the screen is dropped by the next one."""
    files = app.files
    while (job := files.sender.jobs.get(transfer)) is not None and not job.is_over:
        await files.changes.changed()
    await trio.to_thread.run_sync(drop, path)
