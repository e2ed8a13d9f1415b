"""What belongs into the slot: a pure function of pin, policy and facts (spec 09 §5).

The shell in `ensure` gathers facts, asks `decide`, carries the action out, adds what it learned (a download that
failed, an adoption that did not hold) and asks again. Each failure removes the step that failed, so the questions end.
`explain` prints the first answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh_bundler import messages, record
from mesh_bundler.errors import Exit
from mesh_bundler.policy import rank
from mesh_common.pins import NoPin, Pin
from mesh_common.semver import SemVer
from mesh_common.versions import Reported, Unreadable, compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from mesh_bundler.errors import Notice, Refused
    from mesh_bundler.policy import Policy
    from mesh_bundler.record import Record, SlotFacts
    from mesh_common.versions import Reading


_BUILD_AFTER = frozenset({"release_not_found", "asset_not_found", "offline_miss"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A binary on disk: the override, or one sibling build.

    `problem` is why it cannot be the daemon whatever version it is (`missing`, `not_a_file`, `too_small`,
    `wrong_target`, a header code); `reading` is None when it was not run.
    """

    origin: str  # variable or switch that named it, or "sibling"
    path: str
    size: int = 0
    mtime_ns: int = 0
    problem: str | None = None
    found: str = ""  # what its header says, for `wrong_target`
    wanted: str = ""
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the decision depends on besides pin and policy."""

    triple: str
    slot_path: str
    slot: SlotFacts | None = None  # None: absent
    record: Record | None = None
    bundled_rev: str | None = None
    override: Candidate | None = None
    siblings: tuple[Candidate, ...] = ()
    cached: bool = False  # the release archive is at hand, verified against a known digest
    offline: Refused | None = None  # set when the network must not be used: what to say then
    lock_binary_sha256: str | None = None
    can_build: bool = False
    release_failure: Refused | None = None
    build_failure: Refused | None = None
    adoption_failed: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """Leave the daemon out. `stub`: the slot is empty and the packager needs a file."""

    stub: bool


@dataclass(frozen=True, slots=True)
class Hash:
    """The slot's time changed and its size did not: hash it and ask again."""


@dataclass(frozen=True, slots=True)
class Keep:
    """The slot is current; nothing is to be done."""

    source: str
    stage_key: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """Another bundler staged the slot: check header and version, then write our record."""

    stage_key: str


@dataclass(frozen=True, slots=True)
class StageFile:
    """Copy this binary into the slot."""

    source: Literal["override", "sibling"]
    candidate: Candidate
    stage_key: str
    version: str | None
    marker: str | None  # content of `.bundled-rev`, None removes it


@dataclass(frozen=True, slots=True)
class StageRelease:
    """Stage the release archive, from the cache or from the network."""

    stage_key: str
    tag: str
    from_cache: bool


@dataclass(frozen=True, slots=True)
class BuildSource:
    """Build from source at this tag or commit."""

    stage_key: str
    revision: str
    is_tag: bool


@dataclass(frozen=True, slots=True)
class Stub:
    """An empty slot so that packaging goes on. A real daemon of another version is moved aside first, or left
    where it is (`write` false) when the caller insists."""

    move_aside: bool
    write: bool
    cause: Refused


@dataclass(frozen=True, slots=True)
class Fail:
    """Nothing may be staged."""

    refusal: Refused


