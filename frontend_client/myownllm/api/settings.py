"""`api` in `config.json` (spec 08 §6.2). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from mesh_common.addresses import is_loopback
from myownllm.coerce import as_object, port

if TYPE_CHECKING:
    from myownllm.coerce import JsonObject

PORT: Final = 1473
HOST: Final = "127.0.0.1"


@attrs.frozen
class ApiSettings:
    """Where the API listens and who may use it. A `problem` is why it is not opened."""

    enabled: bool = True
    host: str = HOST
    port: int = PORT
    cors_allow_all: bool = False
    bearer_token: str | None = attrs.field(default=None, repr=False)
    problem: str = ""

    @classmethod
    def read(cls, config: JsonObject) -> ApiSettings:
        """From the whole configuration. Total: a wrong member is its default."""
        raw = as_object(config.get("api"))
        host, token = raw.get("host"), raw.get("bearer_token")
        settings = cls(
            enabled=raw.get("enabled") is not False,
            host=host if isinstance(host, str) and host else HOST,
            port=port(raw.get("port"), PORT),
            cors_allow_all=raw.get("cors_allow_all") is True,
            bearer_token=token if isinstance(token, str) and token else None,
        )
        if settings.bearer_token is None and not is_loopback(settings.host):
            text = f"the local API is not opened at {settings.host} without `api.bearer_token`: others could reach it"
            return attrs.evolve(settings, problem=text)
        return settings
