"""The op that looks at this device's surroundings (spec 10 §2.2, docs/lan.md)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

from myownmesh.control.answers import success
from myownmesh.control.request import Task

if TYPE_CHECKING:
    from myownmesh.control.control import Control
    from myownmesh.mesh.network import Network
    from myownmesh.netcheck.wanted import Adopted


class Netcheck(Task, frozen=True):
    ONLY_WAITS: ClassVar[bool] = True

    async def run(self, control: Control) -> bytes:
        from myownmesh.netcheck.check import check  # a daemon that is never asked does not load it
        from myownmesh.netcheck.wanted import NOTHING, wanted
        from myownmesh.signaling.room import app_id_of

        mesh = control.mesh
        joined = {network.config_id: (network.config, _adopted(network)) for network in mesh.networks()}
        apart = {record.id: (record, NOTHING) for record in mesh.config.networks if record.id not in joined}
        async with control.looking:
            servers = wanted([*joined.values(), *apart.values()], app_id_of(os.environ))
            found = await check(servers, os.environ, known=mesh.clock_skew())
        return success(found)


def _adopted(network: Network) -> Adopted:
    from myownmesh.netcheck.wanted import Adopted

    adopting = network.adopting
    relays = tuple(url for each in adopting.adopted if each.kind == "relay" for url in each.urls)
    return Adopted(relays, tuple(adopting.ice_servers()))
