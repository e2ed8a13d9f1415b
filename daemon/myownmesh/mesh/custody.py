"""The authenticator locks of this device, by the names that clients have for networks (spec 02 §17, FIX 27).

Whoever is about to sign asks `gate` first, with the code that the request brought. Nothing asks it in the background:
what would sign by itself looks at `is_on`, and leaves a record for a person instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import trio
from msgspec.structs import asdict

from myownmesh.custody import CustodyError
from myownmesh.governance.rules import Rules
from myownmesh.mesh.errors import MeshError
from myownmesh.mesh.records import aliases_of, meant, wire_id
from myownmesh.store import StoreError, custody_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from myownmesh.custody import Enrolment
    from myownmesh.store import Store
    from myownmesh.store.network_config import NetworkConfig

FOUNDER: Final = "founder"
"""Member of a network's record: whom this device takes for its founder (02 §24.2)."""

T = TypeVar("T")


class Custody:
    """Locks are files, so each method reads them anew, in a thread. All raise `MeshError`, also when they cannot be
    read: then nobody may sign."""

    def __init__(self, store: Store, joined: Callable[[], Iterable[NetworkConfig]], label: Callable[[], str]) -> None:
        """`joined`: the records of the networks that run; `label`: what this device is called."""
        self._store = store
        self._joined = joined
        self._label = label

    async def is_on(self, name: str) -> bool:
        """Whether signatures in a network need a code."""
        return await self._run(
            name, lambda network_id, aliases: custody_file.enrolled(self._store.home, network_id, aliases)
        )

    async def gate(self, name: str, code: str | None) -> None:
        """Let one signature pass. A code is used up by it, so this comes behind every other check."""
        await self._run(
            name, lambda network_id, aliases: custody_file.gate_on_disk(self._store.home, network_id, code, aliases)
        )

    async def enroll(self, name: str) -> Enrolment:
        """Put a lock on. What is returned is nowhere else in clear."""
        label = self._label()

        def enroll(network_id: str, aliases: Mapping[str, str]) -> Enrolment:
            if wire_id(network_id) is None:
                raise MeshError(f"unknown network: {name}")  # such a lock would guard nothing
            account = f"{label} ({network_id})" if label else network_id
            return custody_file.enroll_on_disk(self._store.home, network_id, account, aliases)

        return await self._run(name, enroll)

    async def disable(self, name: str, code: str) -> None:
        """Take a lock off. Where none is on, any code does."""
        await self._run(
            name, lambda network_id, aliases: custody_file.disable_on_disk(self._store.home, network_id, code, aliases)
        )

    async def gate_record(
        self, old: NetworkConfig | None, new: NetworkConfig, compat: Mapping[str, bool], code: str | None
    ) -> None:
        """Let a network's record change; where that weakens its governance, behind the lock as a signature is
        (02 §24.3 no. 52). `compat` are the daemon's own switches."""
        if weakens(old, new, compat):
            await self.gate(new.network_id, code)

    async def _run(self, name: str, act: Callable[[str, Mapping[str, str]], T]) -> T:
        """In a thread, to the end: what an attempt changed must be on disk before anybody is answered."""
        joined = [*self._joined()]

        def look() -> T:
            aliases = aliases_of([*joined, *self._store.load_config().networks])
            return act(meant(name, aliases), aliases)

        try:
            return await trio.to_thread.run_sync(look)
        except (CustodyError, StoreError) as error:
            raise MeshError(str(error)) from error


def weakens(old: NetworkConfig | None, new: NetworkConfig, compat: Mapping[str, bool]) -> bool:
    """Whether a record lets in more than before: a switch of governance goes on, or the founder is another one."""
    before = asdict(Rules.of(compat, {} if old is None else old.compat))
    after = asdict(Rules.of(compat, new.compat))
    founder = None if old is None else old.unknown.get(FOUNDER)
    return any(after[name] and not before[name] for name in after) or new.unknown.get(FOUNDER) != founder
