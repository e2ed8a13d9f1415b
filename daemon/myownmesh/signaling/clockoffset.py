"""What time it really is, from what relays, peers and the room say of it. Pure: every moment is handed in.

Epochs do all the reckoning: an epoch is the Unix millisecond at which the steady clock stood at zero. The steady clock
counts sleep and is never set, so a wall clock that jumps moves no epoch but our own.

Who is believed (docs/decisions.md, "The time of others"): relays first, since it is they who apply it; of several the
middle one, so that a single liar stays between what the others say. Peers and our own clock decide where two relays
differ, and where none tells the time; then the room's announces may still show that our clock is behind.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

Said = TypeVar("Said")

NEGLIGIBLE_MS: Final = 10_000
"""A difference that is not corrected: headers count whole seconds, and the shortest window of a relay is a minute."""
FLOOR_MS: Final = 1_672_531_200_000
"""The beginning of 2023, before the first release of this protocol: no clock that shows less is right."""
CEILING_MS: Final = 4_102_444_800_000
"""The beginning of 2100."""
MAX_VOICES: Final = 64
"""Of each sort; the one that has been silent for longest makes room."""


class Basis(StrEnum):
    """Whose word an estimate rests on, the best first."""

    RELAYS = "relays"
    PEERS = "peers"
    ROOM = "room"


class Reading(Struct, frozen=True):
    """One moment on this device's two clocks, in milliseconds."""

    wall_ms: int
    steady_ms: int

    @property
    def epoch_ms(self) -> int:
        return self.wall_ms - self.steady_ms


class Skew(Struct, frozen=True):
    """How far this device's clock is ahead of what others say; negative when it is behind."""

    ahead_ms: int
    basis: Basis


class ClockOffset:
    """Collects what others say of the time, and judges it."""

    def __init__(self) -> None:
        self._relays: OrderedDict[str, int] = OrderedDict()
        self._peers: OrderedDict[str, int] = OrderedDict()
        self._room: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """By device: the latest stamp it wrote, in Unix milliseconds, and the epoch when it came."""
        self._claims: OrderedDict[str, int] = OrderedDict()
        """By host: what relays told whose certificates are out of date by our clock, and did not hold on their own."""
        self._sorted_relays: list[int] = []
        self._sorted_peers: list[int] = []
        self._sorted_room: list[int] = []
        self._refused = False

    # ── what others say ───────────────────────────────────────────────────────────────────────────────────────────────

    def relay_said(self, host: str, said_ms: int, at: Reading) -> None:
        """A relay's clock showed `said_ms` at that moment. All relays of a host are one voice."""
        if FLOOR_MS <= said_ms < CEILING_MS:
            _put(self._relays, host, said_ms - at.steady_ms)
            self._sorted_relays = sorted(self._relays.values())

    def relay_claimed(self, host: str, said_ms: int, at: Reading) -> None:
        """A relay's clock showed `said_ms`, and it is not known whether the relay is who it claims to be."""
        if FLOOR_MS <= said_ms < CEILING_MS:
            _put(self._claims, host, said_ms - at.steady_ms)

    def peer_said(self, device_id: str, said_ms: int, at: Reading) -> None:
        """The clock of an admitted peer showed `said_ms` at that moment."""
        if FLOOR_MS <= said_ms < CEILING_MS:
            _put(self._peers, device_id, said_ms - at.steady_ms)
            self._sorted_peers = sorted(self._peers.values())

    def room_said(self, device_id: str, stamp_ms: int, at: Reading) -> None:
        """An announce with this stamp came; it may have lain on a relay. Anybody can write one."""
        if FLOOR_MS <= stamp_ms < CEILING_MS:
            last = self._room.get(device_id)
            if last is None or stamp_ms > last[0]:
                _put(self._room, device_id, (stamp_ms, stamp_ms - at.steady_ms))
                self._sorted_room = sorted(epoch for _, epoch in self._room.values())

    def stamp_refused(self) -> None:
        """A relay found a stamp of ours too old or from the future."""
        self._refused = True

    def told_by_others(self, host: str, at: Reading) -> int | None:
        """The Unix millisecond by what others than this relay tell, the best of them first; None when nobody does."""
        relays = sorted(epoch for name, epoch in self._relays.items() if name != host)
        claims = sorted(epoch for name, epoch in self._claims.items() if name != host)
        epochs = relays or self._sorted_peers or claims
        return _nearest(at.epoch_ms, *_middle(epochs)) + at.steady_ms if epochs else None

    @property
    def may_ask_the_room(self) -> bool:
        """A relay refuses our stamps and nobody else has told the time: announces of any age would help."""
        return self._refused and not self._relays and not self._room

    # ── what follows ──────────────────────────────────────────────────────────────────────────────────────────────────

    def true_ms(self, at: Reading) -> int:
        """The Unix millisecond to reckon with: the wall clock, unless those who are believed contradict it clearly."""
        true_ms = self._epoch_ms(at) + at.steady_ms
        return at.wall_ms if abs(true_ms - at.wall_ms) < NEGLIGIBLE_MS else max(0, true_ms)

    def skew(self, at: Reading) -> Skew | None:
        """What to tell a person; None when nobody has said anything certain.

        Unlike `true_ms` it does not count our own clock as a voice: a single peer that contradicts it is worth a word.
        """
        own = at.epoch_ms
        for basis, epochs in (
            (Basis.RELAYS, self._sorted_relays),
            (Basis.PEERS, self._sorted_peers),
            (Basis.ROOM, self._sorted_room),
        ):
            if epochs:
                ahead_ms = own - (self._epoch_ms(at) if basis is Basis.RELAYS else _nearest(own, *_middle(epochs)))
                # Announces may be old, so they never show that we are ahead.
                return None if basis is Basis.ROOM and ahead_ms >= 0 else Skew(ahead_ms, basis)
        return None

    def _epoch_ms(self, at: Reading) -> int:
        own = at.epoch_ms
        if at.wall_ms >= FLOOR_MS:
            guide = _nearest(own, *_middle_with_one_more(self._sorted_peers)) if len(self._sorted_peers) > 1 else own
        else:
            guide = _nearest(own, *_middle(self._sorted_peers)) if self._sorted_peers else own
        if self._sorted_relays:
            return _nearest(guide, *_middle(self._sorted_relays))
        if not self._sorted_room:
            return guide
        if self._refused:
            # Nobody honest writes from the future, and this relay would not have taken it.
            return self._sorted_room[-1]
        # An announce may be old, but not from the future: it can only show that we are behind. Being ahead of the
        # truth does no harm where no relay tells the time.
        return max(guide, _middle(self._sorted_room)[0])


def _put(voices: OrderedDict[str, Said], name: str, said: Said) -> None:
    voices[name] = said
    voices.move_to_end(name)
    if len(voices) > MAX_VOICES:
        voices.popitem(last=False)


def _middle(epochs: Sequence[int]) -> tuple[int, int]:
    """The middle value twice, or both middle ones."""
    return epochs[(len(epochs) - 1) // 2], epochs[len(epochs) // 2]


def _middle_with_one_more(epochs: Sequence[int]) -> tuple[int, int]:
    """Where the median can lie when one value, whichever, joins these two or more; the nearest of it is the median."""
    return epochs[len(epochs) // 2 - 1], epochs[len(epochs) - len(epochs) // 2]


def _nearest(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)
