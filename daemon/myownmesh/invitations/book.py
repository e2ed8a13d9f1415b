"""The invitations that this device gave and took in one network, as a value (spec 11 §1.2–1.4).

A use belongs to one id and is written down before it counts, so that neither several joiners at once nor a crash ever
use one twice. Expiry is by our own clock, which peers cannot move, and by the steady one, which nobody sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Self

from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.invitations.tokens import TOKEN_BYTES, id_of, proves, read_token, token_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.invitations.tokens import Meeting
    from myownmesh.protocol.ids import Rng

MAX_INVITES: Final = 64
MAX_ACCEPTED: Final = 8
DEFAULT_TTL_S: Final = 15 * 60
MAX_TTL_S: Final = 30 * 86_400
MAX_USES: Final = 100
MAX_NOTE_BYTES: Final = 256
AFTER_EXPIRY_S: Final = 2 * 3600
"""So long after its end a joiner goes on showing an invitation: the inviter's clock decides."""

Reason = Literal["unknown", "mac", "expired", "used up"]
"""Why an invitation that was shown opens nothing."""


class Refused(ValueError):
    """What was asked of the book cannot be done; the message is for a person."""


class Invite(Value, frozen=True):
    """One invitation that we gave."""

    id: str
    token: str
    exp: int
    """Unix seconds."""
    made: int
    uses: int
    by: tuple[str, ...] = ()
    """Bare ids of whom it let in."""
    note: str = ""

    def __repr__(self) -> str:
        return f"Invite(id={self.id!r}, exp={self.exp}, uses={self.uses}, by={self.by!r})"

    @property
    def is_used_up(self) -> bool:
        return len(self.by) >= self.uses


class Accepted(Value, frozen=True):
    """One invitation that we took, until it has let us in."""

    sender: str
    """Bare id of the inviter."""
    token: str
    exp: int
    label: str = ""

    def __repr__(self) -> str:
        return f"Accepted(sender={self.sender!r}, exp={self.exp})"


class Moment(Value, frozen=True):
    """Now, by both clocks."""

    unix: float
    steady: float


class Approved(Value, frozen=True):
    """The invitation opens: keep `book` on disk first, then let the device in."""

    book: Book
    invite: Invite
    is_new: bool
    """False: this device had used it before."""


class Book(Value, frozen=True):
    """All invitations of one network."""

    invites: tuple[Invite, ...] = ()
    accepted: tuple[Accepted, ...] = ()

    # ── what we give ──────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, *, ttl_s: int, uses: int, note: str, now: int, rng: Rng) -> tuple[Self, Invite]:
        """Another invitation, good for `ttl_s` seconds and `uses` devices; `now` in Unix seconds. Raises `Refused`."""
        if not 1 <= ttl_s <= MAX_TTL_S:
            raise Refused(f"an invitation lasts from a second to {MAX_TTL_S // 86_400} days")
        if not 1 <= uses <= MAX_USES:
            raise Refused(f"an invitation is for 1 to {MAX_USES} devices")
        if len(note.encode("utf-8", "surrogatepass")) > MAX_NOTE_BYTES:
            raise Refused(f"a note has at most {MAX_NOTE_BYTES} bytes")
        kept = self.without_expired(now)
        if len(kept.invites) >= MAX_INVITES:
            raise Refused(f"there are {MAX_INVITES} invitations already: take some back first")
        token = rng.randbytes(TOKEN_BYTES)
        while kept.get(id_of(token)) is not None:
            token = rng.randbytes(TOKEN_BYTES)
        invite = Invite(id_of(token), token_text(token), now + ttl_s, now, uses, note=note)
        return replace(kept, invites=(*kept.invites, invite)), invite

    def revoke(self, invite_id: str) -> Self:
        """Without one. Raises `Refused` when there is none of that id."""
        if self.get(invite_id) is None:
            raise Refused(f"there is no invitation {ascii(invite_id[:16])[1:-1]}")
        return replace(self, invites=tuple(each for each in self.invites if each.id != invite_id))

    def get(self, invite_id: str) -> Invite | None:
        return next((each for each in self.invites if each.id == invite_id), None)

    def without_expired(self, now: float) -> Self:
        """Without those whose time is over; used-up ones stay until then. The same object when none is."""
        kept = tuple(each for each in self.invites if each.exp > now)
        return self if len(kept) == len(self.invites) else replace(self, invites=kept)

    def judge(
        self, shown: tuple[str, str], meeting: Meeting, moment: Moment, ends: Mapping[str, float]
    ) -> Approved | Reason:
        """What a joiner's `invite` member, id and mac, opens.

        `ends` says by the steady clock when an invitation's span is over, for those whose begin this process saw.
        """
        invite_id, mac = shown
        invite = self.get(invite_id)
        if invite is None:
            return "unknown"
        if not proves(read_token(invite.token), meeting, mac):
            return "mac"
        if moment.unix >= invite.exp or moment.steady >= ends.get(invite_id, float("inf")):
            return "expired"
        if meeting.joiner in invite.by:
            return Approved(self, invite, is_new=False)
        if invite.is_used_up:
            return "used up"
        used = replace(invite, by=(*invite.by, meeting.joiner))
        invites = tuple(used if each is invite else each for each in self.invites)
        return Approved(replace(self, invites=invites).without_expired(moment.unix), used, is_new=True)

    # ── what we take ──────────────────────────────────────────────────────────────────────────────────────────────────

    def accept(self, taken: Accepted, now: float) -> Self:
        """Keep an invitation until it has let us in: the newest of an inviter, and the newest `MAX_ACCEPTED` of all."""
        rest = tuple(each for each in self.still_accepted(now).accepted if each.sender != taken.sender)
        return replace(self, accepted=(*rest, taken)[-MAX_ACCEPTED:])

    def still_accepted(self, now: float) -> Self:
        """Without those that no clock could still take for live. The same object when there is none."""
        kept = tuple(each for each in self.accepted if now <= each.exp + AFTER_EXPIRY_S)
        return self if len(kept) == len(self.accepted) else replace(self, accepted=kept)

    def let_in_by(self, sender: str) -> Self:
        """The inviter has let us in: nothing is left to show. The same object when nothing was."""
        kept = tuple(each for each in self.accepted if each.sender != sender)
        return self if len(kept) == len(self.accepted) else replace(self, accepted=kept)

    def accepted_from(self, sender: str) -> Accepted | None:
        return next((each for each in self.accepted if each.sender == sender), None)
