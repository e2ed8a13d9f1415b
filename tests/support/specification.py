"""The numbered rules of docs/spec, their anchors, and the references to them in the texts of this repository.

An anchor stands before the number that it names: `<a id="7.4"></a>7.4 On hello`. Its name is

- a section's number: `7.4`;
- section, hyphen, number for the row of a table or the item of a list: `20-16`, `5.3-5a`, `23-A`;
- the rule's own name where it has one: `W23`, `FE-5.21`, `BW4`.

References are read as people write them: "spec 04 §5.4–5.9", "01 §20 items 3, 4", "05 W7, W9", "FE-9.7", "02 FIX 1".
Inside docs/spec a bare number after "section", in brackets, or before "step 5" means a section of the same part.
"""

from __future__ import annotations

import bisect
import re
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_FENCE = re.compile(r"^```")
_ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
_HEADING = re.compile(r"#{2,4} (?P<name>\d+(?:\.\d+)*)\.? ")
_ROW = re.compile(r"\| *[*`]*(?P<name>\d{1,3}[a-z]?|[A-Z]{1,2}\d+[a-z]?|[A-Z])[*`]*(?: \[D\])? *\|")
_ITEM = re.compile(r"(?P<name>\d+[a-z]?)\. ")
_FRONTEND_RULE = re.compile(r" *- \*\*(?P<name>FE-\d+\.\d+)\*\*")
_FRONTEND_INLINE = re.compile(r"(?<=[|.;] )(?P<name>FE-(?P<section>\d+)\.\d+) ")
_TABLE_RULER = re.compile(r"\|[ :-]*-")


@frozen
class Rule:
    """One thing in a part that can be linked."""

    anchor: str
    line: int
    """Counted from 1."""
    column: int
    """Where its number begins once the anchors of the line are left out."""


@frozen
class Reference:
    """A place in some text that points to a rule."""

    part: str
    """Two digits; empty when the text names no part."""
    anchor: str
    """Empty when the whole part is meant."""
    line: int
    """Counted from 1."""

    def __str__(self) -> str:
        return f"line {self.line}: {self.part or 'no part'} {self.anchor}"


