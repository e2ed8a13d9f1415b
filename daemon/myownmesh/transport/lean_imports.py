"""Imports aiortc without what a data channel never uses.

aiortc imports PyAV at the top of its media modules: 104 MB on disk, 17 MB in memory, 100 ms. aioice imports dnspython
for the names of mDNS candidates: 80 ms, and v0.3.8 never sends such names. The first is replaced while aiortc is
imported, the second waits until somebody sends an mDNS candidate. If the application has imported one of these
packages itself, nothing is replaced; so an application that uses aiortc's media too imports aiortc before it opens a mesh.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEDIA = {
    "av": ("AudioFrame", "AudioResampler", "CodecContext", "FFmpegError", "Packet", "VideoFrame"),
    "av.frame": ("Frame",),
    "av.packet": ("Packet",),
    "av.video": (),
    "av.video.frame": ("PictureType",),
    "av.video.codeccontext": ("VideoCodecContext",),
}
_MDNS = "aioice.mdns"


@contextmanager
def without_media() -> Iterator[None]:
    """Import aiortc inside of this block; the stand-ins are gone from `sys.modules` afterwards."""
    if "av" in sys.modules or "aiortc" in sys.modules or "aioice" in sys.modules:
        yield
        return
    stubs = {**_media_stubs(), _MDNS: _LateMdns(_MDNS)}
    sys.modules.update(stubs)
    try:
        yield
    finally:
        for name, stub in stubs.items():
            if sys.modules.get(name) is stub:
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


class _LateMdns(ModuleType):
    """aioice's `mdns` module, imported when the first name is to be resolved."""

    class MDnsProtocol:
        """Named in annotations only."""

    @staticmethod
    def is_mdns_hostname(name: str) -> bool:
        """The one function that every candidate is put to."""
        return name.endswith(".local")

    @staticmethod
    async def create_mdns_protocol() -> Any:
        return await importlib.import_module(_MDNS).create_mdns_protocol()
