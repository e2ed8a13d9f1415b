"""What the screen costs: the app with and without it, the first paint, two hundred peers, an idle tab, eight tabs,
and how soon two tabs agree.

    python benchmarks/bench_ui.py [--starts 5] [--seconds 20] [--patches 18000]

Needs Chromium. Prints one line per figure, as median, p95 or ratio. Times of pages are wall time: read them on a quiet
machine; processor time and memory are the app's own and hold on a busy one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from e2e.devices import demo
from mesh_client import busy_s
from myownllm.ui.site import PAGE
from support.browsers import ARGUMENTS, chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, CDPSession, Page

ROOT = Path(__file__).parents[1]
TABS = 8
PAN_MS = 3000
WATCH = """(() => {
  window.seen = { script: [], paint: [], frames: [], cut: false };
  const real = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage");
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (text) { if (!window.seen.cut) send.call(this, text); };
  let work = 0, came = 0;
  const ask = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (done) => ask((at) => {
    const began = performance.now();
    done(at);
    if (came === 0) return;
    window.seen.script.push(work + performance.now() - began);
    const from = came;
    came = 0;
    const channel = new MessageChannel();
    channel.port1.onmessage = () => window.seen.paint.push(performance.now() - from);
    channel.port2.postMessage(0); // behind this frame's style, layout and paint
  });
  Object.defineProperty(WebSocket.prototype, "onmessage", { set(handler) {
    window.feed = (text) => handler({ data: text });
    real.set.call(this, (event) => {
      if (window.seen.cut) return;
      came = performance.now();
      handler(event);
      work = performance.now() - came;
    });
  } });
})()"""
PAN = """async (ms) => {
  const graph = document.querySelector(".graph");
  const at = graph.getBoundingClientRect();
  const where = (x) => ({ pointerId: 1, clientX: x, clientY: at.y + 50, bubbles: true });
  const point = (type, x) => graph.dispatchEvent(new PointerEvent(type, where(x)));
  const times = [];
  point("pointerdown", at.x + 100);
  const end = performance.now() + ms;
  for (let x = 0; performance.now() < end; x++) {
    times.push(await new Promise(requestAnimationFrame));
    point("pointermove", at.x + 100 + (x % 200));
  }
  point("pointerup", at.x + 100);
  return times.slice(1).map((time, place) => time - times[place]);
}"""
BARE = """async ([picture, style, ms]) => {
  document.body.innerHTML = picture;
  document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
  const box = document.getElementById("moved");
  box.className = "moving";
  const times = [];
  const end = performance.now() + ms;
  for (let x = 0; performance.now() < end; x++) {
    times.push(await new Promise(requestAnimationFrame));
    box.style.transform = `translate(${x % 200}px, 0px) scale(1)`;
  }
  return times.slice(1).map((time, place) => time - times[place]);
}"""
"""The same picture on a page that has nothing else, moved by nothing but a transform: what this machine can draw."""
HOUR = """async (patches) => {
  window.seen.cut = true;
  const state = (await import("/mesh.js")).mesh;
  const ids = Object.keys(state.state.peers);
  for (let each = 0; each < patches; each++) {
    const peers = {};
    for (let n = 0; n < 20; n++) {
      const id = ids[(each * 20 + n) % ids.length];
      peers[id] = { ...state.state.peers[id], rtt_ms: (each * 7 + n) % 200 };
    }
    window.feed(JSON.stringify({ base: state.rev, rev: state.rev + 1, patch: { peers } }));
    if (each % 10 === 9) await new Promise(requestAnimationFrame);
  }
}"""

SHOWS = """(text) => {
  window.painted = 0;
  const main = document.querySelector("main");
  const watch = new MutationObserver(() => {
    if (!main.textContent.includes(text)) return;
    watch.disconnect();
    const channel = new MessageChannel();
    channel.port1.onmessage = () => (window.painted = performance.timeOrigin + performance.now());
    requestAnimationFrame(() => channel.port2.postMessage(0)); // behind this frame's style, layout and paint
  });
  watch.observe(main, { subtree: true, childList: true, characterData: true });
}"""
RENAMES = """async (value) => {
  const began = performance.timeOrigin + performance.now();
  await (await import("/api.js")).ask("PUT", "/api/mesh/label", { value });
  return began;
}"""


def told(what: str, text: str) -> None:
    print(f"{what:44} {text}", flush=True)


def p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def spent_s(session: CDPSession) -> tuple[float, float]:
    """Processor time of the page's own thread: of scripts, and in all."""
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return metrics["ScriptDuration"], metrics["TaskDuration"]


def memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@contextmanager
def device(*, screen: bool) -> Iterator[Any]:
    base = demo.temporary_base()
    made = demo.Device("Anna", base / "a")
    folder = made.home / ".myownllm"
    folder.mkdir(mode=0o700)
    networks = {
        "active_network_id": "n",
        "networks": [{"id": "n", "network_id": "home", "signaling_servers": ["ws://127.0.0.1:9"], "stun_servers": []}],
    }
    (folder / "config.json").write_text(
        json.dumps({"api": {"port": 0}, "ui": {"port": 0, "enabled": screen}, "cloud_mesh": networks})
    )
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(base, ignore_errors=True)


def starts(count: int) -> None:
    """From exec to a joined network, with the screen and without it, in fours."""
    took: dict[bool, list[float]] = {True: [], False: []}
    spent: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * count):
        with_screen = (True, False, False, True)[number % 4]
        with device(screen=with_screen) as made:
            began = time.perf_counter()
            made.up()
            made.wait("a joined network", lambda e: e["event"] == "pill" and e["status"] == "online")
            took[with_screen].append(time.perf_counter() - began)
            spent[with_screen].append(busy_s(made.pid))
    for what, values in (("up to online", took), ("up to online, processor time", spent)):
        with_it, without = statistics.median(values[True]), statistics.median(values[False])
        told(what, f"{with_it:.2f} s with the screen, {without:.2f} s without, ratio {with_it / without:.3f}")


