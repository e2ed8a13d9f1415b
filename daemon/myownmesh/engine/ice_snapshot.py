"""How ICE stands on one link, for people who look why there is no path (spec 04 §9.4). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import asdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WAITING: Final = "waiting"
IN_PROGRESS: Final = "in-progress"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"

_RANKS: Final[Mapping[str, int]] = {SUCCEEDED: 1, IN_PROGRESS: 2, WAITING: 3}
_KINDS: Final = ("host", "srflx", "prflx", "relay")


class Pair(Struct, frozen=True):
    """A candidate of ours and one of the peer, and what the checks between them came to."""

    local: str
    remote: str
    state: str
    nominated: bool


class IceSnapshot(Struct, frozen=True):
    """Made by `snapshot`, which puts everything in order."""

    local_candidates: tuple[str, ...]
    remote_candidates: tuple[str, ...]
    pairs: tuple[Pair, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.local_candidates or self.remote_candidates or self.pairs)

    @property
    def reached(self) -> frozenset[str]:
        """Addresses of the peer, as IP literals, that have answered a check; those of its relays are not its own."""
        found = [pair.remote.split() for pair in self.pairs if pair.state == SUCCEEDED]
        return frozenset(at.rpartition(":")[0].strip("[]") for kind, _, at in found if kind != "relay")

    def told(self) -> dict[str, Any]:
        """For the detail of a diagnostic."""
        return {**asdict(self), "pairs": [asdict(pair) for pair in self.pairs]}


def candidate_word(kind: str, address: str, port: int) -> str:
    """`host udp4 192.168.1.5:54321`; `kind` as it stands in a candidate."""
    net, host = ("udp6", f"[{address}]") if ":" in address else ("udp4", address)
    return f"{kind if kind in _KINDS else '?'} {net} {host}:{port}"


def snapshot(local: Iterable[str], remote: Iterable[str], pairs: Iterable[Pair]) -> IceSnapshot:
    """Candidates in the order of their words; of pairs first what carries, then what may."""
    return IceSnapshot(
        tuple(sorted(local)),
        tuple(sorted(remote)),
        tuple(sorted(pairs, key=lambda pair: 0 if pair.nominated else _RANKS.get(pair.state, 4))),
    )


def verdict(seen: IceSnapshot) -> str:
    """What that means, in one sentence."""
    states = [pair.state for pair in seen.pairs]
    if any(pair.nominated and pair.state == SUCCEEDED for pair in seen.pairs):
        return "the path is up"
    if SUCCEEDED in states:
        return "a path works and waits for the controlling side to choose it"
    if not seen.remote_candidates:
        return "no address of the peer came: a signaling problem"
    if not states:
        return "too early: no check has begun"
    if all(state == FAILED for state in states):
        return "no usable path: every check failed"
    return "still checking"
