"""What can go wrong with a file: one exception, whose text a person reads after ``error: ``."""

from __future__ import annotations


class StoreError(Exception):
    """A file of the data directory cannot be used. The text names the file, the reason and any way out."""


def os_error_text(error: OSError) -> str:
    """The operating system's words as the reference prints them: ``No such file or directory (os error 2)``."""
    if error.errno is None:
        return str(error)
    return f"{error.strerror} (os error {error.errno})"