if TYPE_CHECKING:
    Action: TypeAlias = Skip | Hash | Keep | Adopt | StageFile | StageRelease | BuildSource | Stub | Fail


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of `explain`: what was looked at and what came of it."""

    step: str
    subject: str
    verdict: str

    def to_json(self) -> dict[str, object]:
        return {"step": self.step, "subject": self.subject, "verdict": self.verdict}


@dataclass(frozen=True, slots=True)
class Decision:
    """The action, what to remark on the way, and why."""

    action: Action
    notices: tuple[Notice, ...] = ()
    reasons: tuple[Reason, ...] = ()


@dataclass(slots=True)
class _Trail:
    notices: list[Notice] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)

    def say(self, step: str, subject: str, verdict: str) -> None:
        self.reasons.append(Reason(step, subject, verdict))

    def end(self, action: Action) -> Decision:
        return Decision(action, tuple(self.notices), tuple(self.reasons))


def decide(pin: Pin | NoPin, policy: Policy, facts: Facts) -> Decision:
    """Total: every combination of arguments has exactly one decision."""
    trail = _Trail()
    if policy.skip is not None:
        return _skip(pin, policy, facts, trail)
    if facts.override is not None:
        return trail.end(_override(pin, facts.override, facts, trail))
    if isinstance(pin, NoPin) and not policy.allow_unpinned:
        trail.say("pin", pin.reason, "refused")
        return trail.end(Fail(messages.pin_missing(pin.reason)))
    action = _siblings(pin, policy, facts, trail) or _release(pin, policy, facts, trail)
    return trail.end(action)


def _skip(pin: Pin | NoPin, policy: Policy, facts: Facts, trail: _Trail) -> Decision:
    assert policy.skip is not None
    if policy.require:
        trail.say("skip", policy.skip, "contradicts the release mode")
        return trail.end(Fail(messages.skip_conflicts(policy.skip)))
    empty = facts.slot is None or facts.slot.size == 0
    trail.say("skip", policy.skip, "the daemon is left out")
    if not empty and not _at_pin(pin, facts):
        trail.notices.append(_stale(pin, facts))
    return trail.end(Skip(stub=empty))


def _override(pin: Pin | NoPin, override: Candidate, facts: Facts, trail: _Trail) -> Action:
    if override.problem is not None:
        trail.say("override", override.path, override.problem)
        return Fail(messages.override_refused(override.origin, override.path, override.problem, pin.label))
    reading = override.reading
    version = str(reading.version) if isinstance(reading, Reported) else None
    trail.say("override", override.path, f"used without comparison, reports {version or 'no version'}")
    trail.notices.append(
        messages.override_used(override.origin, override.path, version or "version unknown", pin.label)
    )
    if isinstance(reading, Unreadable):
        trail.notices.append(messages.override_unreadable(override.origin, override.path, reading.reason, pin.label))
    elif reading is not None and isinstance(pin, Pin) and not compare(pin, reading).matches:
        trail.notices.append(messages.override_differs(override.origin, override.path, str(reading.version), pin.label))
    key = record.override_key(override.path, override.mtime_ns, override.size)
    kept = _kept("override", key, facts, trail)
    return kept or StageFile("override", override, key, version, None)


def _siblings(pin: Pin | NoPin, policy: Policy, facts: Facts, trail: _Trail) -> Action | None:
    if policy.require or not policy.use_siblings:
        return None
    for sibling in facts.siblings:
        version = _accepted_sibling(pin, policy, sibling, trail)
        if version is None or sibling.reading is None:
            continue
        key = record.sibling_key(version, sibling.path, sibling.mtime_ns, sibling.size)
        # 09 S4, but never for a newer build under `at_least`: other bundlers read the marker as "this is the pin".
        marker = pin.raw if isinstance(pin, Pin) and compare(pin, sibling.reading).matches else None
        return _kept("sibling", key, facts, trail) or StageFile("sibling", sibling, key, version, marker)
    return None


def _accepted_sibling(pin: Pin | NoPin, policy: Policy, sibling: Candidate, trail: _Trail) -> str | None:
    """The version of a sibling that may be used; otherwise the remark about why not is on the trail."""
    if sibling.problem is not None:
        trail.say("sibling", sibling.path, sibling.problem)
        if sibling.problem == "too_small":
            trail.notices.append(messages.sibling_stub(sibling.path, sibling.size))
        elif sibling.problem == "wrong_target":
            trail.notices.append(messages.sibling_wrong_target(sibling.path, sibling.found, sibling.wanted))
        elif sibling.problem != "missing":
            trail.notices.append(
                messages.sibling_unreadable(sibling.path, sibling.problem, "", pin.label, policy.override_variable)
            )
        return None
    reading = sibling.reading or Unreadable("not_run")
    verdict = compare(pin, reading, policy.sibling_policy)
    trail.say("sibling", sibling.path, f"{verdict.verdict} {verdict.reason or ''} {verdict.version or ''}".strip())
    if isinstance(reading, Unreadable):
        trail.notices.append(
            messages.sibling_unreadable(
                sibling.path, reading.reason, reading.detail, pin.label, policy.override_variable
            )
        )
        return None
    version = str(reading.version)
    if verdict.verdict == "no_pin":
        trail.notices.append(messages.sibling_unpinned(sibling.path, version))
        return version
    if verdict.matches:
        return version
    trail.notices.append(
        messages.sibling_mismatch(
            sibling.path, version, verdict.reason or "different", pin.label, policy.override_variable
        )
    )
    return None


def _release(pin: Pin | NoPin, policy: Policy, facts: Facts, trail: _Trail) -> Action:
    if isinstance(pin, NoPin):
        trail.say("release", "no pin", "nothing to download without a pin")
        return _give_up(pin, policy, facts, trail, messages.pin_missing(pin.reason))
    tag = pin.tag
    if tag is None:
        refusal = messages.commit_has_no_release(pin.commit or pin.raw, policy.override_variable)
        trail.say("release", pin.raw, "a commit has no release")
        return _build(pin, policy, facts, trail, refusal, commit=True)
    kept = _kept_release(tag, policy, facts, trail)
    if kept is not None:
        return kept
    if facts.release_failure is not None:
        trail.say("release", tag, facts.release_failure.code)
        return _build(pin, policy, facts, trail, facts.release_failure, commit=False)
    if facts.cached:
        trail.say("cache", tag, "the verified archive is at hand")
        return StageRelease(record.release_key(tag), tag, from_cache=True)
    if facts.offline is not None:
        trail.say("release", tag, "offline and not cached")
        return _build(pin, policy, facts, trail, facts.offline, commit=False)
    trail.say("release", tag, "download")
    return StageRelease(record.release_key(tag), tag, from_cache=False)


def _kept_release(tag: str, policy: Policy, facts: Facts, trail: _Trail) -> Action | None:
    """Keep, Hash or Adopt when the slot may already be this release, under today's demands."""
    key = record.release_key(tag)
    verdict = record.judge_slot(
        facts.record,
        facts.slot,
        triple=facts.triple,
        stage_key=key,
        bundled_rev=facts.bundled_rev,
        pins=(tag, tag.removeprefix("v")),
    )
    if verdict == "verify_then_adopt":
        if facts.adoption_failed or not _may_adopt(policy, facts):
            return None
        trail.say("slot", facts.slot_path, "staged by another bundler at the pin: verify, then adopt")
        return Adopt(key)
    if verdict == "restage" or facts.record is None:
        return None
    wanted = facts.lock_binary_sha256
    if wanted is not None and facts.record.sha256 != wanted:
        trail.say("slot", facts.slot_path, "differs from the lock file")
        return None
    adopted = facts.record.verified == "none" and _may_adopt(policy, facts)
    if wanted is None and not adopted and rank(facts.record.verified) < rank(policy.floor):
        trail.say("slot", facts.slot_path, f"was verified by {facts.record.verified} only")
        return None
    if verdict == "needs_hash":
        return Hash()
    trail.say("slot", facts.slot_path, "current")
    return Keep("release", key)


