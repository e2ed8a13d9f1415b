from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import define

from e2e.devices import Pair, demo
from support.browsers import browser
from support.model_servers import scripted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from support.browsers import Person
    from support.model_servers import ModelServer

SHOTS = os.environ.get("MESH_SCREENSHOTS", "")
"""A folder that takes pictures of what the tests see."""


@define
class Household:
    """Two devices with a screen each; Boris's has a model."""

    pair: Pair
    model: ModelServer
    urls: list[str]

    @property
    def relay(self) -> str:
        return f"ws://127.0.0.1:{self.pair.port}"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Not longer than its tests: an event loop of Playwright's own runs in this thread as long as the browser does."""
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def household() -> Iterator[Household]:
    base = demo.temporary_base()
    pair = Pair(base, screen=True)
    with scripted(models=["gemma4:e2b"], words=4) as model:
        try:
            for device, runtime in ((pair.anna, "none"), (pair.boris, "ollama")):
                config = device.home / ".myownllm" / "config.json"
                settings = json.loads(config.read_text())
                settings["runtime"] = {"kind": runtime, "base_url": model.url}
                settings["files"] = {"folder": str(device.home / "Downloads")}
                config.write_text(json.dumps(settings))
            pair.up()
            urls = [d.wait("screen", lambda e: e["event"] == "screen")["url"] for d in pair.both]
            yield Household(pair, model, urls)
        finally:
            pair.stop()
            shutil.rmtree(base, ignore_errors=True)


def shot(person: Person, name: str) -> None:
    """A picture for docs/ui.md, when a folder is named."""
    if SHOTS:
        person.page.screenshot(path=Path(SHOTS) / f"{name}.png")
