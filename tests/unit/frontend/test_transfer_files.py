"""Files of transfers on a real disk: sources, part files, and what is remembered of half ones (spec 08 FE-9.20)."""

from __future__ import annotations

import base64
import errno
import os
from pathlib import Path
from typing import Any

import attrs
import pytest

from myownllm.transfer_files import part as part_module
from myownllm.transfer_files.notes import KEPT_S, Incoming, Notes, Sending
from myownllm.transfer_files.part import PartFile, ReceiveError
from myownllm.transfer_files.settings import FileSettings, download_folder
from myownllm.transfer_files.source import Source, SourceError
from myownllm.transfers.digest import sha256_base32
from myownllm.transfers.intake import ChunkError
from myownllm.transfers.offer import FileOffer

CONTENT = bytes(range(256)) * 4
CHUNK = 100
PEER = "p" * 52


def offered(name: str = "a.bin", content: bytes = CONTENT, **members: Any) -> FileOffer:
    return FileOffer("00112233aabbccdd", name, len(content), sha256_base32(content), CHUNK, **members)


def chunk(index: int, content: bytes = CONTENT) -> dict[str, Any]:
    data = content[index * CHUNK : (index + 1) * CHUNK]
    return {"index": index, "bytes_b64": base64.b64encode(data).decode(), "is_final": False}


def never() -> bool:
    return False


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Downloads"


def test_a_file_is_written_in_place_and_gets_its_name_at_the_end(folder: Path) -> None:
    part = PartFile.create(folder, offered(), None)
    for index in (3, 1, 0, 2, 1, 10, 9, 8, 7, 6, 5):
        part.take(chunk(index))
    assert not part.intake.complete
    part.take(chunk(4))
    with pytest.raises(ReceiveError, match="cancelled"):
        part.finish(folder, lambda: True)
    assert part.intake.complete
    assert names_in(folder) == ["a.bin.part"]
    assert part.finish(folder, never) == folder / "a.bin"
    assert names_in(folder) == ["a.bin"]
    assert (folder / "a.bin").read_bytes() == CONTENT
    assert (folder / "a.bin").stat().st_mode & 0o777 == 0o600


def test_nothing_that_is_there_is_overwritten(folder: Path) -> None:
    folder.mkdir()
    (folder / "a.bin").write_text("mine")
    (folder / "a.bin.part").write_text("of a browser")
    (folder / "a (1).bin").symlink_to(folder / "nowhere")
    parts = [PartFile.create(folder, offered(), None) for _ in range(2)]
    for part in parts:
        for index in range(11):
            part.take(chunk(index))
    assert [part.finish(folder, never).name for part in parts] == ["a (2).bin", "a (3).bin"]
    assert (folder / "a.bin").read_text() == "mine"
    assert (folder / "a.bin.part").read_text() == "of a browser"
    assert not (folder / "nowhere").exists()


def test_a_file_system_without_links(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    folder.mkdir()
    (folder / "a.bin").write_text("mine")
    part = PartFile.create(folder, offered(), None)
    for index in range(11):
        part.take(chunk(index))
    assert part.finish(folder, never) == folder / "a (1).bin"
    assert names_in(folder) == ["a (1).bin", "a.bin"]


def test_another_content_than_was_offered(folder: Path) -> None:
    part = PartFile.create(folder, offered(), None)
    for index in range(11):
        part.take(chunk(index, bytes(1024)))
    with pytest.raises(ReceiveError, match=rf"sha256 mismatch: expected {offered().sha256_b32}, got [a-z2-7]{{52}}$"):
        part.finish(folder, never)
    part.discard()
    assert names_in(folder) == []


def test_a_disk_that_is_full_or_a_folder_that_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReceiveError, match="not enough space on the receiver: 9007199254740991 bytes are needed"):
        PartFile.create(folder, attrs.evolve(offered(), size_bytes=2**53 - 1, chunk_size=2**20), None)
    assert names_in(folder) == []
    (folder / "file").write_text("")
    with pytest.raises(ReceiveError, match=r"cannot write the file: (Not a directory|File exists)"):
        PartFile.create(folder / "file", offered(), None)
    with pytest.raises(ReceiveError, match="cannot write the file: No such file"):
        PartFile.create(folder, offered(), folder / "nowhere" / "x.sums")
    assert names_in(folder) == ["file"]
    part = PartFile.create(folder, offered(), None)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ReceiveError, match="cannot write the file: No space left on device"):
        part.take(chunk(0))
    part.discard()
    part.discard()
    assert names_in(folder) == ["file"]


def test_a_bad_chunk_ends_the_transfer(folder: Path) -> None:
    part = PartFile.create(folder, offered(), None)
    with pytest.raises(ChunkError, match="bad chunk length"):
        part.take({"index": 1, "bytes_b64": "AAAA"})
    part.close()


# ── going on ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def half(folder: Path, tmp_path: Path, indices: tuple[int, ...]) -> tuple[Path, Path]:
    sums = tmp_path / "x.sums"
    part = PartFile.create(folder, offered(), sums)
    for index in indices:
        part.take(chunk(index))
    part.close()
    return part.part, sums


def test_a_half_file_is_gone_on_with_from_the_chunks_that_are_really_there(folder: Path, tmp_path: Path) -> None:
    """10 §2.5: the answer to the offer names the chunks that are held and verified."""
    path, sums = half(folder, tmp_path, (0, 1, 2, 4, 5, 10))
    with path.open("r+b") as file:  # a crash of the machine lost what was written to chunk 4
        file.seek(450)
        file.write(b"\0")
    part = PartFile.reopen(path, offered(), sums, never)
    assert part.intake.held.told() == [[0, 3], [5, 6], [10, 11]]
    for index in (3, 4, 6, 7, 8, 9):
        part.take(chunk(index))
    assert part.finish(folder, never).read_bytes() == CONTENT


