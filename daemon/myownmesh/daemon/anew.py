"""The daemon starts anew in the same process: same number, same parent, nothing of what was in memory (spec 05 W26)."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from myownmesh.daemon import logs

if TYPE_CHECKING:
    from myownmesh.daemon.supervision import Supervision

COULD_NOT = 1
"""Exit status when the program is gone: whoever supervises this process starts it again."""

log = logging.getLogger(__name__)


def begin_anew(supervision: Supervision) -> NoReturn:
    """Become a new `serve`. May be called from any thread; every descriptor of ours ends with this program."""
    program, words = command_line()
    log.info("starting anew")
    supervision.begin_anew(os.environ)
    logs.flush()
    try:
        os.execv(program, words)
    except OSError as error:
        log.error("cannot start anew: %s: %s", program, error.strerror or error)
        logs.flush()
        os._exit(COULD_NOT)


def command_line() -> tuple[str, list[str]]:
    """The program and its words. It is the one that was started, where that can be told, so that it keeps its name.

    Of a release that may have replaced itself it is what is in place now.
    """
    if getattr(sys, "frozen", False):
        from myownmesh.updates.installation import find

        in_place = str(find(os.environ).program)
        if os.access(in_place, os.X_OK):
            return in_place, [in_place, "serve"]
    started = Path(sys.argv[0])
    if started.is_file() and os.access(started, os.X_OK):
        program = str(started.absolute())
        return program, [program, "serve"]
    from myownmesh.services.worker_process import command

    words = command("serve")
    return ("/proc/self/exe" if getattr(sys, "frozen", False) else words[0]), words
