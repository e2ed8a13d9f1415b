"""Which archives are unpacked at all (spec 09 §8.4). Pure: members in, acceptance or a refusal out.

The wanted archive has one root member. Everything hostile archives are known for is refused as a whole, before any
byte of it is used; sizes are counted on what was produced, because headers lie.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from mesh_bundler.errors import Exit, Refused
from mesh_bundler.header import MIN_BINARY_BYTES

MAX_MEMBERS = 16
MAX_FOLDER_MEMBERS = 10_000
"""Of an archive that is a whole folder; ours have a tenth."""
MAX_MEMBER_BYTES = 512 * 1024 * 1024
MAX_TOTAL_BYTES = 1024 * 1024 * 1024
MAX_RATIO = 200
"""Unpacked / packed; release archives reach 4."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)

_WHY = {
    "member_type": "it holds a link, a device or another special member",
    "encrypted": "a member is encrypted",
    "method": "a member uses an unknown compression method",
    "member_name": "a member's name is empty or holds control characters",
    "drive_path": "a member's name starts with a drive letter",
    "absolute_path": "a member's name is an absolute path",
    "backslash": "a member's name holds a backslash",
    "colon": "a member's name holds a colon",
    "parent_traversal": "a member's name climbs out of the folder",
    "reserved_name": "a member's name is reserved on some systems",
    "duplicate": "two members share one name",
    "outside_folder": "a member lies outside its one folder",
    "too_many_members": "it has too many members",
    "member_too_large": f"a member unpacks to more than {MAX_MEMBER_BYTES} bytes",
    "total_too_large": f"it unpacks to more than {MAX_TOTAL_BYTES} bytes",
    "ratio": f"it unpacks to more than {MAX_RATIO} times its size",
    "binary_missing": "the daemon is not in it",
    "binary_too_small": "the daemon in it is too small to be one",
    "archive_damaged": "it is damaged",
    "archive_trailing_data": "something follows its end",
    "header_mismatch": "its directory and its members contradict each other",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the archive describes it. `type`: file, dir, or anything else (refused)."""

    name: str
    type: str
    size: int = 0
    encrypted: bool = False


@dataclass(slots=True)
class ArchiveGuard:
    """Judges the members of one archive, in order, and counts what they unpack to."""

    wanted: str
    archive_size: int
    most_members: int = MAX_MEMBERS
    least_bytes: int = MIN_BINARY_BYTES
    """Of the wanted file."""
    ignored: list[str] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _count: int = 0
    _total: int = 0
    _member: int = 0
    _wanted_bytes: int | None = None

    def admit(self, member: Member) -> bool:
        """True when this is the wanted file. Raises `Refused` when the archive must not be used."""
        if member.encrypted:
            raise self.refusal("encrypted", member.name)
        if member.type not in ("file", "dir"):
            raise self.refusal("member_type", member.name)
        path = self._checked_path(member.name, member.type)
        if path in self._seen:
            raise self.refusal("duplicate", member.name)
        self._seen.add(path)
        self._count += 1
        if self._count > self.most_members:
            raise self.refusal("too_many_members", member.name)
        self._member = 0
        if member.type == "dir":
            return False
        if _plain(member.name) == self.wanted:
            self._wanted_bytes = 0
            return True
        self.ignored.append(member.name)
        return False

    def produced(self, count: int, *, wanted: bool, name: str = "") -> None:
        """Count bytes that came out of the current member. Raises `Refused` at the first byte too many."""
        self._member += count
        self._total += count
        if self._member > MAX_MEMBER_BYTES:
            raise self.refusal("member_too_large", name)
        if self._total > MAX_TOTAL_BYTES:
            raise self.refusal("total_too_large", name)
        if self._total > MAX_RATIO * self.archive_size:
            raise self.refusal("ratio", name)
        if wanted and self._wanted_bytes is not None:
            self._wanted_bytes += count

    def finish(self) -> None:
        """All members were seen. Raises `Refused` when the wanted one is absent or too small."""
        if self._wanted_bytes is None:
            raise self.refusal("binary_missing", self.wanted)
        if self._wanted_bytes < self.least_bytes:
            raise self.refusal("binary_too_small", self.wanted)

    def refusal(self, code: str, member: str = "") -> Refused:
        """The error for this archive."""
        return Refused(
            code,
            Exit.INTEGRITY,
            f"The archive with {self.wanted} is refused: {_WHY[code]}"
            + (f" ({member[:80]!r})." if member and code != "binary_missing" else "."),
            hint="Nothing was staged. A release archive holds one program; report this to whoever published it.",
            member=member[:200],
        )

    def _checked_path(self, name: str, kind: str) -> str:
        if not name or _CONTROL.search(name):
            raise self.refusal("member_name", name)
        if _DRIVE.match(name):
            raise self.refusal("drive_path", name)
        if name[0] in "/\\":
            raise self.refusal("absolute_path", name)
        if "\\" in name:
            raise self.refusal("backslash", name)
        if ":" in name:
            raise self.refusal("colon", name)
        parts = [part for part in (name.rstrip("/") if kind == "dir" else name).split("/") if part != "."]
        if ".." in parts:
            raise self.refusal("parent_traversal", name)
        if "" in parts:
            raise self.refusal("member_name", name)
        if any(part[-1] in ". " or _DEVICE.fullmatch(part) for part in parts):
            raise self.refusal("reserved_name", name)
        return unicodedata.normalize("NFC", "/".join(parts)).casefold()


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part != ".")
