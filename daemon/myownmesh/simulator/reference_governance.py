"""What one v0.3.8 device makes of governance frames: a plain reading of spec 02 §6–§11, §13–§15, with all its holes.

Written anew and not from the product's rooms, of which it takes nothing but the shapes of frames and the signed bytes.
It is what attacks must succeed against, and what plays v0.3.8 in simulated networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from myownmesh.governance.entries import entry_key
from myownmesh.governance.signed_bytes import signed_bytes
from myownmesh.identity.keys import verify
from myownmesh.protocol import base32
from myownmesh.protocol.frames import (
    Deny,
    NetworkState,
    NetworkStateAck,
    NetworkStatePropose,
    NetworkStateSplit,
    RosterEntries,
    RosterRequest,
)
from myownmesh.protocol.limits import MAX_FRAME_BYTES
from myownmesh.protocol.transitions import (
    Evict,
    KindChange,
    RoleGrant,
    RoleRevoke,
    Split,
    TopologyChange,
    Transition,
    UnknownVariant,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from myownmesh.identity import Identity
    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.transitions import Variant

RANKS: Final[Mapping[str, int]] = {"member": 1, "controller": 2, "owner": 3}
_good: dict[tuple[str, bytes, str], bool] = {}
"""Signatures are checked once: thousands of runs show the same ones."""


def signed_entry(network: str, signer: Identity, variant: Variant, at: int) -> Transition:
    """An entry with one plain signature, as v0.3.8 writes it."""
    signature = base32.encode(signer.sign(signed_bytes(network, variant)))
    return Transition(at, variant, (signer.device_id,), (signature,))


@define
class Reached:
    """Where a log leads (§6)."""

    kind: str = "open"
    roles: dict[str, str] = field(factory=dict)
    topology: object = None


@define(eq=False)
class ReferenceGovernance:
    """The state file of one device, as it follows from frames."""

    network: str
    me: Identity
    kind: str = "open"
    roles: dict[str, str] = field(factory=dict)
    log: list[Transition] = field(factory=list)
    members: list[Transition] = field(factory=list)
    pending: dict[str, dict[str, Any]] = field(factory=dict)
    topology: object = None
    _verdicts: tuple[int, int, dict[str, bool]] | None = None
    """The last ones, with the lengths of both logs, which only grow."""
    told: tuple[int, int, str] | None = None
    """What was last said of the counts."""

    # ── §6: from genesis ──────────────────────────────────────────────────────────────────────────────────────────────

    def reaches(self, log: Iterable[Transition]) -> Reached | None:
        """What a log makes, None if it is not accepted."""
        at = Reached()
        for entry in log:
            if not self.is_signed(entry) or not quorum(at.kind, at.roles, entry.variant, entry.signers, at.topology):
                return None
            match entry.variant:
                case KindChange(to=to):
                    at.kind = to
                    if to == "closed":
                        at.roles[entry.signers[0]] = "owner"
                case RoleGrant(target=target, role=role):
                    at.roles[target] = role
                case RoleRevoke(target=target) | Evict(target=target):
                    at.roles.pop(target, None)
                case TopologyChange(to=to):
                    at.topology = to
                case _:
                    pass
        return at

    def is_signed(self, entry: Transition) -> bool:
        """Every signature decodes and fits; nothing else is looked at."""
        if not entry.signers or len(entry.signers) != len(entry.signatures):
            return False
        payload = signed_bytes(self.network, entry.variant)
        return all(_fits(signer, payload, text) for signer, text in zip(entry.signers, entry.signatures, strict=True))

    # ── §7: adopting ──────────────────────────────────────────────────────────────────────────────────────────────────

    def adopt(self, log: Sequence[Transition]) -> bool:
        """Take a longer log that begins like ours."""
        if len(log) <= len(self.log) or not all(map(_alike, self.log, log)):
            return False
        reached = self.reaches(log)
        if reached is None:
            return False
        self.kind, self.log, self.topology = reached.kind, list(log), reached.topology
        return True

    # ── §8: the member log ────────────────────────────────────────────────────────────────────────────────────────────

    def merge(self, entries: Iterable[Transition]) -> bool:
        """Take whatever is new, signed or not."""
        merged = {entry_key(entry): entry for entry in (*self.members, *entries)}
        if len(merged) <= len(self.members):
            return False
        self.members = [merged[key] for key in sorted(merged)]
        return True

    def verdicts(self) -> dict[str, bool]:
        """Who is present, by bare id; False: removed."""
        lengths = len(self.log), len(self.members)
        if self._verdicts is None or self._verdicts[:2] != lengths:
            self._verdicts = *lengths, self._read_verdicts()
        return self._verdicts[2]

    def _read_verdicts(self) -> dict[str, bool]:
        roles = (self.reaches(self.log) or Reached()).roles
        found: dict[str, bool] = {}
        for entry in sorted(self.members, key=lambda each: (each.at, is_admit(each.variant), entry_key(each))):
            seated = any(RANKS[roles.get(signer, "member")] > 1 for signer in entry.signers)
            if not seated or not self.is_signed(entry):
                continue
            if is_admit(entry.variant):
                found[entry.variant.target] = True  # type: ignore[union-attr]  # a grant
            elif isinstance(entry.variant, RoleRevoke | Evict):
                found[entry.variant.target] = False
        return found

    def project(self) -> None:
        """§9."""
        reached = self.reaches(self.log) or Reached()
        self.roles = dict(reached.roles)
        for device, present in self.verdicts().items():
            if present:
                self.roles.setdefault(device, "member")

    def is_evicted(self, device: str) -> bool:
        """§15.1."""
        if self.kind != "closed" or RANKS[self.roles.get(device, "member")] > 1:
            return False
        return self.verdicts().get(device) is False

    # ── §10, §11: proposals ───────────────────────────────────────────────────────────────────────────────────────────

    def propose(self, proposal_id: str, variant: Variant, now: int) -> list[Frame]:
        """What a person here wants; the frames go to everybody."""
        entry = signed_entry(self.network, self.me, variant, self.stamp(variant, now))
        (signature,) = entry.signatures
        self.pending[proposal_id] = record(variant, self.me.device_id, signature, entry.at)
        proposed = NetworkStatePropose(proposal_id, variant, self.me.device_id, now, signature)
        return [proposed, self.counts(), *self.ratify(proposal_id)]

    def stamp(self, variant: Variant, now: int) -> int:
        target = getattr(variant, "target", None)
        plain = isinstance(variant, RoleRevoke) and RANKS[self.roles.get(variant.target, "member")] == 1
        if not (is_admit(variant) or isinstance(variant, Evict) or plain):
            return now
        newest = max((each.at for each in self.members if getattr(each.variant, "target", None) == target), default=-1)
        return max(now, newest + 1)

    def ratify(self, proposal_id: str) -> list[Frame]:
        """§11.3: put it into force if it may be."""
        known = self.pending.get(proposal_id)
        if known is None:
            return []
        if known["deniers"]:
            del self.pending[proposal_id]
            return []
        pairs = sorted(known["signatures"].items(), key=lambda pair: (pair[0] != known["proposer"], pair[0]))
        variant = known["variant"]
        entry = Transition(
            known["created_at"], variant, tuple(each for each, _ in pairs), tuple(each for _, each in pairs)
        )
        if not self.is_signed(entry) or not quorum(self.kind, self.roles, variant, entry.signers, self.topology):
            return []
        del self.pending[proposal_id]
        target = getattr(variant, "target", None)
        is_seated = RANKS[self.roles.get(target or "", "member")] > 1
        removal = isinstance(variant, Evict | RoleRevoke)
        member_tier = is_admit(variant) or (removal and not is_seated)
        if member_tier or isinstance(variant, Evict):
            self.merge([entry])
        if not member_tier:
            self.log.append(entry)
        reached = self.reaches(self.log)
        if reached is not None:
            self.kind, self.topology = reached.kind, reached.topology
        self.project()
        return [self.counts()]

    # ── §11.4, §13, §14: frames ───────────────────────────────────────────────────────────────────────────────────────

    def hear(self, frame: Frame, sender: str) -> list[Frame]:
        """Take a frame of an admitted peer (a deny: of anybody). Returns what goes back to it."""
        match frame:
            case Deny(transitions=transitions, member_log=member_log):
                self.take(transitions, member_log)
                return []
            case RosterEntries(transitions=transitions, member_log=member_log):
                self.take(transitions, member_log)
                return []
            case RosterRequest():
                return list(self.answer())
            case NetworkState(transitions_count=log, member_log_count=members):
                ahead = log > len(self.log) or members > len(self.members)
                return [RosterRequest(include_all=True)] if ahead else []
            case NetworkStatePropose(proposal_id=known, variant=variant, proposer=proposer):
                payload = signed_bytes(self.network, variant)
                if proposer == sender and _fits(proposer, payload, frame.signature):
                    self.pending.setdefault(known, record(variant, proposer, frame.signature, frame.created_at))
                    return self.ratify(known)
            case NetworkStateAck(proposal_id=known, signer=signer) if known in self.pending and signer == sender:
                if frame.decision == "deny":
                    self.pending[known]["deniers"].append(signer)
                elif _fits(signer, signed_bytes(self.network, self.pending[known]["variant"]), frame.signature):
                    self.pending[known]["signatures"].setdefault(signer, frame.signature)
                return self.ratify(known)
            case NetworkStateSplit(proposer=proposer, at=at) if proposer == sender:
                entry = Transition(at, Split(frame.new_network_id, frame.members), (proposer,), (frame.signature,))
                if self.is_signed(entry):
                    self.log.append(entry)
            case _:
                pass
        return []

    def take(self, transitions: Sequence[Transition], member_log: Sequence[Transition]) -> bool:
        """Adopt and merge."""
        adopted, merged = self.adopt(transitions), self.merge(member_log)
        if adopted or merged:
            self.project()
        return adopted or merged

    def counts(self) -> NetworkState:
        return NetworkState(self.kind, len(self.log), len(self.members), "")  # type: ignore[arg-type]  # a kind

    def answer(self) -> Iterator[RosterEntries]:
        """Everything in one frame; what is larger than a frame never arrives (W15)."""
        if self._fit_one_frame():
            yield RosterEntries((), tuple(self.log), tuple(self.members))

    def denial(self) -> Iterator[Deny]:
        """What an evicted device gets; as above."""
        if self._fit_one_frame():
            yield Deny("evicted", tuple(self.log), tuple(self.members))

    def _fit_one_frame(self) -> bool:
        return sum(len(entry_key(each)) + 1 for each in (*self.log, *self.members)) < MAX_FRAME_BYTES - 128

    def news(self) -> list[Frame]:
        """What goes to everybody if something changed since this was last asked."""
        now = (len(self.log), len(self.members), self.kind)
        if now == self.told:
            return []
        self.told = now
        return [self.counts()]


def record(variant: Variant, proposer: str, signature: str, created_at: int) -> dict[str, Any]:
    return {
        "variant": variant,
        "proposer": proposer,
        "signatures": {proposer: signature},
        "created_at": created_at,
        "deniers": [],
    }


def quorum(kind: str, roles: Mapping[str, str], variant: Variant, signers: Sequence[str], topology: object) -> bool:
    """§3: what v0.3.8 enforces."""
    best = max((RANKS[roles.get(signer, "member")] for signer in signers), default=0)
    match variant:
        case KindChange(to=to):
            least = {("open", "closed"): 1, ("closed", "open"): RANKS["owner"]}.get((kind, to))
            return least is not None and best >= least
        case RoleGrant(role=role):
            return kind != "closed" or best >= (RANKS["owner"] if role == "owner" else RANKS["controller"])
        case RoleRevoke(target=target) | Evict(target=target):
            needed = RANKS["owner"] if roles.get(target) == "owner" else RANKS["controller"]
            return kind != "closed" or best >= needed
        case Split():
            return len(set(signers)) == 1
        case TopologyChange(to=to):
            return kind == "closed" and to != topology and best == RANKS["owner"]
        case UnknownVariant():
            return False


def is_admit(variant: Variant) -> bool:
    return isinstance(variant, RoleGrant) and variant.role == "member"


def _alike(ours: Transition, theirs: Transition) -> bool:
    same_signers = len(ours.signers) == len(theirs.signers) and set(ours.signers) == set(theirs.signers)
    return ours.variant == theirs.variant and same_signers


def _fits(signer: str, payload: bytes, signature: str) -> bool:
    key = signer, payload, signature
    if key not in _good:
        try:
            _good[key] = verify(signer.lower(), payload, base32.decode(signature, 64))
        except ValueError:
            _good[key] = False
    return _good[key]
