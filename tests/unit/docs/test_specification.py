"""Every numbered rule of docs/spec can be linked, and every reference to one leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.specification import Reference, Rule, Specification, anchors, parts, references, rules

ROOT = Path(__file__).parents[3]
SPEC = ROOT / "docs" / "spec"
TEXTS = {part: path.read_text("utf-8") for part, path in parts(SPEC).items()}

PLACES = ("common", "daemon", "frontend_client", "bundler", "tests", "benchmarks", "scripts", "docs", ".github", ".ci")
FILES = ("README.md", "CHANGELOG.md", "pyproject.toml")
WRITTEN = frozenset({".py", ".md", ".toml", ".yml", ".c", ".sh", ""})
"""Suffixes of what people write here; vectors are data with sources of their own."""


def written_files() -> list[Path]:
    found = [ROOT / name for name in FILES]
    for place in PLACES:
        found += sorted(path for path in (ROOT / place).rglob("*") if path.is_file() and path.suffix in WRITTEN)
    mine = Path(__file__)  # it names rules that do not exist
    return [path for path in found if path != mine and "vectors" not in path.parts and "__pycache__" not in path.parts]


def test_the_eleven_parts_are_here() -> None:
    assert sorted(TEXTS) == [f"{number:02}" for number in range(1, 12)]


@pytest.mark.parametrize("part", sorted(TEXTS))
def test_each_numbered_rule_of_a_part_has_its_anchor(part: str) -> None:
    expected = [rule.anchor for rule in sorted(rules(TEXTS[part]), key=lambda rule: (rule.line, rule.column))]
    assert anchors(TEXTS[part]) == expected
    assert len(set(expected)) == len(expected), "two rules of one part share a name"


@pytest.mark.heavy
def test_every_reference_in_the_repository_leads_to_a_rule() -> None:
    specification = Specification.load(SPEC)
    seen, dead = 0, []
    for path in written_files():
        own_part = path.name[:2] if path in parts(SPEC).values() else ""
        for reference in references(path.read_text("utf-8"), own_part):
            seen += 1
            if not specification.has(reference):
                dead.append(f"{path.relative_to(ROOT)} {reference}")
    assert not dead, "\n".join(dead)
    assert seen > 2000, "the reader of references has gone blind"


def test_every_link_between_documents_leads_somewhere() -> None:
    dead = []
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", path.read_text("utf-8")):
            file = path.parent / target if target else path
            if not file.exists() or (anchor and file.parent == SPEC and anchor not in anchors(file.read_text("utf-8"))):
                dead.append(f"{path.relative_to(ROOT)}: {target}#{anchor}")
    assert not dead, "\n".join(dead)


def test_readme_and_architecture_point_to_the_specification() -> None:
    assert "(docs/spec/README.md)" in (ROOT / "README.md").read_text("utf-8")
    assert "(spec/README.md)" in (ROOT / "docs" / "architecture.md").read_text("utf-8")


# ── the reader of references ──────────────────────────────────────────────────────────────────────────────────────────

PART_WITH_RULES = """\
# 04 — Engine

## <a id="5"></a>5. Roles

### <a id="5.3"></a>5.3 An order

1. <a id="5.3-1"></a>First.
2. <a id="5.3-2"></a>Second.
5a. <a id="5.3-5a"></a>Between.

| # | Weakness |
|---|---|
| <a id="5.3-41"></a>41 | a row |
| <a id="W3"></a>W3 | a row with a name |

- <a id="FE-5.1"></a>**FE-5.1** a rule of the frontend

