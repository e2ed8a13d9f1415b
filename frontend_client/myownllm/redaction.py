"""What may be shown to others of files, answers and logs: no secret, no code, nothing that somebody wrote. Pure.

Of structured data only members known to be harmless keep their text; the rest is replaced by its length. Free text,
like a log, loses every word that is known to be private.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownllm.relays import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from myownllm.coerce import Json

_PLAIN: Final = frozenset(
    {
        "accepting", "active_mode", "active_provider", "arch", "by", "channel", "device_id", "device_id_display",
        "device_pubkey", "device_suffix", "exit_status", "gpu_type", "health", "id", "instance", "kind", "level",
        "mode",
        "name", "origin", "path", "peer_id", "phase", "pinned_version", "role", "severity", "state", "status",
        "strategy", "tier", "version", "local", "remote", "platform", "python", "app_version",
    }
)  # fmt: skip
_ADDRESSES: Final = frozenset({"signaling_servers", "stun_servers", "servers", "url", "urls", "denylist"})
_TOOLS: Final = "tools"
"""Names from a list that is the same everywhere."""
_KINDS_OF_NAMES: Final = frozenset({"prompts", "conversations"})
"""Inside these even a `name` or an `id` is something that a person wrote."""
SHORTEST_SECRET: Final = 4
"""Shorter words would take half of a log with them."""


def redacted(value: Json, key: str = "", *, written: bool = False) -> Json:
    """A copy that may be given away. `key` is the member that it stands under; `written` by a person."""
    match value:
        case dict():
            inside = written or key in _KINDS_OF_NAMES
            return {name: redacted(each, name, written=inside) for name, each in value.items()}
        case list() | tuple():
            return [redacted(each, key, written=written) for each in value]
        case str() if key in _ADDRESSES and not written:
            return shown(value)
        case str() if value and key != _TOOLS and (written or key not in _PLAIN):
            return f"<{len(value)} characters>"
    return value


def private_words(value: Json, key: str = "", *, written: bool = False) -> Iterator[str]:
    """Every text in a structure that `redacted` would replace, to be taken out of logs, too."""
    match value:
        case dict():
            inside = written or key in _KINDS_OF_NAMES
            for name, each in value.items():
                yield from private_words(each, name, written=inside)
        case list() | tuple():
            for each in value:
                yield from private_words(each, key, written=written)
        case str() if key != _TOOLS and (written or key not in _PLAIN | _ADDRESSES) and len(value) >= SHORTEST_SECRET:
            yield value


def scrubbed(text: str, words: Collection[str], *, home: str = "") -> str:
    """Free text without those words, and without the name of its owner's home."""
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "<private>")
    return text.replace(home, "~") if len(home) > 1 else text
