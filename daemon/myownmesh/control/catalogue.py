"""Every op of this release, gathered from the modules that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.control import (
    custody_ops,
    danger_ops,
    device_ops,
    governance_carrying,
    governance_ops,
    governance_reports,
    invite_ops,
    metrics_ops,
    netcheck_ops,
    network_ops,
    traffic_ops,
    update_ops,
)
from myownmesh.control.request import Deferred, Immediate, Request, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODULES = (
    device_ops,
    netcheck_ops,
    metrics_ops,
    network_ops,
    invite_ops,
    custody_ops,
    danger_ops,
    traffic_ops,
    governance_ops,
    governance_reports,
    governance_carrying,
    update_ops,
)

SERVED: Final[Mapping[str, type[Request]]] = {
    str(cls.__struct_config__.tag): cls
    for module in _MODULES
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Request) and cls not in (Request, Immediate, Deferred, Task)
}
"""Op name → its class."""
