"""What ends a command with exit code 1."""

from __future__ import annotations


class CliError(Exception):
    """The command failed; the text goes to stderr behind ``error: ``."""
