"""The lock of each network, and the gate that a signature passes.

Two records for each lock: `Lock` is what the reference's file holds, `Mark` what only this implementation remembers
(FIX 27: that there is a lock at all, the last step used, how often a wrong code came). A lock whose record is gone
while its mark stands was deleted by somebody: then nothing passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from mesh_common.values import Value
from myownmesh.custody import provisioning, recovery, totp
from myownmesh.custody.errors import CustodyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from myownmesh.custody.provisioning import Enrolment

FREE_TRIES: Final = 4
"""Wrong codes that cost nothing but themselves."""
MAX_DELAY_S: Final = 3600


class Lock(Value, frozen=True):
    """One lock, as the reference keeps it."""

    secret_b32: str
    recovery_hashes: tuple[str, ...]
    created_at: int
    """Unix seconds."""

    def __repr__(self) -> str:
        return f"Lock(created_at={self.created_at})"


class Mark(Value, frozen=True):
    """What is remembered beside a lock."""

    last_step: int = -1
    """The newest step of which a code was accepted; it and older ones count no more."""
    refused: int = 0
    """Wrong codes since the last right one."""
    refused_at: int = 0
    """Unix seconds of the last wrong code."""

    def wait_s(self, now: int) -> int:
        """Seconds until the next code is read; 0 when it is read now. A clock set back makes nobody wait longer."""
        if self.refused <= FREE_TRIES:
            return 0
        delay = min(1 << min(self.refused - FREE_TRIES, 12), MAX_DELAY_S)
        return max(0, min(self.refused_at + delay - now, delay))


class Locks(Value, frozen=True):
    """All locks of this device, by the networks' normalised ids."""

    locks: Mapping[str, Lock] = {}
    marks: Mapping[str, Mark] = {}

    def marked(self) -> Locks:
        """With a mark for every lock, also for those that another implementation put on."""
        absent = self.locks.keys() - self.marks.keys()
        return replace(self, marks={**self.marks, **dict.fromkeys(sorted(absent), Mark())}) if absent else self


def is_enrolled(locks: Locks, network_id: str) -> bool:
    """True when signatures in this network need a code, or would if the lock's record had not vanished."""
    return network_id in locks.locks or network_id in locks.marks


def enroll(
    locks: Locks, network_id: str, account: str, now: int, rng: Callable[[int], bytes]
) -> tuple[Locks, Enrolment]:
    """Put a lock on. `account` is what authenticator programs show. Raises `CustodyError` where one is on already."""
    if is_enrolled(locks, network_id):
        raise CustodyError(f"network {network_id} already has MFA enrolled on this device; disable it first")
    shown = provisioning.new_enrolment(account, rng)
    lock = Lock(shown.secret, tuple(recovery.digest_of(code) for code in shown.recovery_codes), now)
    return Locks({**locks.locks, network_id: lock}, {**locks.marks, network_id: Mark()}), shown


def gate(locks: Locks, network_id: str, code: str | None, now: int) -> tuple[Locks, CustodyError | None]:
    """Whether a signature may be made: the locks as they are to be kept from now on, and why not, or None.

    Nothing is enrolled: passes. A code of an authenticator passes once; a recovery code passes once and is gone. A
    refusal is counted, so the locks must be saved before either answer is given.
    """
    if not is_enrolled(locks, network_id):
        return locks, None
    lock = locks.locks.get(network_id)
    if lock is None:
        return locks, CustodyError(
            f"the lock of {network_id} has vanished from its file; bring the file back, or take the lock off with "
            f"`myownmesh custody reset {network_id}` while the daemon is stopped"
        )
    if code is None or not code.strip():
        return locks, CustodyError("this change requires your authenticator code")
    mark = locks.marks.get(network_id, Mark())
    if wait := mark.wait_s(now):
        return locks, CustodyError(f"too many attempts; wait {wait} s")
    step = totp.accepted_step(provisioning.secret_bytes(lock.secret_b32), code, now, after=mark.last_step)
    if step is not None:
        return _with(locks, network_id, lock, Mark(last_step=step)), None
    used = recovery.matching(lock.recovery_hashes, code)
    if used is not None:
        left = tuple(known for known in lock.recovery_hashes if known != used)
        return _with(locks, network_id, replace(lock, recovery_hashes=left), Mark()), None
    refused = replace(mark, refused=mark.refused + 1, refused_at=now)
    return _with(locks, network_id, lock, refused), CustodyError("invalid authenticator code")


def disable(locks: Locks, network_id: str, code: str | None, now: int) -> tuple[Locks, CustodyError | None]:
    """Take a lock off with a code, as `gate` judges it. Where none is on, any code does."""
    after, refused = gate(locks, network_id, code, now)
    return (after, refused) if refused else (reset(after, network_id), None)


def reset(locks: Locks, network_id: str) -> Locks:
    """Without the lock of a network: for whoever may write the files anyway (spec 02 §24.3 no. 52)."""
    return Locks(
        {key: lock for key, lock in locks.locks.items() if key != network_id},
        {key: mark for key, mark in locks.marks.items() if key != network_id},
    )


def canonical_keys(locks: Locks, wire_ids: Mapping[str, str]) -> Locks:
    """With locks that a client put on under an alias moved to the network that it meant (FIX 27).

    `wire_ids` maps aliases to normalised network ids. A lock that the network has already wins. The same object when
    nothing is to be moved. A name that is itself a network's id is none's alias.
    """
    own = set(wire_ids.values())
    moves = {key: wire_ids[key] for key in locks.locks if key in wire_ids and key not in own}
    if not moves:
        return locks
    kept, marks = dict(locks.locks), dict(locks.marks)
    for alias, network_id in moves.items():
        lock, mark = kept.pop(alias), marks.pop(alias, Mark())
        if network_id not in kept:
            kept[network_id], marks[network_id] = lock, mark
    return Locks(kept, marks)


def _with(locks: Locks, network_id: str, lock: Lock, mark: Mark) -> Locks:
    return Locks({**locks.locks, network_id: lock}, {**locks.marks, network_id: mark})
