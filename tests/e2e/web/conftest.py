from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import define

from e2e.devices import REPOSITORY, Pair, demo
from support.browsers import browser
from support.model_servers import scripted

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from playwright.sync_api import Browser

    from support.browsers import Person
    from support.model_servers import ModelServer

FAILED = pytest.StashKey[bool]()
SHOTS = os.environ.get("MESH_SCREENSHOTS", "")
"""A folder that takes pictures of what the tests see."""


TOKEN = "word-for-programs"
HURRIED = f"""#!{sys.executable}
import signal
from myownllm.features.files import inbox
usual = inbox.DECIDE_S
signal.signal(signal.SIGUSR1, lambda *_: setattr(inbox, "DECIDE_S", 3.0))
signal.signal(signal.SIGUSR2, lambda *_: setattr(inbox, "DECIDE_S", usual))
from myownllm.cli import main
main()
"""
"""The app; by a signal the person who is offered a file has three seconds in the place of three hundred."""


@define
class Household:
    """Two devices with a screen each; Boris's has a model, and a token for his local API."""

    pair: Pair
    model: ModelServer
    urls: list[str]
    token: str = TOKEN

    def hurry(self, *, no_more: bool = False) -> None:
        """Who is offered a file on Boris's device from now on has three seconds."""
        os.kill(self.pair.boris.pid, signal.SIGUSR2 if no_more else signal.SIGUSR1)

    @property
    def relay(self) -> str:
        return f"ws://127.0.0.1:{self.pair.port}"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Not longer than its tests: an event loop of Playwright's own runs in this thread as long as the browser does."""
    with browser() as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(autouse=True)
def traces_of_a_failure(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[None]:
    """What each browser did and showed until then (`playwright show-trace FILE`), beside the pictures."""
    yield
    folder = Path(SHOTS or REPOSITORY / "build" / "browser")
    for number, context in enumerate(chromium.contexts):
        if request.node.stash.get(FAILED, False):
            path = folder / f"{request.node.name}-{number}.zip"
            for page in context.pages:
                page.screenshot(path=path.with_suffix(".png"), timeout=10_000)
            context.tracing.stop(path=path)
            print(f"trace of a browser: {path}")
        context.close()


@pytest.fixture(scope="module")
def household() -> Iterator[Household]:
    base = demo.temporary_base()
    pair = Pair(base, screen=True)
    with scripted(models=["gemma4:e2b", "llama3:8b"], words=4) as model:
        try:
            for device, runtime in ((pair.anna, "none"), (pair.boris, "ollama")):
                config = device.home / ".myownllm" / "config.json"
                settings = json.loads(config.read_text())
                settings["runtime"] = {"kind": runtime, "base_url": model.url}
                settings["files"] = {"folder": str(device.home / "Downloads")}
                if device is pair.boris:
                    settings["api"] |= {"bearer_token": TOKEN}
                config.write_text(json.dumps(settings))
            app = pair.boris.home / "hurried"
            app.write_text(HURRIED)
            app.chmod(0o755)
            pair.boris.app = str(app)
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
