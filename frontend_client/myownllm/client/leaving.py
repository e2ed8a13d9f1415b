"""Peers that go away: after their grace, whatever was under way with them is over (spec 08 FE-9.8). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownllm.client.messages import PeerGone
from myownllm.client.procedures import Until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownllm.client.life import Life
    from myownllm.client.procedures import Procedure, Procedures
    from myownllm.client.state import Picture
    from myownllm.peers import PeerEntry

GRACE_S: Final = 30.0
"""Where the daemon named no time."""
PRESENT: Final = ("active", "shelved", "reconnecting")


def keep_watch(life: Life, picture: Picture, procedures: Procedures) -> Procedure[None]:
    """For each peer that leaves, wait for its return; for as long as the life is up."""
    awaited: set[str] = set()
    seen = picture.state.peers
    while True:
        yield _other_than(seen, picture)
        before, seen = _present(seen), picture.state.peers
        for peer in before - _present(seen) - awaited:
            awaited.add(peer)
            procedures.begin(_await_return(peer, awaited, life, picture), life.number)


def _other_than(peers: object, picture: Picture) -> Until:
    return Until(lambda: picture.state.peers is not peers)


def _await_return(peer: str, awaited: set[str], life: Life, picture: Picture) -> Procedure[None]:
    grace_s = life.grace_s.pop(peer, GRACE_S)
    yield Until(lambda: peer in _present(picture.state.peers), grace_s)
    awaited.discard(peer)
    if peer not in _present(picture.state.peers):
        yield PeerGone(life.number, peer)


def _present(peers: Iterable[PeerEntry]) -> set[str]:
    return {p.device_pubkey for p in peers if p.status in PRESENT}
