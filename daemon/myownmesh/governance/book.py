"""All that one device holds of one network's governance, as one value.

Everything that changes it (`adoption`, `hearing`, `intake`, `authoring`) takes a book and returns another, at once and
without I/O; whoever owns the book compares the two and acts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.governance.branches import Branch, Branches
from myownmesh.governance.judging import Aside, Court
from myownmesh.governance.member_log import EMPTY as NO_MEMBERS
from myownmesh.governance.memory import Memory
from myownmesh.governance.pins import Pin
from myownmesh.governance.proposals import Proposals
from myownmesh.governance.questions import Questions
from myownmesh.governance.rules import STRICT
from myownmesh.governance.verdicts import Bench, newly_kept

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from myownmesh.governance.copies import Copy
    from myownmesh.governance.log import Log
    from myownmesh.governance.member_log import Draft, MemberLog
    from myownmesh.governance.records import SplitRecord
    from myownmesh.governance.rules import Rules
    from myownmesh.governance.standing import Standing
    from myownmesh.protocol.frames import NetworkKind, Role
    from myownmesh.protocol.transitions import Transition

NO_PIN: Final = Pin("")
"""Stands for one of the book's own network that says nothing."""
MAX_SPLITS: Final = 64
"""Splits that were announced by frame; they are shown, and never enter the log (FIX 7)."""


class Book(Value, frozen=True):
    """Governance of one network on one device."""

    network_id: str
    """The wire's id, normalised."""
    me: str
    """This device's bare id."""
    pin: Pin = NO_PIN
    rules: Rules = STRICT
    configured: NetworkKind = "open"
    """The kind that the configuration or an unfounded state file names: a floor while nothing is signed."""
    branch: Branch = msgspec.field(default_factory=Branch)
    branches: Branches = msgspec.field(default_factory=Branches)
    members: MemberLog = NO_MEMBERS
    aside: Aside = msgspec.field(default_factory=Aside)
    proposals: Proposals = msgspec.field(default_factory=Proposals)
    questions: Questions = msgspec.field(default_factory=Questions)
    """What waits for a person here, and for nobody else."""
    memory: Memory = msgspec.field(default_factory=Memory)
    splits: tuple[SplitRecord, ...] = ()
    lost: int = 0
    """Entries that the governance log had before this device lost it: nothing is authored until they are back (50)."""
    heard: Mapping[str, int] = msgspec.field(default_factory=dict)
    """When authorities were heard last, Unix seconds, to the hour: for a person who asks who is still there."""

    def __post_init__(self) -> None:
        if self.pin is NO_PIN:
            msgspec.structs.force_setattr(self, "pin", Pin(self.network_id))

    # ── what holds ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def log(self) -> Log:
        """The governance log that counts."""
        return self.branch.log

    @property
    def standing(self) -> Standing:
        return self.branch.log.standing

    @property
    def kind(self) -> NetworkKind:
        """What the network is now (spec 02 §2, FIX 21, 31, 40).

        Signed state decides once there is any; what is pinned and lost is closed; before, the configuration does.
        """
        if self.configured == "silent":
            return "silent"
        if self.log.founding is not None:
            return self.standing.kind
        return "closed" if self.pin.is_set else self.configured

    @property
    def is_founded(self) -> bool:
        """Whether anybody decides here by signature."""
        return self.log.founding is not None

    @property
    def bench(self) -> Bench:
        """What verdicts are taken from."""
        return Bench(self.members, self.standing, self.pin.evicted, self.me)

    def court(self, now: int, draft: Draft) -> Court:
        """What entries are judged by while a slice of them is entered into a draft; `now` in Unix seconds."""
        return Court(draft, Bench(draft, self.standing, self.pin.evicted, self.me), self.rules, now)

    def horizon(self, now: int) -> int:
        """The later of the own clock, `now` in Unix seconds, and the newest time that is sure."""
        return max(now, self.members.newest_sure)

    def role(self, device: str) -> Role | None:
        """The role of a bare id: of a seat, or by the member log; None for whom nobody signed in."""
        return self.standing.role(device) if self.bench.is_member(device) else None

    def is_evicted(self, device: str) -> bool:
        """What a handshake asks (15.1). Looks at one device's entries, whatever the log's size."""
        return self.kind == "closed" and self.bench.is_evicted(device)

    def admits(self, device: str) -> bool:
        """Whether signed state lets a device in without anybody's approval (FIX 18)."""
        return self.kind == "closed" and self.bench.is_member(device)

    # ── how it changes ────────────────────────────────────────────────────────────────────────────────────────────────

    def with_branch(self, branch: Branch, branches: Branches) -> Book:
        """Hold another branch. Removals whose author loses a seat by it are kept; the pin follows.

        The only way in which seats change. Entries that waited for their signer to become known are to be judged again
        (`hearing.hear_again`).
        """
        after = branch.log.standing
        new = after.known - self.standing.known
        kept = newly_kept(self.bench, after)
        pin = self.pin.on(branch.log, lost=self.lost)
        grown = len(branch.log) != len(self.log)
        return replace(
            self,
            branch=branch,
            branches=branches,
            members=self.members.with_known(new, after, self.me) if new else self.members,
            memory=self.memory.with_log(branch.log),
            pin=pin.keeping(kept) if kept else pin,
            questions=self.questions.with_remnant(self.network_id, None) if grown else self.questions,
        )

    def with_copies(self, copies: Iterable[Copy]) -> Book:
        """More copies in the member log, whose form and signatures are good."""
        return replace(self, members=self.members.with_copies(copies, self.standing, self.me))

    def with_split(self, record: SplitRecord) -> Book:
        """A split was announced: it is listed."""
        if any(known.new_network_id == record.new_network_id for known in self.splits):
            return self
        return replace(self, splits=(*self.splits, record)[-MAX_SPLITS:])

    def served(self) -> tuple[Transition, ...]:
        """The member log as others and the file get it: what counts, and variants of later releases, by key."""
        return (*self.members.entries(), *self.aside.unknown.values())