class Specification:
    """What can be linked in a folder of parts."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._anchors = {part: frozenset(anchors(text)) for part, text in texts.items()}

    @classmethod
    def load(cls, directory: Path) -> Specification:
        return cls({part: path.read_text("utf-8") for part, path in parts(directory).items()})

    def has(self, reference: Reference) -> bool:
        known = self._anchors.get(reference.part)
        if known is None:
            return False
        if not reference.anchor or reference.anchor in known:
            return True
        if found := re.fullmatch(r"FE-12\.(\d+)", reference.anchor):
            return f"12-{found[1]}" in known  # 08 §12: row n is requirement FE-12.n
        section, hyphen, number = reference.anchor.partition("-")
        # Some tables count on through the subsections of a section.
        below = re.compile(rf"{re.escape(section)}\.[\d.]+-{re.escape(number)}")
        return bool(hyphen) and any(map(below.fullmatch, known))


def parts(directory: Path) -> dict[str, Path]:
    """The files of the specification by their two digits."""
    return {path.name[:2]: path for path in sorted(directory.glob("[0-9][0-9]-*.md"))}


def anchors(text: str) -> list[str]:
    return _ANCHOR.findall(text)


def rules(text: str) -> Iterator[Rule]:
    """The headings, table rows, list items and named rules of a part, from their numbers; anchors are not looked at."""
    section, fenced = "0", False
    lines = [_ANCHOR.sub("", line) for line in text.split("\n")]
    bold = {found["name"] for line in lines if (found := _FRONTEND_RULE.match(line))}
    for index, line in enumerate(lines):
        if _FENCE.match(line):
            fenced = not fenced
        if fenced:
            continue
        if found := _HEADING.match(line):
            section = found["name"]
            yield Rule(section, index + 1, found.start("name"))
        elif found := _ROW.match(line):
            if index + 1 < len(lines) and _TABLE_RULER.match(lines[index + 1]):
                continue  # the head of a table
            own = found["name"] if re.match(r"[A-Z]+\d", found["name"]) else f"{section}-{found['name']}"
            yield Rule(own, index + 1, found.start("name"))
        elif found := _ITEM.match(line):
            yield Rule(f"{section}-{found['name']}", index + 1, found.end())
        elif found := _FRONTEND_RULE.match(line):
            yield Rule(found["name"], index + 1, found.start("name") - 2)
        for found in _FRONTEND_INLINE.finditer(line):
            # Several small rules share a row of 08 §7.
            if found["section"] == section.partition(".")[0] and found["name"] not in bold:
                yield Rule(found["name"], index + 1, found.start("name"))


# ── references ────────────────────────────────────────────────────────────────────────────────────────────────────────

_COMMENT_MARK = re.compile(r"^\s*(?:#+:?|>|//)\s")
_TO = " ?(?:–|-|to) ?"
_SECTION = r"(?:0|[1-9]\d?)(?:\.\d{1,2})*(?!\.?\d)"
_NAME = "(?:W|C|S|F|G|I|BW)"
_COUNTED = r"(?:items?|steps?|rows?|rules?|requirements?|nos?\.)"
_NUMBER = rf"\d+[a-z]?(?!\.?\w|-[A-Z]| §| {_NAME}\d| FE-| FIX)"
_LOCATOR = rf"§|FE-\d|FIX|W \d|{_NAME}\d|\d\d-[A-Z]\b|{_SECTION} nos?\."

_SEPARATOR = re.compile("(?:, and |, or |, | and | or | with |; |/| |)")
_PART = re.compile(rf"(?:[Ss]pec )?(0[1-9]|1[01]) (?={_LOCATOR})|(?:[Ss]pec )?(06) (?=[A-Z]\b)")
_WHOLE_PART = re.compile(r"[Ss]pec (\d\d)\b")
_SECTIONS = re.compile(rf"(?:§|sections? |by |per |see |\()({_SECTION})(?:{_TO}§?({_SECTION}))?")
_MORE_SECTIONS = re.compile(rf"(\d{{1,2}}\.\d{{1,2}}(?!\.?\d))(?:{_TO}({_SECTION}))?")
_SECTION_OF_NUMBER = re.compile(rf"({_SECTION}),? (?={_COUNTED} \d)")
_NUMBERS = re.compile(rf"{_COUNTED} ({_NUMBER})(?:{_TO}({_NUMBER}))?")
_MORE_NUMBERS = re.compile(rf"({_NUMBER})(?:{_TO}({_NUMBER}))?")
_LETTER = re.compile(r"(\d\d)?-([A-Z])\b")
_MORE_LETTERS = re.compile(r"([A-Z])\b(?![.'-])")
_FRONTEND_RULES = re.compile(r"FE-(\d+\.\d+)")
_NAMED = re.compile(rf"({_NAME})(\d+[a-z]?)\b(?:{_TO}{_NAME}(\d+))?")
_FIXES = re.compile(rf"(?:FIX(?:es)?|W|nos?\.) ?(\d+)(?:{_TO}(\d+))?")

_STARTS = rf"\b[Ss]pec (?=\d\d\b)|(?<![\w.-])(?:0[1-9]|1[01]) (?={_LOCATOR})|06 (?=[A-Z]\b)|§(?=\d)|\bFE-(?=\d+\.\d)"
_FOREIGN = re.compile(r"(?:RFC \d+|SemVer) $")
"""Sections of other people's documents."""
_STARTS_INSIDE = (
    r"|\bsections? (?=\d)|\b(?:by|per|see) (?=[1-9]\d?\.\d{1,2}(?!\.?\d))|\((?=[1-9]\d?\.\d{1,2}[),;:])"
    rf"|(?<![\w.–-]){_SECTION},? (?={_COUNTED} \d)"
)
_STARTS_OF_PART = {
    "02": r"|\bFIX(?:es)? \d|\bW ?\d+\b|\bnos?\. \d",
    "03": r"|\b23-[A-Z]\b",
    "05": r"|\bW\d+\b",
    "06": r"|\b13-[A-Z]\b",
    "07": r"|\bC\d+\b",
    "08": r"|\bS\d+\b",
    "09": r"|\b(?:S|F|G|I|BW)\d+[a-z]?\b",
}


