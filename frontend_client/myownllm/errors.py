"""What can go wrong in the app: expected failures, each a sentence for a person.

What goes wrong between the app and its daemon is a `ControlError`, whose kind is what code may branch on.
"""

from __future__ import annotations

from typing import Final

from mesh_common.client.errors import ControlError, ErrorKind

NOT_CONNECTED_TEXT: Final = "mesh daemon not connected — it's still starting up or currently unavailable"
NO_DATA_TEXT: Final = "peer closed the stream without data (no handler, busy or no model)"
"""FE-9.6"""
UNSUPPORTED_TEXT: Final = (
    "the mesh daemon that runs here cannot do this: another release or program answers than this app's own"
)
"""In place of its list of everything that it can."""
NO_NETWORK_TEXT: Final = "no active network: `myownllm networks add <name>` makes one, `networks use <name>` picks one"


class AppError(Exception):
    """An expected failure: its text is one sentence that names the thing, the reason and the way out."""


class NoNetworkError(AppError):
    """There is no active network to do it on."""

    def __init__(self) -> None:
        super().__init__(NO_NETWORK_TEXT)


Failure = AppError | ControlError
FAILURES: Final = (AppError, ControlError)
"""Everything that is expected to fail now and then."""


def not_connected() -> ControlError:
    """The daemon is not there yet, or not any more (spec 08 FE-2.3)."""
    return ControlError(ErrorKind.NOT_CONNECTED, NOT_CONNECTED_TEXT)


def stopped(text: str = "stopped") -> ControlError:
    """What was asked for ended because the client was stopped, or asked for something else."""
    return ControlError(ErrorKind.STOPPED, text)


class DoorError(AppError):
    """What went wrong between a command and the running app; `kind` is for code."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = str(kind)


class NetworkIdError(AppError):
    """A network handle breaks the daemon's rule (spec 07, spec 08 §14)."""


class UnknownNetworkError(AppError):
    """A catalog operation named a saved network that is not there."""

    def __init__(self, config_id: str) -> None:
        super().__init__(f"unknown network id: {config_id}")


class PeerSelectorError(AppError):
    """What a person typed for a peer names none, or more than one."""


class PeerAwayError(PeerSelectorError):
    """What a person typed names a device that is approved here, but is not connected."""

    def __init__(self, display: str, label: str, last_seen: str = "") -> None:
        who, last = f"{label or 'this device'} ({display})", f"; it was here last at {last_seen}" if last_seen else ""
        super().__init__(f"{who} is away: it is approved here, but not connected now{last}")


class PeerUndecidedError(AppError):
    """A device is connected, but a person has not let it in yet, here or over there."""

    def __init__(self, display: str, label: str, *, here: bool) -> None:
        who = f"{label or 'this device'} ({display})"
        if here:
            super().__init__(f"{who} waits for your approval: compare the codes in `myownllm peers`, then approve it")
        else:
            super().__init__(f"{who} has not approved this device yet: somebody must do that there")


class HomeError(AppError):
    """The app's directories cannot be used as they are."""


class UnwritableHomeError(HomeError):
    """They are missing and cannot be made, or nothing can be written there; what is there can still be read."""


class AlreadyRunningError(AppError):
    """Another `myownllm up` holds this home."""

    def __init__(self, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(f"MyOwnLLM is already running ({holder}); `myownllm status` shows it")
        self.pid = pid
