"""What each state looks like: cells of spec 08 §10 that two devices in a test would have to be broken for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from e2e.devices import REPOSITORY
from myownmesh.engine.why import CODES
from support.browsers import Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

SOCKETS = """() => {
  window.sockets = [];
  window.WebSocket = class extends WebSocket {
    constructor(...given) { super(...given); window.sockets.push(this); }
  };
}"""
LOST = """() => {
  const message = { base: -7, rev: 99, patch: { folder: "nowhere" } };
  window.sockets.at(-1).onmessage({ data: JSON.stringify(message) });
}"""
BIDI = "\u202e\u2066\u200f"
MARKUP = '<img src=x onerror="window.taken=1">'
HOSTILE = f"{MARKUP}<b>{BIDI}gnp.exe"
WATCH = """() => { performance.now = () => window.watch; window.watch = 0; }"""
"""What the page measures speeds with stands still until it is set."""
SHOWN_AGAIN = """() => {
  const before = window.sockets.length;
  document.dispatchEvent(new Event("visibilitychange"));
  return window.sockets.length - before;
}"""


class Screen:
    """The app's side: what it sees is what the test says."""

    def __init__(self, folder: Path) -> None:
        tests, benchmarks = REPOSITORY / "tests", REPOSITORY / "benchmarks"
        environment = {**os.environ, "PYTHONPATH": f"{tests}:{benchmarks}"}
        command = [sys.executable, "-m", "support.shown_screen", str(folder)]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url: str = json.loads(self.process.stdout.readline())["url"]

    def sees(self, **members: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(members) + "\n")
        self.process.stdin.flush()


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    made = Screen(tmp_path)
    with made.process:
        try:
            yield made
        finally:
            made.process.kill()


def peer(number: int, status: str = "active", **members: Any) -> dict[str, Any]:
    return {"device_id": f"{'abcdefghij'[number] * 51}a", "status": status, "label": f"Device {number}", **members}


def pair(local: str, remote: str) -> dict[str, str]:
    return {"local": local, "remote": remote}


@pytest.mark.timeout(300)
def test_every_state_says_what_it_is_why_and_what_helps(chromium: Browser, screen: Screen) -> None:
    anna = Person.at(chromium)
    anna.page.add_init_script(f"({SOCKETS})()")
    anna.enter(screen.url)
    the_status(anna, screen)
    the_settings(anna, screen)
    the_connections(anna, screen)
    the_graph(anna, screen)
    the_transfers(anna, screen)
    what_others_name_and_say_is_text(anna, screen)
    what_was_missed_is_fetched_and_a_tab_that_shows_again_does_not_wait(anna, screen)
    anna.forgive("/api/mesh/events' failed", "ERR_CONNECTION_REFUSED")
    assert anna.wrong == []


def the_status(anna: Person, screen: Screen) -> None:
    """Pill texts, next steps, many knocks, a daemon that is older than the pin."""
    page = anna.page
    unreachable = peer(1, "handshaking", needs_turn=True)
    for members, text, step in (
        ({"phase": "off"}, "Joining home…", ""),
        ({"phase": "signaling-up"}, "Online on home — waiting for peer announces", ""),
        ({"peers": [peer(1, "handshaking")]}, "Peer found on home — establishing WebRTC connection…", ""),
        ({"peers": [peer(1), peer(2)]}, "Connected · home · 2 peers · auto-healing ring", ""),
        ({"peers": [peer(1)]}, "Connected · home · 1 peer · auto-healing ring", ""),
        ({"peers": [unreachable], "phase": "ice-failed-no-turn"}, "no TURN configured", "A TURN server in Settings"),
        ({"phase": "ice-failed-turn-unreachable"}, "TURN unreachable", "A TURN server in Settings"),
        ({"phase": "error", "error": "it broke"}, "Mesh error: it broke", ""),
    ):
        screen.sees(**members)
        expect(page.locator("#pill")).to_contain_text(text)
        expect(page.locator(".pill")).to_contain_text(step)
    assert "bad" in str(page.locator(".pill").get_attribute("class"))
    knocks = [
        peer(n, "pending_approval", verification_code_received=f"abcde{n}", verification_code_sent="fghijk")
        for n in range(3)
    ]
    screen.sees(phase="signaling-up", error="", peers=knocks[:2])
    expect(page.locator(".knock")).to_have_count(2)
    expect(page.locator("main")).not_to_contain_text("So many devices knock")
    screen.sees(peers=knocks)
    expect(page.locator("main")).to_contain_text("So many devices knock: a network name that is harder to guess")
    expect(page.locator(".pill")).to_contain_text("Compare the codes below with the other screen.")
    expect(page).to_have_title("(3) Status – MyOwnLLM")
    screen.sees(peers=[], daemon_version="0.3.1", pinned_version="0.3.8", meets_pin=False)
    expect(page.locator("main")).to_contain_text("0.3.1 — older than the pinned 0.3.8")
    expect(page.get_by_role("button", name="Update it")).to_be_visible()
    screen.sees(daemon_update={"state": "updating", "detail": "fetched 3 of 9 MB"})
    expect(page.locator("main")).to_contain_text("updating: fetched 3 of 9 MB")
    screen.sees(meets_pin=True, daemon_update={"state": "idle"})
    expect(page.get_by_role("button", name="Update it")).to_have_count(0)


