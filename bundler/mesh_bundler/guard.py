"""The border of a command: whatever ends it becomes an exit status and a sentence, or an object with `--json`."""

from __future__ import annotations

from pathlib import Path

from mesh_bundler.errors import Refused
from mesh_bundler.files import file_refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh_bundler.report import Console

_SIGINT = 2


class Ended(BaseException):
    """A signal wants this process to end; what is under way cleans up first.

    No KeyboardInterrupt: the command line's library makes its own exit of those.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def guarded(console: Console, command: Callable[[], int]) -> int:
    """Run a command; returns its exit status. Bugs stay tracebacks."""
    try:
        return command()
    except Refused as refused:
        return console.refused(refused)
    except Ended as ended:
        return console.interrupted(128 + ended.number)
    except KeyboardInterrupt:
        return console.interrupted(128 + _SIGINT)
    except OSError as error:  # of a file that nobody expected to fail
        return console.refused(file_refusal(error, Path(error.filename or "A file")))
