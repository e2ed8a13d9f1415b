"""What is remembered of transfers that have not ended, so that they go on after either app was killed (10 §2.5).

One small file for each transfer, in the app's own home; the checksums of a received file's chunks lie beside its note.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import attrs
import msgspec

from myownllm.files import ASIDE, read_json, write_durably
from myownllm.home import PRIVATE_DIR
from myownllm.payloads import PayloadError, structure
from myownllm.transfers.digest import base32
from myownllm.transfers.offer import FileOffer

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT_S: Final = 7 * 86_400
"""A half transfer that nobody went on with for a week is given up."""
NOTES_MAX: Final = 256
"""In each direction; beyond that the oldest are given up."""


@attrs.frozen
class Incoming:
    """A file that a person here has accepted from a device."""

    peer: str
    offer: FileOffer
    part: str
    folder: str

    @property
    def key(self) -> str:
        return key_of(self.peer, self.offer)


@attrs.frozen
class Sending:
    """A file that is being sent to a device; `stamp` tells whether it is still the same.

    `withdrawn`: it is given up, and its receiver is to hear that.
    """

    peer: str
    network: str
    path: str
    stamp: int
    offer: FileOffer
    withdrawn: bool = False

    @property
    def key(self) -> str:
        return base32(hashlib.sha256(f"{self.peer} {self.offer.id}".encode()).digest())


@attrs.frozen
class Arrived:
    """A file that came whole. A sender that did not hear so offers it again, and it must not come twice."""

    peer: str
    offer: FileOffer

    @property
    def key(self) -> str:
        return arrived_key(self.peer, self.offer.id)


def arrived_key(peer: str, transfer: str) -> str:
    return base32(hashlib.sha256(f"{peer} {transfer}".encode()).digest())


def key_of(peer: str, offer: FileOffer) -> str:
    """The same for the same content from the same device, whatever name and id it comes with."""
    text = f"{peer} {offer.sha256_b32} {offer.size_bytes} {offer.chunk_size}"
    return base32(hashlib.sha256(text.encode()).digest())


Note = TypeVar("Note", Incoming, Sending, Arrived)


class Notes:
    """The folder of the notes. Raises OSError where it says so; what cannot be read is as good as absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sums(self, key: str) -> Path:
        """Where the checksums of a received file's chunks lie."""
        return self.folder / f"{key}.sums"

    def prepare(self) -> None:
        """Make the folder. Raises OSError."""
        self.folder.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)

    def save(self, note: Incoming | Sending | Arrived) -> None:
        """Remember it, or that it has been gone on with. Raises OSError."""
        self.prepare()
        write_durably(self._path(type(note), note.key), msgspec.json.encode(attrs.asdict(note)))

    def find(self, peer: str, offer: FileOffer) -> Incoming | None:
        """The half file of the same content from the same device."""
        return self._read(Incoming, self._path(Incoming, key_of(peer, offer)))

    def arrived(self, peer: str, transfer: str) -> Arrived | None:
        """What came whole from that device as that transfer."""
        return self._read(Arrived, self._path(Arrived, arrived_key(peer, transfer)))

    def has_arrived(self, note: Incoming) -> None:
        """It came whole. Best effort: where this cannot be written, a repeated offer brings it once more."""
        with contextlib.suppress(OSError):
            self.save(Arrived(note.peer, note.offer))
            for path in sorted(self._paths(Arrived), key=_age, reverse=True)[NOTES_MAX:]:
                path.unlink(missing_ok=True)

    def sending(self) -> list[Sending]:
        """Every file that is to be sent on, or to be withdrawn."""
        return [note for path in self._paths(Sending) if (note := self._read(Sending, path)) is not None]

    def forget(self, note: Incoming | Sending) -> None:
        """It has ended."""
        with contextlib.suppress(OSError):
            self._path(type(note), note.key).unlink()
        with contextlib.suppress(OSError):
            self.sums(note.key).unlink()

    def drop(self, note: Incoming) -> None:
        """What is there of it is not wanted any more."""
        with contextlib.suppress(OSError):
            Path(note.part).unlink()
        self.forget(note)

    def sweep(self, now_s: float) -> list[str]:
        """Give up what nobody goes on with: too old, too many, or received from a sender that cannot.

        What is damaged is set aside for a while, and `myownllm health` tells it: that transfer does not go on.

        `now_s` is in Unix seconds. Returns the part files that were removed. For the start of the app, when no
        transfer runs.
        """
        gone = [*self._sweep(Incoming, now_s), *self._sweep(Sending, now_s), *self._sweep(Arrived, now_s)]
        kept = {path.stem.partition("-")[2] for path in self._paths(Incoming)}
        for aside in self.folder.glob(f"*.json{ASIDE}"):
            if now_s - _age(aside) > KEPT_S:
                aside.unlink(missing_ok=True)
        for sums in self.folder.glob("*.sums"):
            if sums.stem not in kept:
                sums.unlink(missing_ok=True)
        return gone

    def _sweep(self, cls: type[Note], now_s: float) -> Iterator[str]:
        for number, path in enumerate(sorted(self._paths(cls), key=_age, reverse=True)):
            note = self._read(cls, path)
            ends = isinstance(note, Incoming) and not (note.offer.resume and Path(note.part).exists())
            if note is None or ends or number >= NOTES_MAX or now_s - _age(path) > KEPT_S:
                yield from self._give_up(path, note)

    def _give_up(self, path: Path, note: Incoming | Sending | Arrived | None) -> list[str]:
        gone: list[str] = []
        with contextlib.suppress(OSError):
            if note is None:
                path.replace(path.with_name(path.name + ASIDE))
            else:
                path.unlink()
            if isinstance(note, Incoming):
                Path(note.part).unlink()
                gone.append(note.part)
        return gone

    def _path(self, cls: type[Incoming | Sending | Arrived], key: str) -> Path:
        return self.folder / f"{_PREFIX[cls]}-{key}.json"

    def _paths(self, cls: type[Incoming | Sending | Arrived]) -> list[Path]:
        return list(self.folder.glob(f"{_PREFIX[cls]}-*.json"))

    def _read(self, cls: type[Note], path: Path) -> Note | None:
        try:
            return structure(cls, read_json(path))
        except PayloadError:
            return None


_PREFIX: Final[dict[type[Incoming | Sending | Arrived], str]] = {Incoming: "in", Sending: "out", Arrived: "done"}


def _age(path: Path) -> float:
    """When the transfer last went on, in Unix seconds."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