def test_what_is_cut_or_without_its_checksum_is_sent_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sums = half(folder, tmp_path, tuple(range(11)))
    os.truncate(path, 450)
    os.truncate(sums, 4 * 3 + 2)
    part = PartFile.reopen(path, offered(), sums, never)
    assert part.intake.held.told() == [[0, 3]]
    part.close()
    monkeypatch.setattr(part_module, "VERIFY_LIMIT_S", -1)
    part = PartFile.reopen(path, offered(), sums, never)
    assert part.intake.held.count == 0, "reading back takes no longer than the sender waits"
    part.close()
    for gone in (sums, path):
        gone.unlink()
        with pytest.raises(FileNotFoundError):
            PartFile.reopen(path, offered(), sums, never)
    path.symlink_to(sums)
    with pytest.raises(OSError, match="symbolic links"):
        PartFile.reopen(path, offered(), sums, never)


def test_notes_outlive_the_app_and_old_ones_are_swept(folder: Path, tmp_path: Path) -> None:
    notes = Notes(tmp_path / "transfers")
    assert notes.sweep(0) == []
    assert notes.find(PEER, offered()) is None
    going_on, old, whole = (
        Incoming(PEER, offered(content=bytes([i]) * 300, resume=i < 2), str(folder / f"{i}.part"), str(folder))
        for i in range(3)
    )
    out = Sending(PEER, "home", "/a", 7, offered())
    folder.mkdir()
    for note in (going_on, old, whole):
        notes.save(note)
        Path(note.part).write_bytes(b"")
        notes.sums(note.key).write_bytes(b"")
    notes.save(out)
    (notes.folder / "out-x.json").write_text("{")
    (notes.folder / "in-x.json").write_text('{"peer": 7}')
    later = attrs.evolve(going_on.offer, id="other", filename="another name")
    assert notes.find(PEER, later) == going_on, "the same content from the same device"
    assert notes.find("q" * 52, going_on.offer) is None, "not from another device"
    now = notes.folder.stat().st_mtime
    os.utime(notes.folder / f"in-{old.key}.json", (now - KEPT_S - 60,) * 2)
    assert sorted(notes.sweep(now)) == [old.part, whole.part]
    assert names_in(folder) == ["0.part"]
    assert sorted(p.name for p in notes.folder.iterdir()) == sorted(
        [
            f"in-{going_on.key}.json",
            f"{going_on.key}.sums",
            f"out-{out.key}.json",
            "in-x.json.corrupt",
            "out-x.json.corrupt",
        ]
    ), "what was damaged is told, and kept for a while"
    assert notes.sending() == [out]
    Path(going_on.part).unlink()
    for aside in notes.folder.glob("*.corrupt"):
        os.utime(aside, (now - KEPT_S - 60,) * 2)
    assert notes.sweep(now) == []
    assert notes.find(PEER, going_on.offer) is None, "its part file is gone"
    notes.forget(out)
    notes.forget(out)
    assert list(notes.folder.iterdir()) == []


# ── sources ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_source_is_hashed_and_read_and_noticed_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    with Source(path) as source:
        assert source.size == len(CONTENT)
        assert source.digest(never) == sha256_base32(CONTENT)
        assert source.read(100, 5) == CONTENT[100:105]
        with pytest.raises(SourceError, match="cancelled"):
            source.digest(lambda: True)
        os.utime(path, (1, 1))
        with pytest.raises(SourceError, match="changed while it was being sent; send it again"):
            source.digest(never)
        os.truncate(path, 100)
        with pytest.raises(SourceError, match="changed while"):
            source.read(100, 5)


def test_what_is_no_file_is_told_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name, text in (("", "is a folder; pack it"), ("fifo", "no regular file"), ("none", "No such file")):
        with pytest.raises(SourceError, match=text):
            Source(tmp_path / name)


# ── settings ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_where_files_go_and_from_whom_they_are_taken_unasked(tmp_path: Path) -> None:
    """FE-9.25: the user's download folder unless another one is configured."""
    assert FileSettings.read({}, tmp_path) == FileSettings(tmp_path / "Downloads", frozenset())
    assert FileSettings.read({"files": {"folder": 7, "accept_from": "all"}}, tmp_path) == FileSettings.read(
        {"files": 7}, tmp_path
    )
    own = FileSettings.read({"files": {"folder": "~/in", "accept_from": [PEER, f"{'q' * 52}-0A1B2", 7]}}, tmp_path)
    assert own == FileSettings(tmp_path / "in", frozenset({PEER, "q" * 52}))
    assert FileSettings.read({"files": {"folder": "/srv/in"}}, tmp_path).folder == Path("/srv/in")
    assert FileSettings.read({"files": {"folder": "in"}}, tmp_path).folder == tmp_path / "in"
    dirs = tmp_path / ".config" / "user-dirs.dirs"
    dirs.parent.mkdir()
    dirs.write_text('# x\nXDG_DOWNLOAD_DIR="$HOME/Herunter geladenes"\n')
    assert download_folder(tmp_path) == tmp_path / "Herunter geladenes"
    dirs.write_text('XDG_DOWNLOAD_DIR="/srv/d"\n')
    assert download_folder(tmp_path) == Path("/srv/d")
    dirs.write_bytes(b"\xff")
    assert download_folder(tmp_path) == tmp_path / "Downloads"
