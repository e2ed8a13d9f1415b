"""The prompts of one network: records, edits, deletions that stick, and how those of several devices meet. Pure.

Records are in spec 08 §6.4, merging in FE-9.34, limits in FE-9.36, deletion in FE-9.39.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec
from attrs import validators

from myownllm.coerce import as_object, nests_deeper, stamp, strings
from myownllm.errors import AppError
from myownllm.ids import PREFIX_MIN_CHARS, mint_prompt_id
from myownllm.payloads import PayloadError, structure
from myownllm.policy import FUTURE_TOLERANCE_MS, edit_stamp

if TYPE_CHECKING:
    from myownllm.coerce import Json, JsonObject
    from myownllm.ids import Rng

TOOLS: Final = ("networks", "web_search", "read_file", "write_file", "shell")
PROMPTS_MAX: Final = 500
"""Of one network (FE-9.36)."""
PROMPT_MAX_BYTES: Final = 65_536
"""Of one record as compact JSON (FE-9.36)."""
TOTAL_MAX_BYTES: Final = 8 * 2**20
"""Of all that peers may add to one network: the file that holds them must stay readable."""
ID_MAX_CHARS: Final = 128
"""Ours have about 20; no build makes longer ones."""
VOICE_MAX_DEPTH: Final = 16
"""Levels of a member that later builds fill as they like; a deeper one could not be written back."""
TOMBSTONES_MAX: Final = 1000
"""Twice as many as there can be prompts; the newest ones stay."""
TOMBSTONE_KEEP_MS: Final = 90 * 86_400_000
"""A device that was away for longer may bring a deleted prompt back (FE-9.39)."""
_MEMBERS: Final = frozenset({"id", "name", "system_prompt", "tools", "user_prompt", "updated_at"})


class PromptError(AppError):
    """A change of the prompts that cannot be made."""


@attrs.frozen
class Prompt:
    """A saved prompt."""

    id: str
    name: str = ""
    system_prompt: str = ""
    tools: tuple[str, ...] = TOOLS
    user_prompt: str = ""
    updated_at: int = 0
    """milliseconds since the epoch of the last edit, wherever it was made"""
    extra: JsonObject = attrs.field(factory=dict, repr=False)
    """members of later builds, `voice` for one, carried through untouched"""

    @classmethod
    def from_json(cls, value: Json) -> Prompt | None:
        """A saved record, its malformed members replaced by defaults; None without an id."""
        raw = as_object(value)
        if not isinstance(raw.get("id"), str) or not raw["id"]:
            return None
        tools = raw.get("tools")
        return cls(
            id=raw["id"],
            name=_text(raw.get("name")),
            system_prompt=_text(raw.get("system_prompt")),
            tools=known_tools(tools) if isinstance(tools, list) else TOOLS,
            user_prompt=_text(raw.get("user_prompt")),
            updated_at=stamp(raw.get("updated_at")),
            extra={k: v for k, v in raw.items() if k not in _MEMBERS},
        )

    def to_json(self) -> JsonObject:
        return {
            "id": self.id,
            "name": self.name,
            "system_prompt": self.system_prompt,
            "tools": list(self.tools),
            "user_prompt": self.user_prompt,
            "updated_at": self.updated_at,
            **self.extra,
        }

    def to_wire(self) -> JsonObject:
        """The full record as peers get it (FE-7.6): of members that we do not know only `voice` is meant for them."""
        extra = {"voice": self.extra["voice"]} if "voice" in self.extra else {}
        return attrs.evolve(self, extra=extra).to_json()


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def known_tools(value: Json) -> tuple[str, ...]:
    """The tools in a list that this app knows."""
    return tuple(tool for tool in strings(value) if tool in TOOLS)


@attrs.frozen
class Tombstone:
    """A prompt that was deleted, so that no peer brings it back."""

    id: str
    deleted_at: int

    def to_json(self) -> JsonObject:
        return {"id": self.id, "deleted_at": self.deleted_at}


def tombstones_from_json(value: Json) -> tuple[Tombstone, ...]:
    """Saved tombstones; entries without an id are dropped."""
    entries = value if isinstance(value, list) else []
    return tuple(
        Tombstone(e["id"], stamp(e.get("deleted_at")))
        for e in entries
        if isinstance(e, dict) and isinstance(e.get("id"), str) and e["id"]
    )


def prompts_from_json(value: Json) -> tuple[Prompt, ...] | None:
    """A network's saved prompts, or None when there are none; entries without an id are dropped."""
    if not isinstance(value, list):
        return None
    read = (Prompt.from_json(entry) for entry in value)
    return tuple(prompt for prompt in read if prompt is not None)


