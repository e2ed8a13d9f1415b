"""What is remembered about an id beside its link: it survives drops and is bounded (spec 04 §5.6; 01 §7.9)."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

import msgspec

from myownmesh.engine.limits import (
    MAX_EARLY_CANDIDATES,
    MAX_ENDED_CERTIFICATES,
    MAX_KEPT_CANDIDATES,
    MAX_OFFER_IDS,
    MAX_REMEMBERED_PEERS,
    NEEDS_TURN_AFTER,
    NEW_LINKS_PER_S,
)
from myownmesh.engine.timing import (
    EARLY_CANDIDATE_AGE_S,
    FAILED_DIAL_FIRST_S,
    FAILED_DIAL_MAX_S,
    TWIN_FIGHT_FIRST_S,
    TWIN_FIGHT_MAX_S,
)
from myownmesh.protocol.signals import Candidate
from myownmesh.protocol.tokens import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Iterable


class PeerMemory(msgspec.Struct, eq=False):
    """One id."""

    candidates: list[tuple[float, Candidate]] = []
    """Remote candidates with their time of arrival, oldest first. Mostly none: a list of none is small."""
    new_links: TokenBucket | None = None
    dialled_anyway_at: float | None = None
    ended_offers: tuple[str, ...] = ()
    """Ids of our last offers to it that no transport waits for any more."""
    answered_late_at: float | None = None
    """When we offered anew because it had answered an offer of ours that was over."""
    dial_not_before: float = 0.0
    """Monotonic second before which we do not dial, because the last links failed before authentication."""
    next_dial_delay: float = FAILED_DIAL_FIRST_S
    next_fight_delay: float = TWIN_FIGHT_FIRST_S
    lost_before_proof: bool = False
    has_proved: bool = False
    """Authenticated once since we run; such a memory is forgotten after those of strangers."""
    ended_certificates: tuple[str, ...] = ()
    """Fingerprints of the peer's transports that are over; it takes a new certificate for each (spec 04 §5.10)."""
    ice_failures: int = 0
    """Attempts in a row that found no path while neither side had a relay (spec 04 §7.9)."""
    needs_turn: bool = False
    stream: int | None = None
    last_seq: int = 0
    """Mark of the peer's reliable stream (spec 01 §13.2)."""

    def fresh_candidates(self, mono: float) -> list[Candidate]:
        """The kept candidates that are young enough, oldest first; the others are forgotten."""
        if self.candidates:
            self.candidates = [kept for kept in self.candidates if mono - kept[0] < EARLY_CANDIDATE_AGE_S]
        return [candidate for _, candidate in self.candidates]

    def certificate_ended(self, fingerprint: str) -> None:
        """A transport with it is over."""
        self.ended_certificates = (*self.ended_certificates, fingerprint)[-MAX_ENDED_CERTIFICATES:]

    def may_open_link(self, mono: float) -> bool:
        """Take one of the links per second that this id's offers may open."""
        if self.new_links is None:
            self.new_links = TokenBucket(NEW_LINKS_PER_S, NEW_LINKS_PER_S, mono)
        return self.new_links.take(mono)

    def next_link_at(self, mono: float) -> float:
        """When offers of this id may open the next link."""
        return mono if self.new_links is None else self.new_links.ready_at(mono)

    def note_ended(self, offer_ids: Iterable[str]) -> None:
        """The transport that waited for answers to these is over."""
        self.ended_offers = (*self.ended_offers, *offer_ids)[-MAX_OFFER_IDS:]

    def has_offered(self, offer_id: str) -> bool:
        """Whether this was one of our last offers that are over."""
        return offer_id in self.ended_offers

    def found_no_path(self) -> bool:
        """Another attempt that a relay (TURN) might have saved; True when it is time to say so."""
        self.ice_failures += 1
        is_news = self.ice_failures >= NEEDS_TURN_AFTER and not self.needs_turn
        self.needs_turn = self.needs_turn or is_news
        return is_news

    def found_path(self) -> None:
        self.ice_failures = 0
        self.needs_turn = False

    def failed_before_proof(self, mono: float) -> None:
        """Delay the next dial: 5 s, doubled at each further failure, 300 s at most."""
        self.dial_not_before = mono + self.next_dial_delay
        self.next_dial_delay = min(2 * self.next_dial_delay, FAILED_DIAL_MAX_S)

    def fought_over(self, mono: float) -> None:
        """A link ended while another process has our identity: leave the peer to that one, longer each time."""
        self.dial_not_before = mono + self.next_fight_delay
        self.next_fight_delay = min(2 * self.next_fight_delay, TWIN_FIGHT_MAX_S)

    def lost_channel_before_proof(self, mono: float) -> None:
        """The channel closed in the handshake: most likely the peer could not trust us. Once is an accident."""
        if self.lost_before_proof:
            self.failed_before_proof(mono)
        self.lost_before_proof = True

    def proved(self) -> None:
        self.has_proved = True
        self.lost_before_proof = False
        self.dial_not_before = 0.0
        self.next_dial_delay = FAILED_DIAL_FIRST_S


class Memories:
    """The memories of at most `MAX_REMEMBERED_PEERS` ids."""

    __slots__ = (
        "_by_peer",
        "_kept_by",
    )

    def __init__(self) -> None:
        self._by_peer: OrderedDict[str, PeerMemory] = OrderedDict()
        self._kept_by: deque[PeerMemory] = deque()
        """Whose memory each kept candidate went to, oldest first."""

    def __len__(self) -> int:
        return len(self._by_peer)

    @property
    def kept_candidates(self) -> int:
        """Over all peers; some may be too old, or taken."""
        return len(self._kept_by)

    def of(self, peer: str) -> PeerMemory:
        """The memory of `peer`, made if there is none."""
        memory = self._by_peer.get(peer)
        if memory is None:
            memory = self._by_peer[peer] = PeerMemory()
            if len(self._by_peer) > MAX_REMEMBERED_PEERS:
                del self._by_peer[next(each for each, kept in self._by_peer.items() if not kept.has_proved)]
        else:
            self._by_peer.move_to_end(peer)
        return memory

    def make_peace(self) -> None:
        """No other process has our identity any more."""
        for memory in self._by_peer.values():
            memory.next_fight_delay = TWIN_FIGHT_FIRST_S

    def get(self, peer: str) -> PeerMemory | None:
        return self._by_peer.get(peer)

    def keep(self, peer: str, candidate: Candidate, mono: float) -> None:
        """Keep a remote candidate; over all peers the oldest goes first."""
        memory = self.of(peer)
        memory.candidates.append((mono, candidate))
        del memory.candidates[:-MAX_EARLY_CANDIDATES]
        self._kept_by.append(memory)
        if len(self._kept_by) > MAX_KEPT_CANDIDATES:
            oldest = self._kept_by.popleft()
            if oldest.candidates:  # or it went already, for its age or its peer's own bound
                del oldest.candidates[0]
