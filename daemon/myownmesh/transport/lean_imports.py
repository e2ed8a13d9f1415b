"""Imports of aiortc only what a data channel uses.

aiortc as a whole brings PyAV (104 MB on disk, 17 MB in memory, 100 ms) for its codecs, and aioice brings dnspython
(80 ms) for mDNS candidates, which we neither send nor take. So the package `aiortc` itself is passed by, its modules
for DTLS and SCTP are imported directly, and PyAV and aioice's mDNS are replaced by empty modules meanwhile. Nothing
of that remains in `sys.modules` but real modules: an application that imports aiortc later gets all of it.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MEDIA = {
    "av": ("AudioFrame", "AudioResampler", "CodecContext", "FFmpegError", "Packet", "VideoFrame"),
    "av.frame": ("Frame",),
    "av.packet": ("Packet",),
    "av.video": (),
    "av.video.frame": ("PictureType",),
    "av.video.codeccontext": ("VideoCodecContext",),
}
_MDNS = "aioice.mdns"
_PACKAGE = "aiortc"


@contextmanager
def without_media() -> Iterator[None]:
    """In this block imports find empty modules for PyAV and aioice's mDNS, unless the real ones are there already."""
    stubs: dict[str, ModuleType] = {}
    if "av" not in sys.modules:
        stubs |= _media_stubs()
    if "aioice" not in sys.modules:
        stubs[_MDNS] = _NoMdns(_MDNS)
    with _present(stubs):
        yield


@contextmanager
def without_package() -> Iterator[None]:
    """In this block `aiortc.something` is imported without running what `import aiortc` runs."""
    spec = importlib.util.find_spec(_PACKAGE) if _PACKAGE not in sys.modules else None
    if spec is None or spec.submodule_search_locations is None:
        yield
        return
    package = ModuleType(_PACKAGE)
    package.__path__ = list(spec.submodule_search_locations)
    with _present({_PACKAGE: package}):
        yield


@contextmanager
def _present(modules: Mapping[str, ModuleType]) -> Iterator[None]:
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in modules.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _media_stubs() -> dict[str, ModuleType]:
    stubs: dict[str, ModuleType] = {}
    for name, members in _MEDIA.items():
        module = ModuleType(name, "Stands in for PyAV; see myownmesh.transport.lean_imports.")
        module.__path__ = []
        for member in members:
            setattr(module, member, type(member, (Exception,) if member == "FFmpegError" else (), {}))
        stubs[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(stubs[parent], child, module)
    return stubs


class _NoMdns(ModuleType):
    """What aioice asks of its `mdns` module as long as nobody resolves a name."""

    class MDnsProtocol:
        """Named in annotations only."""

    @staticmethod
    def is_mdns_hostname(name: str) -> bool:
        """The one function that every candidate is put to."""
        return name.endswith(".local")
