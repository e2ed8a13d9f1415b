"""The page about growth shows what was measured: its tables and its plot are what the benchmark makes of its data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[3]


def test_tables_and_plot_are_those_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import scaling_page as pages  # type: ignore[import-not-found]  # beside the benchmarks, found by path

    known = json.loads((ROOT / "docs" / "scaling.json").read_text("utf-8"))
    measured = [pages.Measured(**each) for each in known["measured"]]
    paper = [pages.Paper(**each) for each in known["paper"]]
    assert {each.shape for each in measured} == {"ring", "hubs", "full_mesh"}
    assert (ROOT / "docs" / "scaling.svg").read_text("utf-8") == pages.plot(measured, paper)
    text = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    assert text == pages.page(text, measured, paper)
    assert pages.paper_table(paper) in text
    assert pages.table(measured) in text
    sys.modules.pop("scaling_page")
