"""What can go wrong between the app and its daemon, each with a kind for code and a sentence for a person."""

from __future__ import annotations

import re
from typing import Final, Literal

ErrorKind = Literal[
    "not_connected",
    "connect_failed",
    "timeout",
    "closed",
    "protocol",
    "daemon_error",
    "connection_lost",
    "too_large",
    "validation",
    "not_found",
    "no_active_network",
    "stopped",
    # refusals of the daemon; one that has no kind of its own is a `daemon_error`
    "unsupported",
    "bad_request",
    "unknown_network",
    "already_joined",
    "not_saved",
]

NOT_CONNECTED_TEXT: Final = "mesh daemon not connected — it's still starting up or currently unavailable"
TIMEOUT_TEXT: Final = "daemon response timed out"
CLOSED_TEXT: Final = "daemon closed connection without a response"


class AppError(Exception):
    """An expected failure: its text is one sentence that names the thing, the reason and the way out."""


class MeshError(AppError):
    """A command to the daemon failed (spec 08 FE-4.2); `kind` is what code may branch on."""

    def __init__(self, kind: ErrorKind, text: str, *, refused: bool = False) -> None:
        super().__init__(text)
        self.kind: ErrorKind = kind
        self.text = text
        self.refused = refused
        """the daemon said it"""


_REFUSALS: Final[tuple[tuple[ErrorKind, re.Pattern[str]], ...]] = (
    ("unsupported", re.compile(r"parse: .*unknown variant")),
    ("bad_request", re.compile(r"parse: ")),
    ("unknown_network", re.compile(r"unknown network\b")),
    ("already_joined", re.compile(r".*already (in use|joined)")),
    ("not_saved", re.compile(r".*config\.json save failed")),
)


def refusal(text: str) -> MeshError:
    """The failure that a daemon tells with this text. Nobody else compares its texts (spec 05 §4)."""
    kind: ErrorKind = next((kind for kind, pattern in _REFUSALS if pattern.match(text)), "daemon_error")
    return MeshError(kind, text, refused=True)


def not_connected() -> MeshError:
    """The daemon is not there yet, or not any more (spec 08 FE-2.3)."""
    return MeshError("not_connected", NOT_CONNECTED_TEXT)


def connection_lost(during: str = "") -> MeshError:
    """The event connection ended, and with it everything that was under way."""
    what = f" during `{during}`" if during else ""
    return MeshError("connection_lost", f"the connection to the mesh daemon was lost{what}")


def connect_failed(address: object) -> MeshError:
    """Nobody listens at the address of the control socket."""
    return MeshError("connect_failed", f"connect daemon socket at {address} — is `myownmesh serve` running?")


class NetworkIdError(AppError):
    """A network handle breaks the daemon's rule (spec 07, spec 08 §14)."""


class UnknownNetworkError(AppError):
    """A catalog operation named a saved network that is not there."""

    def __init__(self, config_id: str) -> None:
        super().__init__(f"unknown network id: {config_id}")


class PeerSelectorError(AppError):
    """What a person typed for a peer names none, or more than one."""


class HomeError(AppError):
    """The app's directories cannot be used as they are."""


class AlreadyRunningError(AppError):
    """Another `myownllm up` holds this home."""

    def __init__(self, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(f"MyOwnLLM is already running ({holder}); `myownllm status` shows it")
        self.pid = pid
