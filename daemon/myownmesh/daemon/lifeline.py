"""The lifeline: a pipe whose other end only the parent holds; its end is a graceful stop (spec 07 §10.4)."""

from __future__ import annotations

import logging
import os

import trio

log = logging.getLogger(__name__)

_CHUNK_BYTES = 4096
"""Read at a time; their content means nothing."""


async def wait_for_end(descriptor: int) -> bool:
    """Wait until `descriptor` reports end-of-file. False when it cannot be watched, which is one warning."""
    try:
        os.set_blocking(descriptor, False)
        while True:
            await trio.lowlevel.wait_readable(descriptor)
            try:
                if not os.read(descriptor, _CHUNK_BYTES):
                    return True
            except BlockingIOError:
                continue
    except OSError as error:
        log.warning("MYOWNMESH_LIFELINE_FD: descriptor %d cannot be watched: %s; ignored", descriptor, error)
        return False
