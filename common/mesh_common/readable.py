"""Texts that any encoder takes: names of files may be any bytes, and Python keeps what is no UTF-8 as surrogates."""

from __future__ import annotations

from typing import Any


def readable(text: str) -> str:
    r"""The text, with `\udcff` spelled out for every byte that is no UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def readable_values(value: Any) -> Any:
    """A JSON value, all of its texts readable."""
    match value:
        case str():
            return readable(value)
        case dict():
            return {readable_values(key): readable_values(each) for key, each in value.items()}
        case list() | tuple():
            return [readable_values(each) for each in value]
        case _:
            return value
