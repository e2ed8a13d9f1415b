"""A stand-in for PyAV while aiortc is imported.

aiortc imports PyAV at the top of its media modules. It is 104 MB on disk, 17 MB in memory and 100 ms of start, and a
data channel never calls it. If the application has loaded PyAV itself, aiortc gets the real one.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = {
    "av": ("AudioFrame", "AudioResampler", "CodecContext", "FFmpegError", "Packet", "VideoFrame"),
    "av.frame": ("Frame",),
    "av.packet": ("Packet",),
    "av.video": (),
    "av.video.frame": ("PictureType",),
    "av.video.codeccontext": ("VideoCodecContext",),
}


@contextmanager
def without_media() -> Iterator[None]:
    """Import aiortc inside of this block: `av` is a set of empty classes, and is gone afterwards."""
    if "av" in sys.modules or "aiortc" in sys.modules:
        yield
        return
    stubs: dict[str, ModuleType] = {}
    for name, members in _NAMES.items():
        module = ModuleType(name, "Stands in for PyAV; see myownmesh.transport.media_stub.")
        module.__path__ = []
        for member in members:
            setattr(module, member, type(member, (Exception,) if member == "FFmpegError" else (), {}))
        stubs[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(stubs[parent], child, module)
    sys.modules.update(stubs)
    try:
        yield
    finally:
        for name in stubs:
            sys.modules.pop(name, None)