@attrs.frozen
class Prompts:
    """All prompts of one network, and what was deleted."""

    records: tuple[Prompt, ...] = ()
    tombstones: tuple[Tombstone, ...] = ()

    def by_id(self, prompt_id: str) -> Prompt | None:
        return next((prompt for prompt in self.records if prompt.id == prompt_id), None)

    def find(self, text: str) -> Prompt:
        """What a person typed: an id, its unique beginning, or a name that only one has. Raises PromptError."""
        exact = self.by_id(text)
        if exact is not None:
            return exact
        found = [p for p in self.records if _key(p.name) == _key(text)]
        found = found or [p for p in self.records if len(text) >= PREFIX_MIN_CHARS and p.id.startswith(text)]
        if len(found) == 1:
            return found[0]
        if found:
            raise PromptError(f"'{text}' names {len(found)} prompts: {', '.join(p.id for p in found[:8])}; use the id")
        raise PromptError(f"no prompt '{text}' on this network; `myownllm prompts list` shows those there are")

    def deleted_at(self, prompt_id: str) -> int:
        return next((stone.deleted_at for stone in self.tombstones if stone.id == prompt_id), 0)

    def tombstones_json(self) -> list[JsonObject] | None:
        """None when nothing was deleted, so that a file without it keeps its bytes."""
        return [stone.to_json() for stone in self.tombstones] or None

    def _put(self, prompt: Prompt) -> Prompts:
        """With this record in the place of the one before it, or at the end; its tombstone is gone."""
        known = self.by_id(prompt.id) is not None
        records = (*(prompt if p.id == prompt.id else p for p in self.records), *(() if known else (prompt,)))
        return Prompts(records, tuple(stone for stone in self.tombstones if stone.id != prompt.id))

    def _drop(self, stone: Tombstone) -> Prompts:
        """Without that prompt, and with the reason why."""
        stones = (*(known for known in self.tombstones if known.id != stone.id), stone)
        if len(stones) > TOMBSTONES_MAX:
            stones = tuple(sorted(stones, key=lambda s: s.deleted_at))[-TOMBSTONES_MAX:]
        return Prompts(tuple(p for p in self.records if p.id != stone.id), stones)

    # ── local edits ───────────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, now_ms: int, rng: Rng, **members: Any) -> tuple[Prompts, Prompt]:
        """A new prompt. Raises PromptError when there is no room, it is too large, or its name is taken."""
        return self._edited(Prompt(id=mint_prompt_id(now_ms, rng), **members), now_ms)

    def edit(self, prompt_id: str, now_ms: int, **changes: Any) -> tuple[Prompts, Prompt]:
        """A changed prompt. Raises PromptError, also when another one has its new name."""
        return self._edited(attrs.evolve(self.find(prompt_id), **changes), now_ms)

    def copy(self, prompt: Prompt, now_ms: int) -> tuple[Prompts, Prompt]:
        """Take over a prompt of another network: same id, fresh stamp (FE-9.41). Raises PromptError, as `add`."""
        return self._edited(prompt, now_ms)

    def remove(self, prompt_id: str, now_ms: int) -> tuple[Prompts, Prompt]:
        """Delete it on every device that knows about deletion. Raises PromptError."""
        prompt = self.find(prompt_id)
        return self._drop(Tombstone(prompt.id, edit_stamp(now_ms, prompt.updated_at))), prompt

    def _edited(self, prompt: Prompt, now_ms: int) -> tuple[Prompts, Prompt]:
        known = self.by_id(prompt.id)
        previous = max(0 if known is None else known.updated_at, self.deleted_at(prompt.id))
        stamped = attrs.evolve(prompt, updated_at=edit_stamp(now_ms, previous))
        if known is None and len(self.records) >= PROMPTS_MAX:
            raise PromptError(f"this network has {PROMPTS_MAX} prompts, the most there can be; remove one first")
        size = _size(stamped)
        if size > PROMPT_MAX_BYTES:
            raise PromptError(f"the prompt has {size} bytes; {PROMPT_MAX_BYTES} is the most")
        if known is None or _key(known.name) != _key(stamped.name):
            self._check_name(stamped)
        return self._put(stamped), stamped

    def _check_name(self, prompt: Prompt) -> None:
        """A second one of a name would leave both to be called by their ids. Peers may bring one; a person does not."""
        key = _key(prompt.name)
        other = next((p for p in self.records if p.id != prompt.id and key and _key(p.name) == key), None)
        if other is not None:
            what = f"a prompt of this network is called '{prompt.name.strip()[:60]}' already ({other.id})"
            raise PromptError(f"{what}; `myownllm prompts edit` changes it, or gives one of them another name")


# ── merging ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class _WirePrompt:
    """A prompt as a peer may send it."""

    id: str = attrs.field(validator=[validators.min_len(1), validators.max_len(ID_MAX_CHARS)])
    tools: list[str]
    """without it the prompt would get every tool"""
    updated_at: int = attrs.field(validator=validators.ge(0))
    name: str = ""
    system_prompt: str = ""
    user_prompt: str = ""


