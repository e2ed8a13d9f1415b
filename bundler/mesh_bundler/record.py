"""Our note about what lies in a slot, and whether that is still what is wanted (spec 09 §6.1). Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal, TypeAlias

    SlotVerdict: TypeAlias = Literal["current", "restage", "needs_hash", "verify_then_adopt"]

RECORD_FORMAT = 1
RECORD_MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Record:
    """`<dest>/.bundled-<triple>.json`."""

    slot: str
    triple: str
    tool: str
    stage_key: str
    source: str
    pin: str | None
    version: str | None
    sha256: str
    size: int
    mtime_ns: int
    asset: dict[str, str] | None  # name, sha256, url
    verified: str  # "lock" | "signature" | "checksum" | "none"
    key_id: str | None
    bundler: str
    written_at: str

    def to_bytes(self) -> bytes:
        return (json.dumps({"format": RECORD_FORMAT, **asdict(self)}, indent=2, sort_keys=True) + "\n").encode()


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """The slot as the file system shows it; `sha256` only once somebody hashed it."""

    size: int
    mtime_ns: int
    sha256: str | None = None


def parse_record(data: bytes) -> Record | None:
    """None when this is not a record we wrote: a damaged note is no evidence, the slot is staged again."""
    if len(data) > RECORD_MAX_BYTES:
        return None
    try:
        doc = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(doc, dict) or doc.get("format") != RECORD_FORMAT:
        return None
    return _from_mapping(doc)


def _from_mapping(doc: Mapping[str, object]) -> Record | None:
    texts = ("slot", "triple", "tool", "stage_key", "source", "sha256", "verified", "bundler", "written_at")
    optional = ("pin", "version", "key_id")
    numbers = ("size", "mtime_ns")
    asset = doc.get("asset")
    sound = (
        all(isinstance(doc.get(name), str) for name in texts)
        and all(isinstance(doc.get(name), str | None) for name in optional)
        and all(type(doc.get(name)) is int for name in numbers)
        and (asset is None or (isinstance(asset, dict) and all(isinstance(value, str) for value in asset.values())))
    )
    if not sound:
        return None
    members = {name: doc.get(name) for name in (*texts, *optional, *numbers, "asset")}
    return Record(**members)  # type: ignore[arg-type]  # every member's type was checked above


def judge_slot(
    record: Record | None,
    slot: SlotFacts | None,
    *,
    triple: str,
    stage_key: str,
    bundled_rev: str | None = None,
    pins: tuple[str, ...] = (),
) -> SlotVerdict:
    """Does the slot hold what would be staged now?

    `needs_hash` asks for `slot.sha256` and another call; `verify_then_adopt` means that only another bundler's marker
    vouches for the slot (it holds one of `pins`, the ways to write the wanted tag), so header and version decide.
    """
    if slot is None or slot.size == 0:
        return "restage"
    if record is None:
        adoptable = (bundled_rev or "").strip() in pins
        return "verify_then_adopt" if adoptable else "restage"
    if record.triple != triple or record.stage_key != stage_key or record.size != slot.size:
        return "restage"
    if record.mtime_ns == slot.mtime_ns:
        return "current"
    if slot.sha256 is None:
        return "needs_hash"
    return "current" if slot.sha256 == record.sha256 else "restage"


def release_key(tag: str) -> str:
    return f"release:{tag}"


def override_key(path: str, mtime_ns: int, size: int) -> str:
    return f"override:{path}:{mtime_ns}:{size}"


def sibling_key(version: str, path: str, mtime_ns: int, size: int) -> str:
    return f"sibling:v{version}:{path}:{mtime_ns}:{size}"


def source_key(revision: str) -> str:
    return f"source:{revision}"
