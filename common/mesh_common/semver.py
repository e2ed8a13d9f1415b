"""Semantic Versioning 2.0.0, strict: parse and precedence. What parses holds no slash, blank or dot-dot. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE_WORD = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_WORDS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_SEMVER = rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_PRE_WORD}(?:\.{_PRE_WORD})*))?(?:\+({_WORDS}))?"
_MAX_LENGTH = 256
"""Characters; longer ones are not versions but attacks on whoever prints or compares them."""


@dataclass(frozen=True, slots=True)
class SemVer:
    """A version; `pre` and `build` are the dot-separated identifiers."""

    major: int
    minor: int
    patch: int
    pre: tuple[str, ...] = ()
    build: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> SemVer | None:
        """None unless the whole text is a strict SemVer (no leading `v`, no leading zeros)."""
        found = re.fullmatch(_SEMVER, text) if len(text) <= _MAX_LENGTH else None
        if found is None:
            return None
        major, minor, patch, pre, build = found.groups()
        return cls(
            int(major),
            int(minor),
            int(patch),
            tuple(pre.split(".")) if pre else (),
            tuple(build.split(".")) if build else (),
        )

    @property
    def core(self) -> tuple[int, int, int]:
        return (self.major, self.minor, self.patch)

    @property
    def precedence(self) -> tuple[object, ...]:
        """Sorts as SemVer §11 says: numbers numerically and below words, a pre-release below its release."""
        words = tuple((0, int(word), "") if word.isdigit() else (1, 0, word) for word in self.pre)
        return (*self.core, not self.pre, words)

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        text += "-" + ".".join(self.pre) if self.pre else ""
        return text + ("+" + ".".join(self.build) if self.build else "")
