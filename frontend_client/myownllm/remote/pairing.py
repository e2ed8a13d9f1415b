"""The code that lets one browser in: a few digits, for minutes, for one use and for few attempts. Pure.

A guess hits one of a hundred million codes, and there are ten guesses per code that a person has asked for.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable

DIGITS: Final = 8
CODE_S: Final = 300.0
"""To find the phone, open the address and type."""
ATTEMPTS: Final = 10
"""Wrong ones in all; then the code is void, and a person has to ask for another one."""
ATTEMPTS_PER_ADDRESS: Final = 3
"""So that one device that guesses does not void the code of another that has it."""

Outcome = Literal["right", "wrong", "none", "blocked"]
"""`none`: there is no code now; `blocked`: this address has used its attempts."""


def draw() -> str:
    """A code."""
    return "".join(secrets.choice("0123456789") for _ in range(DIGITS))


class _Code(Struct):
    text: str
    until: float
    wrong: dict[str, int] = field(default_factory=dict)


class Pairing:
    """At most one code at a time. `now` is seconds of any one clock."""

    def __init__(self, draw: Callable[[], str] = draw) -> None:
        self._draw = draw
        self._code: _Code | None = None
        self.voided = False
        """the last code ended by too many wrong attempts"""

    def show(self, now: float) -> tuple[str, float]:
        """The code that stands, or a new one, and until when it does."""
        code = self._standing(now)
        if code is None:
            code = self._code = _Code(self._draw(), now + CODE_S)
            self.voided = False
        return code.text, code.until

    def until(self, now: float) -> float | None:
        """Until when the present code stands; None without one."""
        code = self._standing(now)
        return None if code is None else code.until

    def attempt(self, text: str, address: str, now: float) -> Outcome:
        """Somebody at `address` has typed this. The right one ends the code, and so do too many wrong ones."""
        code = self._standing(now)
        if code is None:
            return "none"
        if code.wrong.get(address, 0) >= ATTEMPTS_PER_ADDRESS:
            return "blocked"
        typed = text.translate(_IGNORED)
        if hmac.compare_digest(typed.encode(errors="replace"), code.text.encode()):
            self._code = None
            return "right"
        code.wrong[address] = code.wrong.get(address, 0) + 1
        if sum(code.wrong.values()) >= ATTEMPTS:
            self._code, self.voided = None, True
        return "wrong"

    def forget(self) -> None:
        """No code stands any more."""
        self._code, self.voided = None, False

    def _standing(self, now: float) -> _Code | None:
        if self._code is not None and self._code.until <= now:
            self._code = None
        return self._code


_IGNORED: Final = str.maketrans("", "", " -")
"""People write long numbers in groups."""
