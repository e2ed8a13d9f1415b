"""systemd's watchdog, fed only while the loop turns and the control socket answers whoever comes (spec 07 §10.4).

The question goes the way of every client: a new connection to the socket's file, a request, an answer. So a loop that
hangs, a door that is shut and ops that wait for each other all end the feeding, and systemd ends the daemon then.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOKS: Final = 3
"""In the time that systemd grants: one may be lost to a busy machine."""
_QUESTION: Final = b'{"op":"status"}\n'

log = logging.getLogger(__name__)


async def feed(limit_s: float, socket: Path, say: Callable[[str], None], summary: Callable[[], str]) -> None:
    """Tell systemd for ever that all is well, whenever the socket has answered.

    `limit_s` is what systemd grants between two of them; `summary` is one line for ``systemctl status``.
    """
    pause_s = limit_s / LOOKS
    while True:
        if await answers(socket, pause_s):
            say(f"WATCHDOG=1\nSTATUS={summary()}")
        else:
            log.warning("the control socket does not answer; systemd ends this daemon if that goes on")
        await trio.sleep(pause_s)


async def answers(socket: Path, limit_s: float) -> bool:
    """Whether the control socket answers within that time, with whatever."""
    with trio.move_on_after(limit_s):
        try:
            async with await trio.open_unix_socket(socket) as client:
                await client.send_all(_QUESTION)
                return bool(await client.receive_some(1))
        except (OSError, trio.BrokenResourceError):
            return False
    return False
