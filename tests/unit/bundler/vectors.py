"""Access to `tests/vectors/bundler.json`, the cases that come with spec 09."""

from __future__ import annotations

from typing import Any

from support import vectors


def section(name: str) -> Any:
    """A section with its rule and limits."""
    return vectors.load("bundler", name)


def cases(name: str) -> list[Any]:
    """The cases of a section."""
    found: list[Any] = section(name)["cases"]
    return found


def names(name: str) -> list[str]:
    """Readable test ids for the cases of a section."""
    return [str(case.get("name") or case.get("note") or index)[:60] for index, case in enumerate(cases(name))]


def data_of(case: Any, key: str) -> bytes | None:
    """The bytes of `<key>`, `<key>_hex` or `<key>_repeat`."""
    if f"{key}_hex" in case:
        return bytes.fromhex(case[f"{key}_hex"])
    if f"{key}_repeat" in case:
        repeat = case[f"{key}_repeat"]
        return str(repeat["text"]).encode() * int(repeat["count"])
    text = case[key]
    return None if text is None else str(text).encode()
