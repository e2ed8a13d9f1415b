"""The connection trace in the daemon's log, for whoever cannot subscribe in time (spec 04 §9.5, 07 §2)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from myownmesh.daemon.throttle import ASKED_FOR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh_common.events import ConnTrace
    from myownmesh.mesh.mesh import Mesh
    from myownmesh.mesh.network import Network

VARIABLE = "MYOWNMESH_CONN_TRACE"


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Set, not empty, and not `0`."""
    return environ.get(VARIABLE, "") not in ("", "0")


def write_for(mesh: Mesh) -> None:
    """Log the trace of every network that `mesh` joins from now on."""
    mesh.on_network_added.append(_follow)


def _follow(network: Network) -> None:
    network.trace(_write)  # ends with the network


def _write(record: ConnTrace) -> None:
    logging.getLogger(ASKED_FOR).info("%s", msgspec.json.encode(record).decode())