```
1. no rule: an example
```
"""


def test_rules_are_found_by_their_numbers() -> None:
    assert [rule.anchor for rule in rules(PART_WITH_RULES)] == [
        "5", "5.3", "5.3-1", "5.3-2", "5.3-5a", "5.3-41", "W3", "FE-5.1",
    ]  # fmt: skip
    assert next(iter(rules(PART_WITH_RULES))) == Rule("5", 3, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("as in spec 04 §7.4.", ["04#7.4"]),
        ("spec 04", ["04#"]),
        ("(spec 04 §5.3, §5.7; 03 §12.1)", ["04#5.3", "04#5.7", "03#12.1"]),
        ("spec 04 §5.4–5.6, 01 §15.4", ["04#5.4", "04#5.5", "04#5.6", "01#15.4"]),
        ("spec 01 §20 items 3, 4 and 6", ["01#20", "01#20-3", "01#20-4", "01#20-6"]),
        ("spec 04 §5.3 step 8, §6.4", ["04#5.3", "04#5.3-8", "04#6.4"]),
        ("spec 04 §10.11, 12 no. 11 and 19", ["04#10.11", "04#12", "04#12-11", "04#12-19"]),
        ("spec 09 §5 row 6)", ["09#5", "09#5-6"]),
        ("spec 05 W7, W9 and W12 to W14", ["05#W7", "05#W9", "05#W12", "05#W13", "05#W14"]),
        ("spec 08 §11, S1–S3 and S7", ["08#11", "08#S1", "08#S2", "08#S3", "08#S7"]),
        ("FE-5.21 rules", ["08#FE-5.21"]),
        ("spec 08 FE-7.1, FE-7.2, §9.3", ["08#FE-7.1", "08#FE-7.2", "08#9.3"]),
        ("spec 03 23-B, §11", ["03#23-B", "03#11"]),
        ("spec 03 §19.4, §23-D", ["03#19.4", "03#23", "03#23-D"]),
        ("can reach it (06 K)", ["06#13-K"]),
        ("02 FIX 1, 3", ["02#24-1", "02#24-3"]),
        ("spec 07 C1, C9", ["07#C1", "07#C9"]),
        ("(spec 09 §11.4): as §1.3 says", ["09#11.4", "09#1.3"]),
        ("# two lines, spec 05\n    # W23", ["05#W23"]),
        ("RFC 9260 §7 and SemVer §11", []),
        ("see §7 of nothing", ["#7"]),
    ],
)  # fmt: skip
def test_references_are_read_as_people_write_them(text: str, expected: list[str]) -> None:
    assert [f"{found.part}#{found.anchor}" for found in references(text)] == expected


@pytest.mark.parametrize(
    ("part", "text", "expected"),
    [
        ("04", "drops it (7.12), by 5.3 step 8", ["04#7.12", "04#5.3", "04#5.3-8"]),
        ("01", "(20, item 24)", ["01#20", "01#20-24"]),
        ("01", "sections 4, 05 §3", ["01#4", "05#3"]),
        ("02", "W26, FIX 27; 24.3 no. 44", ["02#24-26", "02#24-27", "02#24.3", "02#24.3-44"]),
        ("03", "see 23-C, D, F", ["03#23-C", "03#23-D", "03#23-F"]),
        ("05", "W1 and then 0.21 (0.74)", ["05#W1"]),
    ],
)
def test_inside_a_part_bare_numbers_mean_its_own_sections(part: str, text: str, expected: list[str]) -> None:
    assert [f"{found.part}#{found.anchor}" for found in references(text, part)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "spec 04 §99",
        "spec 04 §5.3–5.99",
        "spec 12",
        "spec 05 W99",
        "spec 05 W34 to W36",
        "FE-5.99",
        "FE-12.99",
        "spec 01 §20 items 3, 99",
        "spec 04 §5.3 step 99",
        "spec 03 23-Z",
        "06 Z",
        "02 FIX 99",
        "09 F99",
        "spec 07 C99",
        "a bare §7.4 in a text that names no part",
    ],
)
def test_a_dead_reference_is_seen(text: str) -> None:
    specification = Specification.load(SPEC)
    assert not all(specification.has(reference) for reference in references(text))


def test_a_table_that_counts_on_through_subsections_is_one_table() -> None:
    specification = Specification.load(SPEC)
    assert specification.has(Reference("04", "15-28", 1))
    assert specification.has(Reference("02", "24-44", 1))
    assert specification.has(Reference("08", "FE-12.7", 1))
    assert not specification.has(Reference("04", "15-99", 1))