def _may_adopt(policy: Policy, facts: Facts) -> bool:
    """Only a version vouches for an adopted slot: enough for development, in release mode a digest must agree too."""
    return facts.lock_binary_sha256 is not None or (not policy.require and rank(policy.floor) <= rank("checksum"))


def _kept(source: str, key: str, facts: Facts, trail: _Trail) -> Action | None:
    verdict = record.judge_slot(facts.record, facts.slot, triple=facts.triple, stage_key=key)
    if verdict == "needs_hash":
        return Hash()
    if verdict != "current":
        return None
    trail.say("slot", facts.slot_path, "current")
    return Keep(source, key)


def _build(pin: Pin, policy: Policy, facts: Facts, trail: _Trail, cause: Refused, *, commit: bool) -> Action:
    wanted = commit or cause.code in _BUILD_AFTER
    if wanted and policy.allow_source_build and not policy.require and facts.can_build and facts.build_failure is None:
        revision = pin.tag or pin.commit or pin.raw
        key = record.source_key(revision)
        trail.say("source", revision, "build from source")
        return _kept("source", key, facts, trail) or BuildSource(key, revision, is_tag=pin.tag is not None)
    return _give_up(pin, policy, facts, trail, facts.build_failure or cause)


def _give_up(pin: Pin | NoPin, policy: Policy, facts: Facts, trail: _Trail, cause: Refused) -> Action:
    real = facts.slot is not None and facts.slot.size > 0
    if not real or not _at_pin(pin, facts):
        return _without_daemon(pin, policy, facts, trail, cause, real=real)
    # The slot holds the pinned version from a source that is gone now (a sibling, say). In development that is better
    # than nothing; a release build must get it from where the pin says.
    noted = facts.record
    if not policy.require and noted is not None and cause.exit_code is Exit.NETWORK:
        kept = _kept(noted.source, noted.stage_key, facts, trail)
        if kept is not None:
            trail.notices.append(messages.release_unavailable(cause, pin.label))
            return kept
    trail.say("fail", facts.slot_path, cause.code)
    return Fail(cause)


def _without_daemon(
    pin: Pin | NoPin, policy: Policy, facts: Facts, trail: _Trail, cause: Refused, *, real: bool
) -> Action:
    if real:
        trail.notices.append(_stale(pin, facts))
    # After wrong bytes (7) or a wrong version (8) nothing may look like success; other exits are not about the daemon.
    if policy.allow_stub and not policy.require and cause.exit_code in (Exit.NETWORK, Exit.PIN):
        trail.notices.insert(0, messages.release_unavailable(cause, pin.label))
        trail.say("stub", facts.slot_path, "an empty slot, as allowed")
        return Stub(move_aside=real and not policy.keep_stale, write=not (real and policy.keep_stale), cause=cause)
    trail.say("fail", facts.slot_path, cause.code)
    return Fail(cause)


def _at_pin(pin: Pin | NoPin, facts: Facts) -> bool:
    """Whether the slot's own record says that it holds the pinned daemon."""
    noted, slot = facts.record, facts.slot
    if noted is None or slot is None or noted.size != slot.size or noted.triple != facts.triple:
        return False
    if isinstance(pin, NoPin) or noted.source == "override":
        return False
    version = SemVer.parse(noted.version or "")
    return noted.stage_key == record.source_key(pin.tag or pin.commit or "") or (
        pin.version is not None and version is not None and compare(pin, Reported(version)).matches
    )


def _stale(pin: Pin | NoPin, facts: Facts) -> Notice:
    known = facts.record.version if facts.record is not None else None
    return messages.slot_stale(facts.slot_path, known or "an unknown version", pin.label)
