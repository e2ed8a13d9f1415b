"""OpenMetrics 1.0: families of numbers as text. Pure; who wants a number calls it by the name of its family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_SUFFIX: Final[Mapping[str, str]] = {"counter": "_total", "info": "_info"}


class Exposition:
    """One answer, family by family, each in one piece."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def family(
        self,
        kind: Literal["counter", "gauge", "info"],
        name: str,
        about: str,
        values: Mapping[tuple[tuple[str, str], ...], float],
        unit: str = "",
    ) -> None:
        """A family with its values by their labels; `name` ends with the unit, if there is one."""
        self._head(kind, name, about, unit)
        for labels, value in values.items():
            self._lines.append(f"{name}{_SUFFIX.get(kind, '')}{_braces(labels)} {_number(value)}")

    def gauge(self, name: str, about: str, value: float, unit: str = "") -> None:
        """A family of one number."""
        self.family("gauge", name, about, {(): value}, unit)

    def summary(self, name: str, about: str, count: int, total: float, unit: str = "") -> None:
        """How often something was measured, and what that came to."""
        self._head("summary", name, about, unit)
        self._lines += [f"{name}_count {count}", f"{name}_sum {_number(total)}"]

    def text(self) -> str:
        return "\n".join([*self._lines, "# EOF", ""])

    def _head(self, kind: str, name: str, about: str, unit: str) -> None:
        self._lines.append(f"# TYPE {name} {kind}")
        if unit:
            self._lines.append(f"# UNIT {name} {unit}")
        self._lines.append(f"# HELP {name} {_escaped(about)}")


def labels(**members: str) -> tuple[tuple[str, str], ...]:
    """Labels in their order."""
    return tuple(members.items())


def _braces(given: tuple[tuple[str, str], ...]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in given) + "}" if given else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
