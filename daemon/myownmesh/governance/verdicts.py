"""Who is a member, who was put out, and why (spec 02 §8, §9, §15.1; 24.3 nos. 42, 48).

Later beats earlier, and at one second a grant beats a removal. A removal that counted here goes on counting when its
author loses the seat. In doubt a device is removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from mesh_common.values import Value
from myownmesh.governance.copies import Copy
from myownmesh.governance.entries import is_member_grant
from myownmesh.governance.member_log import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from myownmesh.governance.member_log import Draft, MemberLog
    from myownmesh.governance.standing import Standing
    from myownmesh.protocol.frames import Role
    from myownmesh.protocol.transitions import Transition

Membership = Literal["present", "removed", "unlisted"]


class Verdict(Value, frozen=True):
    """What the member log says of a device."""

    membership: Membership
    entry: Transition | None = None
    """The one that decides; None for a kept removal and for devices that nobody signed anything about."""
    kept: int | None = None
    """Time of the kept removal that decides."""


UNLISTED: Final = Verdict("unlisted")


class Bench(Value, frozen=True):
    """What verdicts are taken from. Cheap to make and to ask: a verdict looks at one device's entries only."""

    members: MemberLog | Draft
    standing: Standing
    kept: Mapping[str, int]
    """Removals that count whatever became of their author (pin, `evicted`)."""
    me: str

    def verdict(self, device: str) -> Verdict:
        """What section 8 says of a device over all copies that count; roles of the governance log are not looked at.

        Where a removal had no room, it may have been this device's: in doubt removed.
        """
        found = self._said(device)
        if found is UNLISTED and (at := self.left_out_of(device)) >= 0:
            return Verdict("removed", kept=at)
        return found

    def left_out_of(self, device: str) -> int:
        """The newest time of a removal of this device that a full log may have had no room for; -1 if that cannot be.

        Of whom anything from before is kept everything finds room. This device does not leave a network for a doubt.
        """
        at = self.members.left_out
        if not at or device == self.me:
            return -1
        kept = (copy.entry.at for slot in self.members.slots(device).values() for copy in slot.copies)
        return -1 if min(kept, default=at + 1) <= at else at

    def _said(self, device: str) -> Verdict:
        """`verdict` by what is kept alone."""
        grant: Copy | None = None
        removal: Copy | None = None
        if device not in self.kept:
            held = self.members.targets.get(device)
            if held is None:
                return UNLISTED
            if isinstance(held, Copy):
                return self._verdict_of_one(held.entry)
        slots = self.members.slots(device)
        for slot in slots.values():
            if not slot.stands(self.standing):
                continue
            for copy in slot.counted(self.standing, self.me):
                if slot.key.is_grant:
                    grant = copy if grant is None or copy.entry.at > grant.entry.at else grant
                else:
                    removal = copy if removal is None or copy.entry.at > removal.entry.at else removal
        if (kept := self.kept.get(device)) is not None and not self._lifted(device, kept):
            if removal is not None and removal.entry.at >= kept:
                return Verdict("removed", removal.entry)
            return Verdict("removed", kept=kept)
        if grant is not None and (removal is None or grant.entry.at >= removal.entry.at):
            return Verdict("present", grant.entry)
        return UNLISTED if removal is None else Verdict("removed", removal.entry)

    def _verdict_of_one(self, entry: Transition) -> Verdict:
        """The same of a device of which one entry by one signer is kept, as of nearly all."""
        if not self.standing.is_authority(entry.signers[0]):
            return UNLISTED
        return Verdict("present" if is_member_grant(entry.variant) else "removed", entry)

    def _lifted(self, device: str, kept: int) -> bool:
        """Whether a grant of its time or later ends a kept removal, as one of the same second does elsewhere.

        A removal that we signed ends with a sure one only.
        """
        slots = self.members.slots(device)
        ours = any(slot.key.author == self.me and not slot.key.is_grant for slot in slots.values())
        return any(
            copy.entry.at >= kept and (not ours or copy.is_sure(self.standing))
            for slot in slots.values()
            if slot.key.is_grant and slot.stands(self.standing)
            for copy in slot.counted(self.standing, self.me)
        )

    def is_evicted(self, device: str) -> bool:
        """Whether signed governance has put a device out (15.1). Only closed networks have this question."""
        return not self.standing.is_authority(device) and self.verdict(device).membership == "removed"

    def is_member(self, device: str) -> bool:
        """Whether a device is signed in: by a role, or by the member log (02 §24.2, FIX 18)."""
        if self.standing.is_authority(device):
            return True
        membership = self.verdict(device).membership
        # A log of old may seat members; what the member log says of them is newer.
        return membership == "present" or (membership == "unlisted" and device in self.standing.roles)

    def newest_counted(self, device: str) -> int:
        """The newest time among what counts for a device, -1 without any: what a new entry has to go beyond."""
        times = (copy.entry.at for copy in counted(self.members.slots(device), self.standing, self.me))
        return max(max(times, default=-1), self._newest_kept(device))

    def newest_removal(self, device: str) -> int:
        """The newest time of a removal that counts, -1 without one."""
        slots = self.members.slots(device)
        removals = {key: slot for key, slot in slots.items() if not key.is_grant}
        times = (copy.entry.at for copy in counted(removals, self.standing, self.me))
        return max(max(times, default=-1), self._newest_kept(device))

    def _newest_kept(self, device: str) -> int:
        return max(self.kept.get(device, -1), self.left_out_of(device))

    def roles(self) -> dict[str, Role]:
        """Owners, controllers and members together (02 §9); takes a while in a large log."""
        found = {device: role for device, role in self.standing.roles.items() if self.is_member(device)}
        authorities, kept = self.standing.authorities, self.kept
        for device, held in self.members.targets.each():
            if device in found:
                continue
            if isinstance(held, Copy) and device not in kept:  # of ten thousand nearly all: no verdict is made of them
                entry = held.entry
                is_in = entry.signers[0] in authorities and is_member_grant(entry.variant)
            else:
                is_in = self.verdict(device).membership == "present"
            if is_in:
                found[device] = "member"
        return found

    def removed(self) -> list[str]:
        """Everybody who is put out and has no seat (FIX 19, 28); takes a while in a large log."""
        devices = {*self.members.targets, *self.kept}
        return sorted(device for device in devices if self.is_evicted(device))


