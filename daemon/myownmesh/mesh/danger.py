"""The danger zone: this device forgets its networks, or everything (spec 05 §15, W25 to W27).

Peers hear a farewell first, then files go; whoever asked starts the daemon anew, for what is in memory would bring some
of them back. From the beginning of it no network is joined any more.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from mesh_common.answers import NetworksForgotten
from myownmesh.engine.timing import LEAVE_FLUSH_S
from myownmesh.mesh.errors import MeshError
from myownmesh.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from myownmesh.mesh.networks import Networks
    from myownmesh.store import Store
    from myownmesh.store.erasure import Doomed

FAREWELL_S = LEAVE_FLUSH_S + 1.2
"""For the farewell in all networks at once; a stock app waits 5 s for the whole answer (W25)."""

log = logging.getLogger(__name__)


class Danger:
    """What cannot be taken back. Every method changes nothing any more once one of them has begun."""

    def __init__(self, store: Store, networks: Networks, device_id: Callable[[], str]) -> None:
        self._store = store
        self._networks = networks
        self._device_id = device_id

    @property
    def has_begun(self) -> bool:
        """There is no way back: this daemon has to start anew."""
        return self._networks.is_closed

    async def forget_all(self) -> NetworksForgotten:
        """Leave every network, and forget also those that are only configured. Raises `MeshError`."""
        async with self._networks.lock:
            doomed = await self._doomed()
            log.info("forgetting all networks: %s", ", ".join(each.id for each in doomed) or "there is none")
            await self._leave(doomed)
            names = tuple(sorted(each.id for each in doomed))
            try:
                await trio.to_thread.run_sync(self._store.forget_networks, doomed)
            except StoreError as error:
                log.error("networks are still configured: %s", error)
                return NetworksForgotten(forgotten=(), failed=names, restarting=True)
            return NetworksForgotten(forgotten=names, restarting=True)

    async def reset(self) -> None:
        """Leave every network and delete all that this device has on the disk. Raises `MeshError`."""
        async with self._networks.lock:
            if (refusal := await trio.to_thread.run_sync(self._store.refuses_reset)) is not None:
                raise MeshError(f"factory reset: {refusal}; nothing was deleted")
            log.info("factory reset: everything in %s is deleted", self._store.home.root)
            await self._leave(None)
            for problem in await trio.to_thread.run_sync(self._store.wipe):
                log.error("factory reset: %s", problem)

    async def _doomed(self) -> list[Doomed]:
        from myownmesh.store.erasure import Doomed

        records = {network.config.id: network.config for network in self._networks}
        try:
            configured = (await trio.to_thread.run_sync(self._store.load_config)).networks
        except StoreError as error:
            log.warning("networks that are configured but not joined are not known: %s", error)
            configured = ()
        for record in configured:
            records.setdefault(record.id, record)
        return [Doomed(id=record.id, network_id=record.network_id) for record in records.values()]

    async def _leave(self, doomed: Sequence[Doomed] | None) -> None:
        """Have it on the disk that they go, then say farewell."""
        self._networks.close()  # raises `MeshError` the second time
        try:
            await trio.to_thread.run_sync(self._store.begin_erasure, self._device_id(), doomed)
        except StoreError as error:
            log.warning("if this daemon is killed now, some files stay: %s", error)  # a full disk, for one
        with trio.move_on_after(FAREWELL_S):
            await self._networks.leave_all()