@attrs.frozen
class _WireTombstone:
    id: str = attrs.field(validator=[validators.min_len(1), validators.max_len(ID_MAX_CHARS)])
    deleted_at: int = attrs.field(validator=validators.ge(0))


@attrs.frozen
class MergedPrompts:
    """What became of a peer's snapshot."""

    prompts: Prompts
    room: int
    """bytes that may still be added"""
    changed: bool = False
    from_future: int = 0
    """records that were ignored for their stamp"""
    malformed: int = 0
    no_room: int = 0
    """records beyond `PROMPTS_MAX` or `TOTAL_MAX_BYTES`"""


def merge(local: Prompts, incoming: Json, tombstones: Json, *, now_ms: int) -> MergedPrompts:
    """Take a peer's prompts where they are strictly newer, by id; what it does not mention stays.

    A deletion wins over a record with an older stamp, a record over an older deletion.
    """
    room = TOTAL_MAX_BYTES - sum(_size(prompt) for prompt in local.records)
    merged = MergedPrompts(Prompts(local.records, _kept(local.tombstones, now_ms)), room)
    for raw in incoming[: PROMPTS_MAX * 2] if isinstance(incoming, list) else ():
        merged = _merge_record(merged, raw, now_ms)
    for raw in tombstones[: TOMBSTONES_MAX * 2] if isinstance(tombstones, list) else ():
        merged = _merge_tombstone(merged, raw, now_ms)
    return attrs.evolve(merged, changed=merged.prompts != local)


def _key(name: str) -> str:
    """As what a name counts where a person types it."""
    return name.strip().casefold()


def _size(prompt: Prompt) -> int:
    return len(msgspec.json.encode(prompt.to_json()))


def _kept(tombstones: tuple[Tombstone, ...], now_ms: int) -> tuple[Tombstone, ...]:
    return tuple(stone for stone in tombstones if stone.deleted_at > now_ms - TOMBSTONE_KEEP_MS)


def _read(raw: Json, known: Prompt | None) -> Prompt:
    """A peer's record. Raises PayloadError.

    What it does not say about members that it may not know stays as it is here (FE-9.40).
    """
    wire = structure(_WirePrompt, raw)
    voice = {"voice": raw["voice"]} if "voice" in raw else {}
    if nests_deeper(voice, VOICE_MAX_DEPTH):
        raise PayloadError("voice: too deep")
    prompt = Prompt(
        id=wire.id,
        name=wire.name,
        system_prompt=wire.system_prompt,
        tools=known_tools(wire.tools),
        user_prompt=wire.user_prompt,
        updated_at=wire.updated_at,
        extra={**({} if known is None else known.extra), **voice},
    )
    try:
        size = _size(prompt)
    except UnicodeEncodeError:
        raise PayloadError("half a surrogate pair") from None
    if size > PROMPT_MAX_BYTES:
        raise PayloadError(f"{size} bytes")
    return prompt


def _merge_record(merged: MergedPrompts, raw: Json, now_ms: int) -> MergedPrompts:
    local = merged.prompts
    prompt_id = as_object(raw).get("id")
    known = local.by_id(prompt_id) if isinstance(prompt_id, str) else None
    try:
        prompt = _read(raw, known)
    except PayloadError:
        return attrs.evolve(merged, malformed=merged.malformed + 1)
    if prompt.updated_at > now_ms + FUTURE_TOLERANCE_MS:
        return attrs.evolve(merged, from_future=merged.from_future + 1)
    newest = max(-1 if known is None else known.updated_at, local.deleted_at(prompt.id) or -1)
    if prompt.updated_at <= newest:
        return merged
    room = merged.room - _size(prompt) + (0 if known is None else _size(known))
    if room < 0 or (known is None and len(local.records) >= PROMPTS_MAX):
        return attrs.evolve(merged, no_room=merged.no_room + 1)
    return attrs.evolve(merged, prompts=local._put(prompt), room=room)


def _merge_tombstone(merged: MergedPrompts, raw: Json, now_ms: int) -> MergedPrompts:
    local = merged.prompts
    try:
        wire = structure(_WireTombstone, raw)
    except PayloadError:
        return attrs.evolve(merged, malformed=merged.malformed + 1)
    if wire.deleted_at > now_ms + FUTURE_TOLERANCE_MS:
        return attrs.evolve(merged, from_future=merged.from_future + 1)
    known = local.by_id(wire.id)
    is_expired = wire.deleted_at <= now_ms - TOMBSTONE_KEEP_MS
    if is_expired or wire.deleted_at <= local.deleted_at(wire.id):
        return merged
    if known is not None and wire.deleted_at <= known.updated_at:
        return merged
    return attrs.evolve(merged, prompts=local._drop(Tombstone(wire.id, wire.deleted_at)))
