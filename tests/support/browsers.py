"""A person at a real browser: the system's Chromium, driven by Playwright, with what must never happen watched.

Every page fails its test for an error on its console, a report of the page's policy, or a request to another host.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import axe_playwright_python
from attrs import define, field
from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Locator, Page

PATIENCE_MS = 60_000
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--host-resolver-rules=MAP rebound.test 127.0.0.1",
)
LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 360))
"""Each scheme of colours, and a wide and a narrow window: schemes change colours, widths the layout."""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

expect.set_options(timeout=PATIENCE_MS)


def chromium() -> str:
    """The system's browser; scripts/test installs it."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (found := shutil.which(name)) is not None:
            return found
    raise AssertionError("no Chromium on this machine: scripts/test installs it (Debian: apt-get install chromium)")


def without_windows() -> str:
    """The same browser without menus and windows, where the system has it: a page costs half."""
    return shutil.which("chromium-headless-shell") or chromium()


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=without_windows(), args=list(ARGUMENTS))
        try:
            yield made
        finally:
            made.close()


@cache
def axe() -> str:
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@define(eq=False)
class Person:
    """A browser with a profile of its own, and one tab of it."""

    context: BrowserContext
    page: Page
    wrong: list[str] = field(factory=list)
    host: str = "127.0.0.1"
    """the only one that its pages may ask"""
    _axe: tuple[Any, int] | None = None

    @classmethod
    def at(cls, running: Browser, host: str = "127.0.0.1", **options: Any) -> Person:
        context = running.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(PATIENCE_MS)
        context.tracing.start(snapshots=True)  # kept when the test fails; a film of it takes as much as all the rest
        person = cls(context, context.new_page(), host=host)
        person.watch(person.page)
        person.page.on("domcontentloaded", lambda _: person._loaded())
        return person

    def _loaded(self) -> None:
        self._axe = None  # its world went with the page before

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: message.type == "error" and self.wrong.append(message.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: self._is_ours(request.url) or self.wrong.append(f"asked {request.url}"))

    def _is_ours(self, url: str) -> bool:
        return url.startswith((*(f"{scheme}://{self.host}:" for scheme in ("http", "ws", "blob:http")), "data:"))

    def forgive(self, *words: str) -> None:
        """What the browser says by itself of answers that a test provokes."""
        self.wrong = [text for text in self.wrong if not any(word in text for word in words)]

    def enter(self, url: str) -> None:
        self.page.goto(url)
        expect(self.page.locator("#pill")).to_be_visible()

    def surface(self, name: str) -> None:
        self.page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(self.page.get_by_role("heading", level=1, name=name)).to_be_visible()

    def press(self, name: str, inside: Locator | None = None) -> None:
        (inside or self.page).get_by_role("button", name=name, exact=True).click()

    def look_over(self, what: str) -> None:
        """Nobody is kept out of what is shown now, in any scheme of colours and any width of the window.

        Of a dialog the page behind it is looked at once: the browser keeps everybody away from that.
        """
        size = self.page.viewport_size
        assert size is not None
        again = "dialog" if self.page.locator("dialog[open]").count() > 0 else "html"
        for number, (scheme, width) in enumerate(LOOKS):
            self.page.emulate_media(color_scheme=scheme)
            self.page.set_viewport_size({"width": width, "height": size["height"]})
            assert self.violations("html" if number == 0 else again) == [], (what, scheme, width)
            assert self.is_as_wide_as_its_window(), (what, scheme, width)
        self.page.set_viewport_size(size)
        self.page.emulate_media(color_scheme="null")

    def ask_for(self, name: str, inside: Locator | None = None) -> Locator:
        """Presses what opens a dialog, and looks it over. Returns the dialog."""
        self.press(name, inside)
        dialog = self.page.locator("dialog")
        expect(dialog).to_be_visible()
        self.look_over(name)
        return dialog

    def tiles(self, peer: Locator) -> list[str]:
        """Both codes of a card: that of the other device, and that of this one."""
        return [str(tile.get_attribute("aria-label")) for tile in peer.locator(".tiles").all()]

    def _axe_world(self) -> tuple[Any, int]:
        """Axe in a world of its own, which lasts until the page is loaded anew."""
        session = self.context.new_cdp_session(self.page)
        frame = session.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
        world = session.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "axe"})["executionContextId"]
        session.send("Runtime.evaluate", {"expression": axe() + ";0", "contextId": world})
        return session, world

    def violations(self, inside: str = "html") -> list[str]:
        """What axe-core finds inside an element, in a world of its own, so that the page's policy stays on."""
        session, world = self._axe = self._axe or self._axe_world()
        told = session.send(
            "Runtime.evaluate",
            {
                "expression": f"axe.run('{inside}', {{runOnly: {RULES}, resultTypes: ['violations']}})"
                ".then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary)))",
                "contextId": world,
                "awaitPromise": True,
                "returnByValue": True,
            },
        )
        assert "exceptionDetails" not in told, told
        return [str(each) for each in told["result"]["value"]]

    def is_as_wide_as_its_window(self) -> bool:
        return bool(self.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"))
