"""Imports of aiortc only what a data channel uses.

aiortc as a whole brings PyAV (104 MB on disk, 17 MB in memory, 100 ms) for its codecs and libsrtp (5 MB) for its DTLS,
and aioice brings dnspython (80 ms) for mDNS candidates, which we neither send nor take. So the package `aiortc` itself
is passed by, its module for SCTP is imported directly, and its DTLS, which ours stands in for, and aioice's mDNS are
replaced by empty modules meanwhile. Nothing of that remains in `sys.modules` but real modules: an application that
imports aiortc later gets all of it.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = "aiortc"
_DTLS = "aiortc.rtcdtlstransport"
_MDNS = "aioice.mdns"


@contextmanager
def data_channels_only() -> Iterator[None]:
    """In this block `aiortc.something` and aioice are imported without what they bring along, unless that is there."""
    stand_ins: dict[str, ModuleType] = {}
    if "aioice" not in sys.modules:
        stand_ins[_MDNS] = _NoMdns(_MDNS)
    if _PACKAGE not in sys.modules:
        stand_ins |= {_PACKAGE: _package(), _DTLS: _NoDtls(_DTLS)}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _package() -> ModuleType:
    """A package with aiortc's modules that runs nothing when it is imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
    package = ModuleType(_PACKAGE)
    package.__path__ = list(spec.submodule_search_locations)
    return package


class _NoDtls(ModuleType):
    """What aiortc's SCTP wants of its DTLS: a name for annotations."""

    class RTCDtlsTransport:
        """Named in annotations only."""


class _NoMdns(ModuleType):
    """What aioice asks of its `mdns` module as long as nobody resolves a name."""

    class MDnsProtocol:
        """Named in annotations only."""

    @staticmethod
    def is_mdns_hostname(name: str) -> bool:
        """The one function that every candidate is put to."""
        return name.endswith(".local")
