"""The screen for everyone and for nobody else: accessibility, hostile pages, and what is shown without an app."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.web.conftest import Household
    from support.browsers import Person

SURFACES = ("Status", "Connections", "Files", "Chat", "Graph", "Governance", "Settings", "HTTP", "Activity")
COLOURS = "([where, what]) => getComputedStyle(document.querySelector(where))[what]"
ATTEMPTS = """async (ours) => {
  const told = {};
  const tried = async (name, work) => {
    try { told[name] = await work(); } catch (error) { told[name] = "refused"; }
  };
  const long = (work) => Promise.race([work, new Promise((done) => setTimeout(() => done("silent"), 3000))]);
  await tried("read", async () => (await fetch(`${ours}/api/mesh/state`, { credentials: "include" })).text());
  await tried("page", async () => (await fetch(`${ours}/`, { credentials: "include" })).text());
  await tried("command", async () => (await fetch(`${ours}/api/mesh/stop`, { method: "POST", credentials: "include",
    headers: { "content-type": "text/plain" }, body: "{}", mode: "no-cors" })).type);
  await tried("json", async () => (await fetch(`${ours}/api/mesh/stop`, { method: "POST", credentials: "include",
    headers: { "content-type": "application/json" }, body: "{}" })).status);
  await tried("socket", () => long(new Promise((done) => {
    const socket = new WebSocket(ours.replace("http", "ws") + "/api/mesh/events");
    socket.onopen = () => done("open");
    socket.onerror = () => done("refused");
  })));
  await tried("image", () => long(new Promise((done) => {
    const image = new Image();
    image.onload = () => done("shown");
    image.onerror = () => done("refused");
    image.src = `${ours}/icon.svg`;
  })));
  await tried("script", () => long(new Promise((done) => {
    const script = document.createElement("script");
    script.onload = () => done("ran");
    script.onerror = () => done("refused");
    script.src = `${ours}/api.js`;
    document.head.append(script);
  })));
  await tried("frame", () => long(new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.onload = () => {
      try { done(frame.contentDocument === null ? "refused" : "read"); } catch { done("refused"); }
    };
    frame.src = `${ours}/`;
    document.body.append(frame);
  })));
  return told;
}"""


@contextmanager
def other_site() -> Iterator[str]:
    """A server of somebody else on this machine; it notes the cookies that it is sent."""
    cookies: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            cookies.append(self.headers.get("cookie", ""))
            body = b"<!doctype html><title>other</title><form method=post></form>"
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
        assert any("myownllm_" in cookie for cookie in cookies)  # cookies know no ports: this is why one is not enough
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def another_local_port_and_a_rebound_name_reach_nothing(anna: Person) -> None:
    ours = anna.page.evaluate("() => location.origin")
    refused = {"read", "json", "image", "script", "frame", "page", "socket"}
    with other_site() as theirs:
        page = anna.context.new_page()
        page.goto(theirs)
        told = page.evaluate(ATTEMPTS, ours)
        assert {name: told[name] for name in refused} == dict.fromkeys(refused, "refused")
        page.evaluate(f"() => {{ document.forms[0].action = '{ours}/api/mesh/stop'; document.forms[0].submit(); }}")
        page.wait_for_url(f"{ours}/**")
        expect(page.locator("body")).to_contain_text("forbidden_origin")
        page.close()
    rebound = anna.context.new_page()
    answer = rebound.goto(ours.replace("127.0.0.1", "rebound.test") + "/")
    assert answer is not None
    assert answer.status == 421
    rebound.close()
    expect(anna.page.locator("#pill")).to_contain_text("Connected")  # nobody has stopped it


def every_surface_and_dialog_is_for_everyone(anna: Person) -> None:
    """Those dialogs, too, that no step of the story opens; `ask_for` looks at the others where they are open anyway."""
    page = anna.page
    page.emulate_media(reduced_motion="reduce")
    for name in SURFACES:
        anna.surface(name)
        anna.look_over(name)
    anna.surface("Status")
    for name in ("Add a network…", "Invite a device…", "Rename…", "Forget…"):
        dialog = anna.ask_for(name)
        page.keyboard.press("Escape")
        expect(dialog).not_to_be_visible()
        assert page.evaluate("() => document.activeElement.textContent.trim()") == name  # the focus is given back


def large_and_small_screens_and_colours_of_the_reader_are_all_right(anna: Person) -> None:
    """4K; 200 % zoom, which halves the window; and colours that the system forces."""
    page = anna.page
    for width, height in ((3840, 2160), (640, 400)):
        page.set_viewport_size({"width": width, "height": height})
        for name in SURFACES:
            anna.surface(name)
            assert anna.is_as_wide_as_its_window(), (name, width)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(forced_colors="active")
    for name in SURFACES:
        anna.surface(name)
        assert anna.violations() == [], name
    anna.surface("Graph")
    ink, paper = page.evaluate(COLOURS, ["main h1", "color"]), page.evaluate(COLOURS, ["html", "backgroundColor"])
    for drawn in ((".edge", "stroke"), (".graph text", "fill"), ("nav a[aria-current]", "borderBottomColor")):
        assert page.evaluate(COLOURS, drawn) == ink, f"{drawn} is in the reader's colour"
    other = "nav a:not([aria-current])"
    assert page.evaluate(COLOURS, [other, "borderBottomColor"]) == paper, (
        "the surface that is shown is told from others"
    )
    page.emulate_media(forced_colors="none")
    anna.surface("Status")


def everything_is_reached_by_keyboard(anna: Person) -> None:
    page = anna.page
    page.reload()
    page.locator("#pill").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Connections")).to_be_focused()
    anna.surface("Status")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.activeElement.textContent.trim()"))
    wanted = {text.strip() for text in page.locator("main button").all_inner_texts()}
    assert wanted <= reached, wanted - reached


def each_way_of_having_nothing_to_show_says_what_helps(household: Household, anna: Person) -> None:
    """The app is gone, comes back, its session ends: three screens, and the page recovers by itself where it can."""
    device, page = household.pair.anna, anna.page
    device.stop()
    expect(page.locator("[data-banner='away']")).to_contain_text("myownllm up")
    expect(page.locator("#pill")).to_contain_text("Connected")  # what was known, marked as old
    config = device.home / ".myownllm" / "config.json"
    port = int(page.evaluate("() => location.port"))
    config.write_text(json.dumps({**json.loads(config.read_text()), "ui": {"port": port}}))
    device.up()
    expect(page.locator("[data-banner='away']")).to_have_count(0)
    expect(page.locator("#pill")).to_contain_text("Connected")
    device.run("open", "--revoke")
    expect(page.get_by_role("heading", name="This browser’s session has ended")).to_be_visible()
    expect(page.locator("main")).to_contain_text("myownllm open")
    page.goto(household.urls[0])
    expect(page.get_by_role("heading", name="This link does not work any more")).to_be_visible()
    page.goto("about:blank")
    page.goto(device.run("open", "--print")["url"])
    expect(page.locator("#pill")).to_contain_text("Connected")
