"""Imports aiortc without what a data channel never uses.

aiortc imports PyAV at the top of its media modules: 104 MB on disk, 17 MB in memory, 100 ms. aioice imports dnspython
for mDNS candidates, which we neither send nor take: 80 ms. Both are replaced while aiortc is imported. If the
application has imported one of these packages itself, nothing is replaced; so an application that uses aiortc's media
too imports aiortc before it opens a mesh.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

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
    stubs = {**_media_stubs(), _MDNS: _NoMdns(_MDNS)}
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


class _NoMdns(ModuleType):
    """What aioice asks of its `mdns` module as long as nobody resolves a name."""

    class MDnsProtocol:
        """Named in annotations only."""

    @staticmethod
    def is_mdns_hostname(name: str) -> bool:
        """The one function that every candidate is put to."""
        return name.endswith(".local")