def the_settings(anna: Person, screen: Screen) -> None:
    """The drift badge in each of its states, and the banner of a failed search for a path, for ten minutes."""
    page = anna.page
    anna.surface("Settings")
    for state, text, said in (
        ("pending", "", "Not applied yet"),
        ("applied", "", "Applied"),
        ("rebuilt", "", "Applied; the network was restarted"),
        ("rejected", "no such relay", "Rejected: no such relay"),
        ("waiting", "a file is sent", "Not applied yet: a file is sent"),
    ):
        screen.sees(settings={"state": state, "text": text})
        expect(page.locator(f"[data-drift='{state}']")).to_contain_text(said)
    expect(page.get_by_role("button", name="Apply now, cutting that off")).to_be_visible()
    now_ms = round(time.time() * 1000)
    screen.sees(recent_ice_failure_at=now_ms - 540_000)
    expect(page.get_by_text("no direct path to a device was found")).to_be_visible()
    screen.sees(recent_ice_failure_at=now_ms - 660_000)
    expect(page.get_by_text("no direct path to a device was found")).to_have_count(0)


def the_connections(anna: Person, screen: Screen) -> None:
    """Who is in the ring and who is not; the path of each; and of every one that is not active why, with what helps."""
    page = anna.page
    anna.surface("Connections")
    screen.sees(
        phase="peer-active",
        relays=[{"url": "wss://a", "public": False, "state": "up", "since_ms": 1}],
        is_met_locally=True,
        peers=[
            peer(0, selected_pair=pair("host", "host"), rtt_ms=7),
            peer(1, selected_pair=pair("srflx", "host")),
            peer(2, selected_pair=pair("relay", "host")),
            peer(3, local_shelved=True, remote_shelved=True),
            *(peer(n, status) for n, status in enumerate(("offline", "error", "reconnecting"), 4)),
        ],
    )
    expect(page.locator("[data-found]")).to_have_text("Devices are found over one relay and in the local network.")
    ring, indirect = (page.get_by_role("region", name=name) for name in ("Ring", "Indirect"))
    for number, path in enumerate(("LAN", "STUN", "TURN")):
        expect(ring.locator(".peer").nth(number)).to_contain_text(path)
    expect(ring.locator(".peer").first).to_contain_text("7 ms")
    expect(ring.locator(".peer").nth(2).locator(".why")).to_contain_text("Opening UDP on one of the two routers")
    expect(indirect.locator(".peer")).to_have_count(4)
    for state in ("Connected, resting", "Away", "Failed", "Reconnecting"):
        row = indirect.locator(".peer", has=page.get_by_text(state, exact=True))
        sentence, helps = str(row.locator(".why").inner_text()).split(". ", 1)
        assert sentence
        assert helps, state
    codes = list(CODES.items())
    for start in range(0, len(codes), 10):
        part = codes[start : start + 10]
        rows = [
            peer(n, "handshaking", why={"code": code, "since_ms": 1, "text": text})
            for n, (code, text) in enumerate(part)
        ]
        screen.sees(peers=rows)
        for number, (code, text) in enumerate(part):
            why = page.locator(f"[data-peer='{rows[number]['device_id']}'] .why")
            expect(why).to_contain_text(text[1:])
            assert len(why.inner_text()) > len(text) + 10, f"what helps with {code}"
    screen.sees(relays=[], is_met_locally=True, peers=[])
    expect(page.locator("[data-found]")).to_have_text("Devices are found in the local network alone.")
    screen.sees(relays=[{"url": "wss://a", "public": False, "state": "down", "since_ms": 1}], is_met_locally=False)
    expect(page.locator("[data-found]")).to_contain_text("Nobody can be found at the moment")


def the_graph(anna: Person, screen: Screen) -> None:
    """Edges by status and path; who is away or failed is not drawn, who waits for the other side is told so."""
    page = anna.page
    anna.surface("Graph")
    screen.sees(
        peers=[
            peer(0, selected_pair=pair("relay", "host")),
            peer(1, local_shelved=True, remote_shelved=True),
            peer(2, "pending_approval", local_approve_sent=True),
            peer(3, "handshaking"),
            *(peer(n, status) for n, status in enumerate(("offline", "error"), 4)),
        ]
    )
    expect(page.locator("[data-node]")).to_have_count(4)
    for form in ("active.TURN", "shelved", "pending", "forming"):
        expect(page.locator(f".edge.{form}")).to_have_count(1)
    expect(page.locator(".internet")).to_have_count(1)
    page.locator("[data-node]").nth(2).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Chosen device")).to_contain_text("Waiting for the other side.")


