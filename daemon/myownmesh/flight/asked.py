"""What a request says of the member log that its sender has, under substitutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.governance.member_log import BUCKETS, EMPTY, LEAF_BYTES, bucket_of, key_digest, leaf_of
from myownmesh.governance.sync import LEAVES_PREFIX, differing_leaves, leaves_told
from myownmesh.protocol import base32

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from myownmesh.governance.member_log import MemberLog
    from myownmesh.protocol.transitions import Transition

_OTHER: Final = f"b64:{base32.encode(b'another bucket'.ljust(32))}"


def asked(
    hashes: Sequence[str], log: MemberLog, told: MemberLog, entry_of: Callable[[Transition], Transition]
) -> tuple[str, ...]:
    """The digests of a request: those of the log that we hold, told as `told`, but for where they differ."""
    buckets = hashes[:BUCKETS]
    if len(buckets) != BUCKETS:
        return ()
    theirs = leaves_told(hashes)
    leaves = None if theirs is None else frozenset(differing_leaves(log.leaf_digests(), theirs))
    wrong = {index for index, (one, other) in enumerate(zip(log.digests(), buckets, strict=True)) if one != other}
    others, marks = list(told.digests()), bytearray(told.leaf_digests())
    for copy in log.copies():
        leaf = _leaf(copy.entry)
        if leaf in leaves if leaves else bucket_of(key_digest(copy.entry)) in wrong:
            entry = entry_of(copy.entry)
            others[bucket_of(key_digest(entry))] = _OTHER
            if leaves:
                marks[_leaf(entry) * LEAF_BYTES] ^= 1
    if wrong and _OTHER not in others:  # the sender has more than we, and nothing of ours is in question
        empty = EMPTY.digests()[0]
        others[others.index(empty) if empty in others else 0] = _OTHER
        if leaves:
            free = next(leaf for leaf in range(len(marks) // LEAF_BYTES) if not any(told.on_leaf(leaf)))
            marks[free * LEAF_BYTES] ^= 1
    return tuple(others) if theirs is None else (*others, LEAVES_PREFIX + base32.encode(marks))


def _leaf(entry: Transition) -> int:
    return leaf_of(getattr(entry.variant, "target", ""))
