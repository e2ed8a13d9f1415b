"""Which model server the app uses: `runtime` in `config.json`. Pure.

    "runtime": {"kind": "openai", "base_url": "http://127.0.0.1:8080/v1", "api_key": "…",
                "models": [{"tag": "qwen3-8b", "family": "qwen3", "mode": "text"}]}

Without it the app looks for Ollama at its default address. `{"kind": "none"}` uses no model server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import attrs

from myownllm.coerce import as_object
from myownllm.runtimes.errors import RuntimeFailure
from myownllm.runtimes.models import Model

if TYPE_CHECKING:
    from myownllm.coerce import Json, JsonObject

OLLAMA_URL: Final = "http://127.0.0.1:11434"
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
"""No proxy can reach what these are for us."""
KEEP_ALIVE: Final = "30m"
"""How long Ollama keeps a model in memory behind its last use, unless `ollama_keep_alive` says otherwise."""

RuntimeKind = Literal["ollama", "openai", "none"]


@attrs.frozen
class RuntimeSettings:
    """A model server. Its `problem`, if there is one, is why nothing can be asked of it."""

    kind: RuntimeKind = "ollama"
    base_url: str = OLLAMA_URL
    api_key: str | None = attrs.field(default=None, repr=False)
    models: tuple[Model, ...] = ()
    """labels for models of the server; models that it does not list itself are offered, too"""
    keep_alive: str = KEEP_ALIVE
    problem: str = ""

    @classmethod
    def read(cls, config: JsonObject) -> RuntimeSettings:
        """From the whole configuration. Total: what is wrong becomes `problem`."""
        raw = config.get("runtime")
        keep_alive = config.get("ollama_keep_alive")
        kept = keep_alive if isinstance(keep_alive, str) and keep_alive else KEEP_ALIVE
        if raw is None:
            return cls(keep_alive=kept)
        members = as_object(raw)
        kind, url, key = members.get("kind", "openai"), members.get("base_url"), members.get("api_key")
        if kind == "none":
            return cls("none", "", problem="the configuration names no model server (`runtime.kind` is `none`)")
        if kind not in ("ollama", "openai"):
            return cls(problem="`runtime.kind` in config.json must be `ollama`, `openai` or `none`")
        if url is None and kind == "ollama":
            url = OLLAMA_URL
        if not isinstance(url, str) or not _is_http(url):
            return cls(
                kind, problem="`runtime.base_url` in config.json must be an address like http://127.0.0.1:8080/v1"
            )
        if isinstance(key, str) and not (key.isascii() and key.isprintable()):
            return cls(kind, problem="`runtime.api_key` in config.json holds characters that no key has")
        return cls(
            kind, url.rstrip("/"), key if isinstance(key, str) and key else None, _models(members.get("models")), kept
        )

    @property
    def is_plain(self) -> bool:
        """A server of this machine, at an address that a plain GET can take as it stands."""
        parts = urlsplit(self.base_url)
        simple = all("!" <= c <= "~" for c in self.base_url) and not {"@", "?", "#"} & set(self.base_url)
        return not self.problem and simple and parts.scheme == "http" and parts.hostname in LOOPBACK

    @property
    def place(self) -> tuple[str, int]:
        """Host and port. Raises RuntimeFailure where the settings have a problem."""
        if self.problem:
            raise RuntimeFailure("down", self.problem)
        parts = urlsplit(self.base_url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _models(raw: Json) -> tuple[Model, ...]:
    entries = [as_object(m) if isinstance(m, dict) else {"tag": m} for m in raw] if isinstance(raw, list) else []
    return tuple(
        Model(m["tag"], _text(m.get("family")), _text(m.get("mode")), _length(m.get("context_length")))
        for m in entries
        if isinstance(m.get("tag"), str) and m["tag"]
    )


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _length(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
