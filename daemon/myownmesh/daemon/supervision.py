"""What whoever started the daemon gets to know, and how it can end it without a signal (spec 07 §10.4).

Three optional agreements, all made through the environment: a descriptor that gets one line when the daemon is ready or
has failed, a descriptor whose end means that the parent is gone, and systemd's notification socket.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

READY_VARIABLE = "MYOWNMESH_READY_FD"
LIFELINE_VARIABLE = "MYOWNMESH_LIFELINE_FD"
NOTIFY_VARIABLE = "NOTIFY_SOCKET"
WATCHDOG_VARIABLE = "WATCHDOG_USEC"
WATCHDOG_PID_VARIABLE = "WATCHDOG_PID"

_STANDARD = 2
"""The last of stdin, stdout, stderr: never closed here."""

log = logging.getLogger(__name__)


class Supervision:
    """The agreements of one start. Descriptors are taken over from the environment and never reach a child."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._ready = _take_descriptor(environ, READY_VARIABLE)
        self.lifeline = _take_descriptor(environ, LIFELINE_VARIABLE)
        self._notify = environ.pop(NOTIFY_VARIABLE, None)
        self._watchdog = {name: environ.pop(name, "") for name in (WATCHDOG_VARIABLE, WATCHDOG_PID_VARIABLE)}

    def ready(self, *, version: str, socket_path: str, instance: str) -> None:
        """The control socket answers: say so once."""
        self._write(
            {"ready": True, "pid": os.getpid(), "version": version, "socket": socket_path, "instance": instance}
        )
        self._send("READY=1")

    def failed(self, error: str, *, cannot_serve: bool = False) -> None:
        """The start has failed with this reason; `cannot_serve`: no other home or moment would help this program."""
        self._write({"ready": False, "error": error} | ({"cannot_serve": True} if cannot_serve else {}))

    def stopping(self) -> None:
        """The daemon is on its way out."""
        self._send("STOPPING=1")

    def begin_anew(self, environ: MutableMapping[str, str]) -> None:
        """This process becomes another daemon: whoever supervises this one supervises that one, too.

        Nobody is told of its readiness on a descriptor: that was promised for one start.
        """
        # Not READY, so that whoever waits for the daemon waits; and not STOPPING, behind which it would be ended.
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        if self._notify is not None:
            environ[NOTIFY_VARIABLE] = self._notify
        environ.update({name: value for name, value in self._watchdog.items() if value})
        if self.lifeline is not None:
            os.set_inheritable(self.lifeline, True)
            environ[LIFELINE_VARIABLE] = str(self.lifeline)

    @property
    def watchdog_s(self) -> float | None:
        """What systemd grants between two signs of life; None where nobody waits for any."""
        micros, pid = self._watchdog[WATCHDOG_VARIABLE], self._watchdog[WATCHDOG_PID_VARIABLE]
        if self._notify is None or not micros or pid not in ("", str(os.getpid())):
            return None
        if not micros.isascii() or not micros.isdigit() or not int(micros[:18]):
            log.warning("%s: %r is no time; ignored", WATCHDOG_VARIABLE, micros)
            return None
        return int(micros[:18]) / 1_000_000

    def say(self, state: str) -> None:
        """Tell systemd something, if it listens."""
        self._send(state)

    def _write(self, message: dict[str, object]) -> None:
        descriptor, self._ready = self._ready, None
        if descriptor is None:
            return
        line = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"
        try:
            os.set_blocking(descriptor, False)  # a parent that never reads must not hold the daemon up
            os.write(descriptor, line)
        except OSError as error:
            log.warning("%s: could not be written: %s", READY_VARIABLE, error.strerror)
        finally:
            if descriptor > _STANDARD:
                with contextlib.suppress(OSError):
                    os.close(descriptor)

    def _send(self, state: str) -> None:
        if self._notify is None:
            return
        address = self._notify
        if address.startswith("@"):
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(state.encode(), address)
        except OSError as error:
            log.warning("%s: could not send %s: %s", NOTIFY_VARIABLE, state, error)


def _take_descriptor(environ: MutableMapping[str, str], variable: str) -> int | None:
    """The inherited descriptor named by `variable`, no longer inheritable. What makes no sense is one warning."""
    text = environ.pop(variable, None)
    if text is None:
        return None
    number = text.strip()
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        log.warning("%s: %r is not the number of a descriptor; ignored", variable, text)
        return None
    try:
        descriptor = int(number)
        os.fstat(descriptor)
        os.set_inheritable(descriptor, False)
    except (OSError, OverflowError) as error:
        log.warning("%s: descriptor %s cannot be used: %s; ignored", variable, number, error)
        return None
    return descriptor
