"""Who may run tools on this device: the gates of one network, and how those of several devices meet. Pure.

Records and their stamps are in spec 08 §6.4, merging in FE-9.33, limits in FE-9.36, what waits for a person in FE-9.42.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Literal, cast, get_args

import attrs
from attrs import validators

from myownllm.coerce import as_object, stamp, strings
from myownllm.errors import AppError
from myownllm.payloads import PayloadError, structure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownllm.coerce import Json, JsonObject

Mode = Literal["ask", "accept_all", "denied"]
MODES: Final = get_args(Mode)
Tool = Literal["shell", "write_file"]
TOOLS: Final[tuple[Tool, ...]] = get_args(Tool)
ALLOWED_MAX: Final = 256
"""Entries of one allow list (FE-9.36)."""
LITERAL_MAX_BYTES: Final = 4096
"""Of one entry: a command or an absolute path."""
FUTURE_TOLERANCE_MS: Final = 300_000
"""A stamp further ahead is a wrong clock's, and would lock everybody out of later edits."""

_PERMISSIVE: Final[dict[str, int]] = {"denied": 0, "ask": 1, "accept_all": 2}


class PolicyError(AppError):
    """A change of the policy that cannot be made."""


def short_enough(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Validator: an allowed literal of at most `LITERAL_MAX_BYTES`, and not empty. Raises ValueError."""
    if not 0 < len(value.encode()) <= LITERAL_MAX_BYTES:
        raise ValueError(f"{attribute.name}: an entry of {len(value.encode())} bytes")


@attrs.frozen
class Gate:
    """The policy for one tool. The fresh one has stamp 0, so it loses against any real edit."""

    mode: Mode = "ask"
    always_accept: tuple[str, ...] = ()
    """commands or absolute paths, compared exactly"""
    updated_at: int = 0
    """milliseconds since the epoch at which a person decided it"""

    @classmethod
    def from_json(cls, value: Json) -> Gate:
        """A saved record; whatever is malformed takes its default alone."""
        raw = as_object(value)
        mode = raw.get("mode")
        return cls(
            mode=cast("Mode", mode) if mode in MODES else "ask",
            always_accept=strings(raw.get("always_accept")),
            updated_at=stamp(raw.get("updated_at")),
        )

    def to_json(self) -> JsonObject:
        return {"mode": self.mode, "always_accept": list(self.always_accept), "updated_at": self.updated_at}

    def relaxes(self, other: Gate) -> bool:
        """Would this gate, in the place of `other`, let pass what `other` stops or asks about?

        A new entry of the allow list counts under every mode: it would come alive with the next change of the mode.
        """
        allows_more = not set(self.always_accept) <= set(other.always_accept)
        return allows_more or _PERMISSIVE[self.mode] > _PERMISSIVE[other.mode]


@attrs.frozen
class Policy:
    """The gates of one network."""

    shell: Gate = Gate()
    write_file: Gate = Gate()

    @classmethod
    def from_json(cls, value: Json) -> Policy | None:
        """A network's saved policy, or None when there is none."""
        if not isinstance(value, dict):
            return None
        return cls(Gate.from_json(value.get("shell")), Gate.from_json(value.get("write_file")))

    def to_json(self) -> JsonObject:
        return {"shell": self.shell.to_json(), "write_file": self.write_file.to_json()}

    def gate(self, tool: Tool) -> Gate:
        return self.shell if tool == "shell" else self.write_file

    def with_gate(self, tool: Tool, gate: Gate) -> Policy:
        return attrs.evolve(self, shell=gate) if tool == "shell" else attrs.evolve(self, write_file=gate)


def legacy(value: Json, now_ms: int) -> Policy | None:
    """The policy of builds that had one for the whole app, or one per device (spec 08 §6.5 step 4)."""
    if not isinstance(value, dict):
        return None
    by_device = value.get("by_device")
    sources = [d for d in by_device.values() if isinstance(d, dict)] if isinstance(by_device, dict) else [value]
    policy = Policy()
    for tool in TOOLS:
        gates = [_stamped(Gate.from_json(s[tool]), now_ms) for s in sources if tool in s]
        if gates:
            policy = policy.with_gate(tool, max(gates, key=lambda gate: gate.updated_at))
    return policy


def _stamped(gate: Gate, now_ms: int) -> Gate:
    """A record that someone set before stamps existed counts as set now."""
    is_default = gate.mode == "ask" and not gate.always_accept
    return gate if gate.updated_at or is_default else attrs.evolve(gate, updated_at=now_ms)


# ── what waits for a person ───────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class HeldGate:
    """A peer's gate that relaxes ours and has not come into force (FE-9.42)."""

    gate: Gate
    sender: str
    """device id it came from"""
    held_at: int
    """milliseconds since the epoch"""
    is_rejected: bool = False
    """a person said no; kept so that the same record is not asked about again a minute later"""

    @classmethod
    def from_json(cls, value: Json) -> HeldGate:
        raw = as_object(value)
        sender = raw.get("sender")
        return cls(
            gate=Gate.from_json(raw.get("record")),
            sender=sender if isinstance(sender, str) else "",
            held_at=stamp(raw.get("held_at")),
            is_rejected=raw.get("rejected") is True,
        )

    @property
    def code(self) -> str:
        """Six digits that name what waits: who agrees by it agrees to this, not to what came in its place meanwhile.

        The moment of arrival is part of it, which no peer can choose.
        """
        import hashlib  # loads OpenSSL, and hardly any command shows a code

        named = json.dumps([self.gate.to_json(), self.sender, self.held_at], sort_keys=True)
        return hashlib.sha256(named.encode()).hexdigest()[:6]

    def to_json(self) -> JsonObject:
        told = {"rejected": True} if self.is_rejected else {}
        return {"record": self.gate.to_json(), "sender": self.sender, "held_at": self.held_at, **told}


@attrs.frozen
class Permissions:
    """What one network's record says about tools: the policy in force, and what waits beside it."""

    policy: Policy | None = None
    """None is a fresh one that nobody has touched"""
    held: Mapping[Tool, HeldGate] = attrs.field(factory=dict)

    @property
    def in_force(self) -> Policy:
        return self.policy or Policy()

    @property
    def pending(self) -> dict[Tool, HeldGate]:
        """What a person has still to decide."""
        return {tool: held for tool, held in self.held.items() if not held.is_rejected}

    @classmethod
    def from_json(cls, policy: Json, held: Json) -> Permissions:
        kept = as_object(held)
        return cls(
            Policy.from_json(policy),
            {tool: HeldGate.from_json(kept[tool]) for tool in TOOLS if isinstance(kept.get(tool), dict)},
        )

    def to_json(self) -> JsonObject:
        """The policy in force and what waits beside it, for programs; not the form in which it is saved."""
        held = {tool: {**held.to_json(), "code": held.code} for tool, held in self.held.items()}
        return {**self.in_force.to_json(), "held": held}

    def held_json(self) -> JsonObject | None:
        """None when nothing waits, so that a file without it keeps its bytes."""
        return {tool: held.to_json() for tool, held in self.held.items()} or None

    def _without(self, tool: Tool) -> dict[Tool, HeldGate]:
        return {t: h for t, h in self.held.items() if t != tool}

    # ── local edits ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _edited(self, tool: Tool, gate: Gate, now_ms: int) -> Permissions:
        """A person's own edit also answers what waited for that tool: its stamp is newer than both."""
        if len(gate.always_accept) > ALLOWED_MAX:
            raise PolicyError(f"the allow list of {tool} is full: {ALLOWED_MAX} entries; forget one first")
        held = self.held.get(tool)
        previous = max(self.in_force.gate(tool).updated_at, 0 if held is None else held.gate.updated_at)
        stamped = attrs.evolve(gate, updated_at=edit_stamp(now_ms, previous))
        return Permissions(self.in_force.with_gate(tool, stamped), self._without(tool))

    def set_mode(self, tool: Tool, mode: Mode, now_ms: int) -> Permissions:
        """A person chose a mode."""
        return self._edited(tool, attrs.evolve(self.in_force.gate(tool), mode=mode), now_ms)

    def allow(self, tool: Tool, literal: str, now_ms: int) -> Permissions:
        """Never ask again for exactly this command or path; unchanged when it stands there. Raises PolicyError."""
        gate = self.in_force.gate(tool)
        if literal in gate.always_accept:
            return self
        if not 0 < len(literal.encode()) <= LITERAL_MAX_BYTES:
            raise PolicyError(f"an allowed command or path has 1 to {LITERAL_MAX_BYTES} bytes")
        return self._edited(tool, attrs.evolve(gate, always_accept=(*gate.always_accept, literal)), now_ms)

    def forget(self, tool: Tool, literal: str, now_ms: int) -> Permissions:
        """Take an entry off the allow list. Raises PolicyError when it is not there."""
        gate = self.in_force.gate(tool)
        if literal not in gate.always_accept:
            raise PolicyError(f"{tool} does not allow exactly that; `myownllm policy show` lists what it allows")
        left = tuple(entry for entry in gate.always_accept if entry != literal)
        return self._edited(tool, attrs.evolve(gate, always_accept=left), now_ms)

    def agree(self, tool: Tool, code: str) -> Permissions:
        """Let what waits under that code come into force, with its own stamp. Raises PolicyError when it does not."""
        held = self._waiting(tool)
        if code.strip().lower() != held.code:
            raise PolicyError(f"what waits for {tool} has the code {held.code}; `myownllm policy pending` shows it")
        return Permissions(self.in_force.with_gate(tool, held.gate), self._without(tool))

    def reject(self, tool: Tool) -> Permissions:
        """Keep our gate against what waits. Raises PolicyError when nothing waits."""
        return attrs.evolve(self, held={**self.held, tool: attrs.evolve(self._waiting(tool), is_rejected=True)})

    def _waiting(self, tool: Tool) -> HeldGate:
        held = self.held.get(tool)
        if held is None:
            raise PolicyError(f"no peer asks to relax {tool}; `myownllm policy pending` lists what waits")
        return held


def edit_stamp(now_ms: int, previous: int) -> int:
    """The stamp of a local edit: also newer than the one before when the clock went back (FE-9.37)."""
    return max(now_ms, previous + 1)


# ── merging ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class _WireGate:
    """A gate as a peer may send it."""

    mode: Mode
    always_accept: list[str] = attrs.field(
        validator=[validators.max_len(ALLOWED_MAX), validators.deep_iterable(short_enough)]
    )
    updated_at: int = attrs.field(validator=validators.ge(0))


@attrs.frozen
class MergedPermissions:
    """What became of a peer's snapshot, per tool."""

    permissions: Permissions
    taken: tuple[Tool, ...] = ()
    """replaced ours"""
    relaxed: tuple[Tool, ...] = ()
    """those of `taken` that let more pass than before"""
    held: tuple[Tool, ...] = ()
    """began to wait for a person with this snapshot"""
    from_future: tuple[Tool, ...] = ()
    malformed: tuple[Tool, ...] = ()


def merge(local: Permissions, tools: Json, *, sender: str, now_ms: int, confirm_relaxing: bool) -> MergedPermissions:
    """Take a peer's gates where they are strictly newer; a malformed one is ignored, never bent into a weaker one.

    With `confirm_relaxing` a gate that relaxes ours is put beside it instead, until a person agrees. What waits gives
    way to anything newer.
    """
    merged = MergedPermissions(local)
    for tool in TOOLS:
        raw = as_object(tools).get(tool)
        if raw is None:
            continue
        try:
            wire = structure(_WireGate, raw)
        except PayloadError:
            merged = attrs.evolve(merged, malformed=(*merged.malformed, tool))
            continue
        if wire.updated_at > now_ms + FUTURE_TOLERANCE_MS:
            merged = attrs.evolve(merged, from_future=(*merged.from_future, tool))
            continue
        gate = Gate(wire.mode, tuple(dict.fromkeys(wire.always_accept)), wire.updated_at)
        merged = _merge_one(merged, tool, HeldGate(gate, sender, now_ms), confirm_relaxing=confirm_relaxing)
    return merged


def _merge_one(
    merged: MergedPermissions, tool: Tool, incoming: HeldGate, *, confirm_relaxing: bool
) -> MergedPermissions:
    local = merged.permissions
    ours, held, gate = local.in_force.gate(tool), local.held.get(tool), incoming.gate
    if gate.updated_at <= ours.updated_at:
        return merged
    relaxes = gate.relaxes(ours)
    if relaxes and confirm_relaxing:
        if held is not None and gate.updated_at <= held.gate.updated_at:
            return merged
        waiting = attrs.evolve(local, held={**local.held, tool: incoming})
        return attrs.evolve(merged, permissions=waiting, held=(*merged.held, tool))
    still_held = local.held if held is not None and held.gate.updated_at > gate.updated_at else local._without(tool)
    return attrs.evolve(
        merged,
        permissions=Permissions(local.in_force.with_gate(tool, gate), still_held),
        taken=(*merged.taken, tool),
        relaxed=(*merged.relaxed, tool) if relaxes else merged.relaxed,
    )
