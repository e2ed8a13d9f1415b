"""The command `myownllm`: what a person does with the mesh half of the app.

Commands start quickly, so what only `up` needs (trio, the supervisor) is imported by `up` alone. They reach a running
app through two things that both share: the daemon's control socket and the saved networks.
"""

import io
import os
import sys
from pathlib import Path


def main() -> None:
    """Entry point of the command `myownllm`."""
    try:
        _prepare_output()
        from myownllm.cli.main import app  # here, so that Ctrl-C while the modules load is no traceback

        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as error:  # expected failures have sentences of their own; this is, for one, a full disk behind `>`
        sys.stderr.write(f"error: {error}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer has nowhere to go
        raise SystemExit(1) from None


def _prepare_output() -> None:
    """Whatever the locale and the caller left of the standard streams, printing must not fail."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process lives
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            ascii_only = stream.encoding.lower() in ("ascii", "us-ascii", "ansi_x3.4-1968")
            stream.reconfigure(encoding="utf-8" if ascii_only else None, errors="replace")