def crowd_tab(browser: Browser, url: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.add_init_script(WATCH)
    page.goto(url)
    page.locator("#pill").wait_for()
    return page


def script_ms(browser: Browser, page: Page, seconds: float) -> list[float]:
    """Processor time of each patch's scripts, message and frame, from the browser's own trace of a page that nothing
    measures: on a busy machine wall time tells what else runs there."""
    browser.start_tracing(page=page, categories=["-*", "devtools.timeline"])
    page.wait_for_timeout(seconds * 1000)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    calls = sorted((each for each in events if "tdur" in each), key=lambda each: float(each["ts"]))
    spent: list[float] = []
    for each in calls:
        if each["args"].get("data", {}).get("functionName") == "mine.onmessage":
            spent.append(each["tdur"] / 1000)
        elif each["name"] == "FireAnimationFrame" and spent:
            spent[-1] += each["tdur"] / 1000
    return spent


def crowd(browser: Browser, seconds: float, patches: int) -> None:
    """Two hundred peers, of which a tenth changes five times a second."""
    folder = Path(tempfile.mkdtemp(prefix="ui-bench-"))
    command = [sys.executable, str(ROOT / "benchmarks" / "ui_crowd.py"), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as app:
        try:
            assert app.stdout is not None
            page = crowd_tab(browser, json.loads(app.stdout.readline())["url"])
            page.get_by_role("link", name="Connections").click()
            alone = page.context.new_page()
            alone.goto(f"{page.url.partition('#')[0]}#/connections")
            alone.locator(".peer").nth(199).wait_for()
            alone.wait_for_timeout(3000)  # until it knows which rows are in sight
            spent_ms = script_ms(browser, alone, seconds)
            alone.close()
            page.bring_to_front()
            told(
                "200 peers: script, processor time",
                f"p50 {statistics.median(spent_ms):.2f} ms, p95 {p95(spent_ms):.2f} ms",
            )
            page.locator(".peer").nth(199).wait_for()
            page.evaluate("() => { seen.script.length = seen.paint.length = 0; }")
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            at_first = spent_s(session)
            before, began = busy_s(app.pid), time.perf_counter()
            page.wait_for_timeout(seconds * 1000)
            spent = (busy_s(app.pid) - before) / (time.perf_counter() - began)
            seen: Any = page.evaluate("() => seen")
            told(
                "200 peers: patch to paint",
                f"p50 {statistics.median(seen['paint']):.1f} ms, p95 {p95(seen['paint']):.1f} ms",
            )
            told(
                "200 peers: script", f"p50 {statistics.median(seen['script']):.1f} ms, p95 {p95(seen['script']):.1f} ms"
            )
            each = [
                (now - was) / len(seen["paint"]) * 1000 for now, was in zip(spent_s(session), at_first, strict=True)
            ]
            told("200 peers: processor time of a patch", f"script {each[0]:.1f} ms, page in all {each[1]:.1f} ms")
            told(
                "200 peers: app",
                f"{spent * 100:.1f} % of a processor, {len(seen['paint']) / seconds:.1f} patches a second",
            )
            page.get_by_role("link", name="Graph").click()
            page.locator(".graph").wait_for()
            panning(page)
            page.get_by_role("link", name="Connections").click()
            sizes = []
            for part in (patches // 4, patches // 4, patches // 2):
                page.evaluate(HOUR, part)
                session.send("HeapProfiler.collectGarbage")
                sizes.append(session.send("Runtime.getHeapUsage")["usedSize"] / 1e6)
            told(f"page heap after {patches} patches", " → ".join(f"{size:.1f}" for size in sizes) + " MB")
        finally:
            app.kill()
    shutil.rmtree(folder, ignore_errors=True)


def panning(page: Page) -> None:
    """The graph, while patches come; and the same picture alone on a page, before and after."""
    picture = str(page.locator(".graph").evaluate("(graph) => graph.outerHTML"))
    bare = page.context.new_page()
    given = [picture, (PAGE / "style.css").read_text(encoding="utf-8"), PAN_MS]
    gaps: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(2):
        bare.bring_to_front()
        gaps["bare"] += bare.evaluate(BARE, given)
        page.bring_to_front()
        gaps["ours"] += page.evaluate(PAN, PAN_MS)
    bare.close()
    ours, alone = (1000 / statistics.mean(each) for each in gaps.values())
    told(
        "200 peers: panning",
        f"{ours:.0f} frames a second, p95 {p95(gaps['ours']):.1f} ms; "
        f"the bare picture {alone:.0f}, ratio {ours / alone:.2f}",
    )


def tabs(browser: Browser, seconds: float, paints: int, changes: int) -> None:
    """A real app: how soon a page is there, what a tab that nobody touches costs, and what eight of them hold."""
    with device(screen=True) as made:
        made.up()
        url = made.wait("screen", lambda e: e["event"] == "screen")["url"]
        made.wait("a joined network", lambda e: e["event"] == "pill" and e["status"] == "online")
        context = browser.new_context()
        page = context.new_page()

        def idle() -> float:
            before, began = busy_s(made.pid), time.perf_counter()
            time.sleep(seconds)
            return (busy_s(made.pid) - before) / (time.perf_counter() - began) * 1000

        alone, empty = idle(), memory_mb(made.pid)
        page.goto(url)
        page.locator("#pill").wait_for()
        told("an idle tab", f"{idle() - alone:.2f} ms/s more of the app, which takes {alone:.2f}")
        first = []
        for _ in range(paints):
            page.goto("about:blank")
            page.goto(url.partition("#")[0])
            page.locator("#pill").wait_for()
            entry = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
            page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
            first.append(float(page.evaluate(entry)))
        told("first paint", f"p50 {statistics.median(first):.0f} ms, least {min(first):.0f} ms")
        for _ in range(TABS - 1):
            another = context.new_page()
            another.goto(url.partition("#")[0])
            another.locator("#pill").wait_for()
        told(f"{TABS} tabs", f"{memory_mb(made.pid) - empty:.1f} MB more of the app")
        context.close()
        windows = [browser.new_context().new_page() for _ in range(2)]  # a tab behind another one paints once a second
        for each in windows:
            each.goto(made.run("open", "--print")["url"])
            each.locator("#pill").wait_for()
        two_agree(windows[0], windows[1], changes)


def two_agree(one: Page, other: Page, changes: int) -> None:
    """A change made in one tab: when each has painted it, by the clock of the machine that both tell the time of."""
    apart, later = [], []
    for number in range(changes):
        name = f"name {number} of many"
        for page in (one, other):
            page.evaluate(SHOWS, name)
        began = float(one.evaluate(RENAMES, name))
        for page in (one, other):
            page.wait_for_function("() => window.painted > 0")
        here, there = (float(page.evaluate("() => window.painted")) for page in (one, other))
        apart.append(abs(there - here))
        later.append(there - began)
    told(
        "two tabs agree",
        f"p50 {statistics.median(apart):.0f} ms, p95 {p95(apart):.0f} ms, most {max(apart):.0f} ms apart",
    )
    told("pressed in one tab, painted in the other", f"p50 {statistics.median(later):.0f} ms, p95 {p95(later):.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--patches", type=int, default=18_000, help="an hour of five a second")
    parser.add_argument("--paints", type=int, default=10)
    parser.add_argument("--changes", type=int, default=40, help="made in one tab and seen in the other")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    files = [path for path in PAGE.rglob("*") if path.suffix in (".html", ".js", ".css", ".svg")]
    told("the page", f"{sum(path.stat().st_size for path in files) / 1000:.0f} KB in {len(files)} files")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        tabs(browser, asked.seconds, asked.paints, asked.changes)
        crowd(browser, asked.seconds, asked.patches)
        browser.close()
    if asked.starts > 0:
        starts(asked.starts)


if __name__ == "__main__":
    main()
