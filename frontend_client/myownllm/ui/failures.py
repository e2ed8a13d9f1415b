"""Every failure as the page reads it: a status, a kind, and the reason in one sentence (spec 08 §10.1). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm.errors import (
    UNSUPPORTED_TEXT,
    AppError,
    DoorError,
    HomeError,
    NoNetworkError,
    PeerAwayError,
    PeerSelectorError,
    UnknownNetworkError,
)

if TYPE_CHECKING:
    from myownllm.coerce import JsonObject


class UiError(AppError):
    """A request is refused with this status and kind."""

    def __init__(self, status: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.status, self.kind = status, kind

    @property
    def body(self) -> JsonObject:
        return {"error": {"kind": self.kind, "message": str(self)}}


_OF_THE_APP: Final[tuple[tuple[type[AppError], int, str], ...]] = (
    (NoNetworkError, 409, "no_active_network"),
    (UnknownNetworkError, 404, "not_found"),
    (PeerAwayError, 409, "conflict"),
    (PeerSelectorError, 404, "not_found"),
    (HomeError, 503, "home_unusable"),
)
_OF_THE_DOOR: Final = {"validation": 400, "not_found": 404, "conflict": 409, "busy": 429, "device_busy": 429,
                       "no_model": 404, "model_not_found": 404, "device_away": 503, "pinned_offline": 503}  # fmt: skip
_AWAY: Final = (ErrorKind.CONNECT_FAILED, ErrorKind.NOT_CONNECTED, ErrorKind.CONNECTION_LOST, ErrorKind.STOPPED)
_OF_THE_DAEMON: Final = {
    **dict.fromkeys(_AWAY, 503),
    ErrorKind.INVALID: 400,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.UNKNOWN_PEER: 404,
    ErrorKind.UNSUPPORTED: 501,
    ErrorKind.TIMEOUT: 504,
}


def ui_error(error: AppError | ControlError) -> UiError:
    """What an expected failure of the app is to the page."""
    if isinstance(error, UiError):
        return error
    if isinstance(error, DoorError):
        return UiError(_OF_THE_DOOR.get(error.kind, 502), error.kind, str(error))
    if isinstance(error, ControlError):
        text = UNSUPPORTED_TEXT if error.kind is ErrorKind.UNSUPPORTED else str(error).removeprefix("invite: ")
        return UiError(_OF_THE_DAEMON.get(error.kind, 502), str(error.kind), text)
    for cls, status, kind in _OF_THE_APP:
        if isinstance(error, cls):
            return UiError(status, kind, str(error))
    return UiError(400, "validation", str(error))