def moving(done: int, status: str = "sending", **members: Any) -> dict[str, Any]:
    ours = {"id": "f", "peer_id": peer(0)["device_id"], "peer_label": "Device 0", "started_at": 1}
    film = {"direction": "outbound", "filename": "film.bin", "bytes_total": 9_000_000}
    return {**ours, **film, "status": status, "bytes_done": done, **members}


def the_transfers(anna: Person, screen: Screen) -> None:
    """How far a file is, and how fast; after a break it goes on from what was there, which is not part of a speed."""
    page = anna.page
    anna.surface("Files")
    page.evaluate(WATCH)
    row = page.locator("[data-file='film.bin']")
    hint, progress = row.locator(".hint"), row.get_by_role("progressbar", name="film.bin: how far it is")

    def at(ms: int, done: int, status: str, said: str) -> None:
        page.evaluate("(ms) => { window.watch = ms; }", ms)
        screen.sees(files=[moving(done, status)])
        expect(hint).to_have_text(said)

    at(0, 0, "offered", "0 bytes of 9.0 MB")
    expect(row).to_contain_text("Waits for the other side")
    expect(progress).to_have_count(0)
    at(100, 0, "sending", "0 bytes of 9.0 MB")
    at(1100, 1_000_000, "sending", "1.0 MB of 9.0 MB, 1.0 MB/s")
    expect(progress).to_have_js_property("value", 1_000_000)
    at(3100, 5_000_000, "sending", "5.0 MB of 9.0 MB, 2.0 MB/s")
    at(3200, 5_100_000, "sending", "5.1 MB of 9.0 MB, 2.0 MB/s")  # too soon for another measure
    at(9000, 0, "offered", "0 bytes of 9.0 MB")  # its link broke, and it is offered anew
    expect(progress).to_have_count(0)
    at(9100, 4_000_000, "sending", "4.0 MB of 9.0 MB")
    expect(progress).to_have_js_property("value", 4_000_000)
    at(10_100, 5_000_000, "sending", "5.0 MB of 9.0 MB, 1.0 MB/s")
    screen.sees(files=[moving(9_000_000, "sent", ended_at=round(time.time() * 1000))])
    expect(row).to_contain_text("Sent")
    expect(row.get_by_role("button", name="Cancel")).to_have_count(0)


def what_others_name_and_say_is_text(anna: Person, screen: Screen) -> None:
    """FE-10.7: names of files and devices, why a transfer ended, what was noted: all of it is text nodes."""
    page = anna.page
    named = f"{MARKUP}<b>gnp.exe"
    hostile = {"peer_label": HOSTILE, "filename": HOSTILE}
    offer = {"id": "o", "peer_id": peer(0)["device_id"], **hostile, "size_bytes": 1, "started_at": 1}
    ended = {"status": "aborted", "error": HOSTILE, "ended_at": 2, **hostile}
    screen.sees(
        peers=[peer(0, label=HOSTILE)],
        files=[moving(1, **hostile), moving(1, **{**ended, "id": "g"})],
        inbound_offers=[{**offer, "expires_at": round(time.time() * 1000) + 300_000}],
        diag=[{"ts": 1, "level": "warn", "message": f"peer said: `{HOSTILE}` {HOSTILE}"}],
    )
    offered = page.locator("[data-offer]")
    expect(offered.locator("bdi").first).to_have_text(named)
    expect(offered.locator("bdi").nth(1)).to_have_text(named)
    rows = page.locator("li[data-file]")
    expect(rows).to_have_count(2)
    assert [each.get_attribute("data-file") for each in rows.all()] == [named, named]
    expect(rows.nth(1).locator(".hint bdi")).to_have_text(named)
    nothing_of_it_acts(anna)
    anna.look_over("names full of markup")
    anna.surface("Activity")
    line = page.locator(".diag li.warn bdi")
    expect(line).to_have_text(f"peer said: {named} {named}")
    expect(line.locator("code")).to_have_text(named)
    nothing_of_it_acts(anna)
    anna.surface("Graph")
    expect(page.locator("[data-node]")).to_have_count(1)
    nothing_of_it_acts(anna)


def nothing_of_it_acts(anna: Person) -> None:
    page = anna.page
    assert page.locator("main img, main b, main script").count() == 0
    text = page.locator("main").text_content() or ""
    assert "<img" in text
    assert not set(text) & {*BIDI}
    assert page.evaluate("() => window.taken") is None


def what_was_missed_is_fetched_and_a_tab_that_shows_again_does_not_wait(anna: Person, screen: Screen) -> None:
    page = anna.page
    page.evaluate(LOST)
    page.wait_for_function("() => window.sockets.length === 2")
    expect(page.locator("[data-banner='away']")).to_have_count(0)
    screen.sees(peers=[peer(0)])
    expect(page.locator("[data-node]")).to_have_count(1)  # it goes on from a whole picture
    screen.process.kill()
    expect(page.locator("[data-banner='away']")).to_be_visible()
    page.wait_for_function("() => window.sockets.length > 4 && window.sockets.at(-1).readyState === WebSocket.CLOSED")
    assert page.evaluate(SHOWN_AGAIN) == 1, "at once"
