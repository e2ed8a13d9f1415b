"""Every failure as OpenAI's clients read it: a status, a code, and the reason in one sentence. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm.errors import AppError
from myownllm.inference.picks import HostError
from myownllm.refusals import Meaning, meaning
from myownllm.runtimes import RuntimeFailure

if TYPE_CHECKING:
    from myownllm.coerce import JsonObject


class ApiError(AppError):
    """A request is refused with this status and code."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code = status, code


_TYPES: Final = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
                 404: "invalid_request_error", 413: "invalid_request_error", 429: "rate_limit_error"}  # fmt: skip
_HOSTS: Final = {"device_away": 503, "pinned_offline": 503, "device_busy": 429, "no_model": 404, "model_not_found": 404}
_RUNTIMES: Final = {"down": 503, "timeout": 504, "stopped": 503}
_AWAY: Final = (ErrorKind.NOT_CONNECTED, ErrorKind.CONNECTION_LOST, ErrorKind.STOPPED, ErrorKind.UNKNOWN_PEER,
                ErrorKind.LINK_DOWN)  # fmt: skip


def api_error(error: Exception) -> ApiError:
    """What a failure of the app is to a program that used the API."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HostError):
        return ApiError(_HOSTS.get(error.kind, 502), error.kind, str(error))
    if isinstance(error, RuntimeFailure):
        if error.kind == "refused" and 400 <= error.status < 500:
            return ApiError(error.status, "model_server_refused", str(error))
        return ApiError(_RUNTIMES.get(error.kind, 502), f"model_server_{error.kind}", str(error))
    if isinstance(error, ControlError):
        return _of_the_mesh(error)
    return ApiError(502, "failed", str(error))


def _of_the_mesh(error: ControlError) -> ApiError:
    said = meaning(error)
    if said in (Meaning.BUSY, Meaning.NOT_ACCEPTING):
        return ApiError(429, "device_busy", error.text)
    if said is Meaning.NO_MODEL:
        return ApiError(404, "no_model", error.text)
    if error.kind is ErrorKind.TIMEOUT:
        return ApiError(504, "device_silent", error.text)
    if error.kind in _AWAY:
        return ApiError(503, "device_away", error.text)
    return ApiError(502, "device_failed", error.text)


def error_body(error: ApiError) -> JsonObject:
    """The object that the official clients turn into their exceptions."""
    kind = _TYPES.get(error.status, "server_error")
    return {"error": {"message": str(error), "type": kind, "param": None, "code": error.code}}
