"""Signed changes in words for a person: who did what to whom (spec 02 §3, §24.3 nos. 56, 63).

Nothing here proves anything. A label is what a device or a person calls it, so it never stands without the id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from mesh_common.labels import clean_label
from myownmesh.protocol.ids import device_suffix, is_device_id
from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star
from myownmesh.protocol.transitions import (
    Evict,
    KindChange,
    RoleGrant,
    RoleRevoke,
    Split,
    TopologyChange,
    UnknownVariant,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from myownmesh.protocol.modes import TopologyMode
    from myownmesh.protocol.transitions import Variant

_SHOWN: Final = 8
"""Characters of an id before its suffix: enough to find the device in a list, which shows all of it."""
_MOST_OF_A_TEXT: Final = 64
"""Of a text that is no id: peers may send any."""

_KINDS: Final = {"open": "opens the network", "closed": "closes the network", "silent": "makes the network silent"}
_GRANTS: Final = {"member": "lets {} in", "controller": "makes {} a controller", "owner": "makes {} an owner"}


class Names:
    """What devices are called here."""

    def __init__(self, labels: Mapping[str, str], me: str) -> None:
        """`labels` by bare id; `me` is this device."""
        self._labels = labels
        self._me = me

    def __call__(self, device: str) -> str:
        """A device in a sentence: its label, and enough of its id to tell it from another one of that label."""
        if not is_device_id(device):
            return ascii(device[:_MOST_OF_A_TEXT])
        shown = f"{device[:_SHOWN]}…-{device_suffix(device)}"
        label = "this device" if device == self._me else clean_label(self._labels.get(device, ""))
        return f"{label} ({shown})" if label else shown

    def alike(self, device: str) -> tuple[str, ...]:
        """Bare ids of other devices that a person may take for this one: they are called the same, but for capitals."""
        label = _alike(self._labels.get(device, ""))
        found = sorted(other for other, theirs in self._labels.items() if other != device and _alike(theirs) == label)
        return tuple(found) if label else ()

    def all(self, devices: tuple[str, ...]) -> str:
        """Several devices, one after the other."""
        return ", ".join(map(self, devices)) or "nobody"


def _alike(label: str) -> str:
    return " ".join(clean_label(label).casefold().split())


def said(variant: Variant, names: Names) -> str:
    """What an entry does, as the end of a sentence that its author begins."""
    match variant:
        case KindChange(to=to):
            return _KINDS[to]
        case RoleGrant(target=target, role=role):
            return _GRANTS[role].format(names(target))
        case RoleRevoke(target=target):
            return f"takes the role of {names(target)} away"
        case Evict(target=target):
            return f"puts {names(target)} out"
        case Split(new_network_id=new_id, members=members):
            return f"splits {new_id[:_MOST_OF_A_TEXT]!a} off, with {len(members)} devices"
        case TopologyChange(to=mode):
            return f"sets the shape to {_shape(mode, names)}"
        case UnknownVariant(kind=kind):
            return f"says something that this release does not understand ({kind[:_MOST_OF_A_TEXT]!a})"
        case _:
            assert_never(variant)


def _shape(mode: TopologyMode, names: Names) -> str:
    match mode:
        case FullMesh():
            return "a full mesh"
        case Ring():
            return "a ring"
        case Star(hub=hub):
            return f"a star around {names(hub)}"
        case Hubs(hubs=hubs):
            return f"hubs: {names.all(hubs)}"
        case _:
            assert_never(mode)