def references(text: str, own_part: str = "") -> Iterator[Reference]:
    """Every reference in a text, in order. `own_part` names the part that the text is, inside docs/spec."""
    flat, starts_of_lines = _one_line(text)
    pattern = _STARTS + (_STARTS_INSIDE + _STARTS_OF_PART.get(own_part, "") if own_part else "")
    starts = re.compile(pattern)
    at, part = 0, own_part
    while (start := starts.search(flat, at)) is not None:
        if _FOREIGN.search(flat, max(0, start.start() - 12), start.start()):
            at = start.end()
            continue
        chain = _Chain(flat, start.start(), part)
        chain.read()
        for where, named_part, anchor in chain.found:
            yield Reference(named_part, anchor, bisect.bisect_right(starts_of_lines, where))
        at = max(chain.at, start.end())
        # A bare § means the part that was named last; inside a part it always means that part.
        part = own_part or chain.part


class _Chain:
    """References that follow each other, as in "spec 04 §5.3 step 8, §7.5; 03 §12.1"."""

    def __init__(self, text: str, at: int, part: str) -> None:
        self._text = text
        self.at = at
        self.part = part
        self._section = ""
        self._listing: re.Pattern[str] | None = None
        self.found: list[tuple[int, str, str]] = []

    def read(self) -> None:
        start = self.at
        while self._token(start):
            separator = _SEPARATOR.match(self._text, self.at)
            start = self.at if separator is None else separator.end()

    def _token(self, at: int) -> bool:
        """Take the token at this place, if there is one."""
        self._start = at
        if found := self._match(_PART):
            self.part, self._section, self._listing = found[1] or found[2], "", None
            if found[2] and not self._text.startswith("§", self.at):
                self._listing = _MORE_LETTERS
        elif found := self._match(_WHOLE_PART):
            self.part = found[1]
            self._add("")
        elif found := self._match(_SECTION_OF_NUMBER):
            self._section = found[1]
            self._add(found[1])
        elif (found := self._match(_SECTIONS)) or (
            self._listing is _MORE_SECTIONS and (found := self._match(_MORE_SECTIONS))
        ):
            self._section, self._listing = found[2] or found[1], _MORE_SECTIONS
            self._add(*_range(found[1], found[2]))
        elif self._section and (found := self._match(_NUMBERS)):
            self._listing = _MORE_NUMBERS
            self._add(*(f"{self._section}-{number}" for number in _range(found[1], found[2])))
        elif self._listing is _MORE_NUMBERS and (found := self._match(_MORE_NUMBERS)):
            self._add(*(f"{self._section}-{number}" for number in _range(found[1], found[2])))
        elif found := self._match(_FRONTEND_RULES):
            self.part, self._listing = "08", None
            self._add(f"FE-{found[1]}")
        elif self.part == "02" and (found := self._match(_FIXES)):
            self._section, self._listing = "24", _MORE_NUMBERS
            self._add(*(f"24-{number}" for number in _range(found[1], found[2])))
        elif found := self._match(_NAMED):
            self._listing = None
            self._add(*(found[1] + number for number in _range(found[2], found[3])))
        elif found := self._match(_LETTER):
            self._section, self._listing = found[1] or self._section, _MORE_LETTERS
            self._add(f"{self._section}-{found[2]}")
        elif self._listing is _MORE_LETTERS and (found := self._match(_MORE_LETTERS)):
            self._section = self._section or "13"  # "06 K"
            self._add(f"{self._section}-{found[1]}")
        else:
            return False
        return True

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._start)
        if found is not None:
            self.at = found.end()
        return found

    def _add(self, *names: str) -> None:
        self.found += [(self._start, self.part, name) for name in names]


def _range(first: str, last: str | None) -> list[str]:
    """What a range names: "5.4", "5.9" are six sections."""
    if last is None:
        return [first]
    above, dot, begin = first.rpartition(".")
    end = last.removeprefix(above + dot)
    if not (begin.isdigit() and end.isdigit()):
        return [first, last]
    return [f"{above}{dot}{number}" for number in range(int(begin), int(end) + 1)]


def _one_line(text: str) -> tuple[str, list[int]]:
    """The text without line ends, indents, comment marks and anchors; and where each of its lines begins."""
    flat, starts, length = [], [], 0
    for line in text.split("\n"):
        starts.append(length)
        flat.append(_COMMENT_MARK.sub("", _ANCHOR.sub("", line)).strip() + " ")
        length += len(flat[-1])
    return "".join(flat), starts