def newly_kept(before: Bench, after: Standing) -> dict[str, int]:
    """Removals that counted and whose author has a seat no more: they are kept from now on (02 §24.3 no. 48).

    Every change of seats goes through here, before verdicts are asked again. Never lowers what is kept already.
    """
    lost = {device for device in before.standing.authorities if not after.is_authority(device)}
    if not lost:
        return {}
    found: dict[str, int] = {}
    for device, slots in before.members.with_removals():
        for key, slot in slots.items():
            if not key.is_grant and key.author in lost:
                newest = max(copy.entry.at for copy in slot.counted(before.standing, before.me))
                found[device] = max(newest, found.get(device, -1))
    return {device: at for device, at in found.items() if at > before.kept.get(device, -1)}


def corrected(before: Bench, after: MemberLog, devices: Iterable[str]) -> Mapping[str, int]:
    """Kept removals after copies about these devices came (02 §24.3 no. 48).

    The time of one that was only heard falls to what is sure of its signature, or a time that somebody made up would
    outlive every decision of today.
    """
    found = dict(before.kept)
    for device in devices:
        at = before.kept.get(device)
        if at is None:
            continue
        slots = after.slots(device)
        if any(slot.find(at) for slot in slots.values() if not slot.key.is_grant):
            continue
        sure = [
            copy.entry.at
            for key, slot in before.members.slots(device).items()
            if not key.is_grant and slot.find(at) and key in slots
            for copy in slots[key].copies
            if copy.is_sure(before.standing)
        ]
        if sure:
            found[device] = max(sure)
    return found
