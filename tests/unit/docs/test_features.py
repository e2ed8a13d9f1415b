"""docs/features.md: its feature works as it stands there, and every method, channel and id of the app has its place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from myownllm.capabilities import FEATURES
from unit.frontend.test_client import HOME, active, world
from unit.frontend.test_features_in_client import answers, call, known, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
SOURCE = ROOT / "frontend_client" / "myownllm"


async def test_the_feature_of_the_page_answers_peers(autojump_clock: Any, tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {"__name__": "double"}
    exec(compile(example[1], "features.md", "exec", dont_inherit=True), names)
    async with world(active(HOME), tmp_path) as w:
        known(w)
        release = names["install"](w.client)
        await w.client.start()
        assert "double_v1" in w.daemon.capabilities["extra"]["features"]
        await call(w, "double", {"n": 21}, streaming=False)
        await call(w, "double", {"n": "x"}, "r2", streaming=False)
        await settled()
        assert answers(w) == [("answer", 42)]
        assert answers(w, "r2") == [("refused", "invalid double payload")]
        release()
        await settled()
        assert "double" not in w.daemon.claims


def names() -> Iterator[str]:
    """Literal names in the code of features: served methods, channels heard, feature ids, operations of the door."""
    for path in (*(SOURCE / "features").rglob("*.py"), *(SOURCE / "client").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        yield from re.findall(r"\bMethod\(\s*\"([a-z_]+)\"", text)
        yield from re.findall(r"\bdoor\.operation\(\s*\"([a-z_]+)\"", text)
        yield from re.findall(r"\"([a-z_]+_v1)\"", text)


@pytest.mark.parametrize("name", sorted({*names(), *FEATURES}))
def test_every_name_has_its_place(name: str) -> None:
    assert re.search(rf"`{name}[`/ ]", PAGE), name
