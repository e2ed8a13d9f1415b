"""The screen of a running app, asked as pages ask, and as whoever should not: each rule is one test (spec 08 §10.1)."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import psutil
import pytest

from e2e.devices import REPOSITORY, demo
from myownllm.ui import routes
from myownllm.ui.web_server import CONNECTIONS
from support.browser import Browser, stalled_download
from support.contention import Contention
from support.warm import words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from myownllm.ui.desk import ScreenDesk
    from support.browser import Answer


@pytest.fixture(scope="module")
def device() -> Iterator[Any]:
    """One app with no network, for all tests of this file."""
    base = demo.temporary_base()
    made = demo.Device("Anna", base / "a")
    made.program = words("myownllm")
    folder = made.home / ".myownllm"
    folder.mkdir(mode=0o700)
    (folder / "config.json").write_text(json.dumps({"api": {"port": 0}, "ui": {"port": 0}}))
    try:
        made.up("--label", "Anna")
        made.wait("daemon", lambda e: e["event"] == "daemon" and e.get("state") == "up")
        yield made
    finally:
        demo.stop_all([made])
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def url(device: Any) -> str:
    return str(device.wait("screen", lambda e: e["event"] == "screen")["url"])


@pytest.fixture(scope="module")
def me(device: Any, url: str) -> Browser:
    """A browser that followed the link of `up`."""
    browser = Browser(int(url.split(":")[2].split("/")[0]))
    assert browser.enter(url).status == 200
    return browser


def another(device: Any, me: Browser) -> Browser:
    browser = Browser(me.port)
    assert browser.enter(device.run("open", "--print")["url"]).status == 200
    return browser


# ── who gets in ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_link_works_once_and_open_makes_another(device: Any, me: Browser, url: str) -> None:
    used = Browser(me.port).enter(url)
    assert used.error == (401, "no_session")
    assert "myownllm open" in used.json["error"]["message"]
    browser = another(device, me)
    assert browser.ask("GET", "/api/mesh/state").status == 200
    cookie = browser.enter(device.run("open", "--print")["url"]).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()


def test_a_second_up_shows_the_screen_of_the_first(device: Any, me: Browser) -> None:
    """FE-12.7"""
    shown = device.run("up")
    assert shown["event"] == "already_running"
    assert Browser(me.port).enter(shown["url"]).status == 200


def test_the_cookie_alone_commands_nothing_and_neither_does_the_secret(me: Browser) -> None:
    for without in ("Cookie", "X-Session-Secret"):
        assert me.ask("GET", "/api/mesh/state", without=without).error == (401, "no_session")
        assert me.ask("PUT", "/api/mesh/label", {"value": "Eve"}, without=without).error == (401, "no_session")
    assert me.until(lambda s: s["device"]["label"])["device"]["label"] == "Anna"


def test_a_name_that_was_pointed_here_is_refused_before_anything_is_routed(me: Browser) -> None:
    for path in ("/", "/main.js", "/api/mesh/state", "/nothing"):
        assert me.ask("GET", path, host="evil.example").error == (421, "misdirected")
    assert me.ask("GET", "/", host=f"localhost:{me.port}").status == 421
    tab = me.tab(host="evil.example")
    assert tab.status == 421
    tab.close()


def test_pages_of_other_origins_command_nothing(me: Browser) -> None:
    for origin in ("http://evil.example", f"http://127.0.0.1:{me.port + 1}", "null"):
        for method, path in (("POST", "/api/session"), ("POST", "/api/networks"), ("DELETE", "/api/diag")):
            assert me.ask(method, path, {}, origin=origin).error == (403, "forbidden_origin")
        tab = me.tab(origin=origin)
        assert tab.status == 403
        tab.close()
    assert me.ask("POST", "/api/networks", {"network_id": "evil"}, without="Origin").status == 403
    assert me.ask("GET", "/api/mesh/state").json["snapshot"]["networks"] == {}


def test_no_answer_lets_other_pages_read_it(me: Browser) -> None:
    answers = [
        me.ask("GET", "/"),
        me.ask("GET", "/api/mesh/state"),
        me.ask("OPTIONS", "/api/networks"),
        me.ask("GET", "/x"),
    ]
    for answer in answers:
        assert not any(name.startswith("access-control") for name in answer.headers)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


def test_the_screen_listens_on_this_machine_alone(device: Any, me: Browser) -> None:
    listening = [c for c in psutil.Process(device.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
    assert me.port in {c.laddr.port for c in listening}


def test_the_words_of_a_session_are_in_no_log_and_no_file(device: Any, me: Browser) -> None:
    me.ask("GET", f"/api/nothing?{me.secret}")
    words_of = (me.secret, me.cookie.partition("=")[2])
    for path in (device.home / ".myownllm").rglob("*"):
        if path.is_file():
            text = path.read_text(errors="replace")
            assert not any(word in text for word in words_of), path
    assert not any(word in (device.home / "up.err").read_text() for word in words_of)
    assert me.secret not in json.dumps(device.events)


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────────────────────────

BAD: list[tuple[str, str, Any]] = [
    ("POST", "/api/networks", {}),
    ("POST", "/api/networks", {"network_id": 5}),
    ("POST", "/api/networks", {"network_id": "x" * 300}),
    ("POST", "/api/networks", {"network_id": "home", "unknown": 1}),
    ("POST", "/api/networks", {"network_id": "no spaces here!"}),
    ("POST", "/api/networks", {"network_id": "home", "signaling_servers": ["http://x"]}),
    ("POST", "/api/networks", []),
    ("POST", "/api/networks/active", {}),
    ("POST", "/api/networks/import", {"text": "{}"}),
    ("PUT", "/api/mesh/label", {"value": "x" * 65}),
    ("PUT", "/api/mesh/accepting", {"value": "always"}),
    ("PUT", "/api/mesh/quiet", {"value": 1}),
    ("POST", "/api/invites", {"ttl_s": 1}),
    ("POST", "/api/files/send", {"peer": "x", "paths": []}),
    ("POST", "/api/infer", {"messages": []}),
    ("PUT", "/api/policy", {"action": "own"}),
    ("POST", "/api/governance/propose", {"what": "split"}),
    ("POST", "/api/governance/propose", {"what": "role", "role": "king"}),
    ("POST", "/api/governance/pending/x/sign", {"digest": "x", "code": 5}),
    ("POST", "/api/governance/pending/x/sign", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), BAD)
def test_what_is_wrong_with_a_request_is_a_sentence_and_changes_nothing(
    me: Browser, device: Any, method: str, path: str, body: Any
) -> None:
    before = (device.home / ".myownllm" / "config.json").read_bytes()
    assert me.ask(method, path, body).error == (400, "validation")
    assert (device.home / ".myownllm" / "config.json").read_bytes() == before


UNKNOWN: list[tuple[str, str, Any]] = [
    ("PATCH", "/api/networks/net-nothing", {}),
    ("DELETE", "/api/networks/net-nothing", {}),
    ("POST", "/api/networks/active", {"id": "net-nothing"}),
    ("POST", f"/api/peers/{'a' * 52}/approve", {"code": "x"}),
    ("POST", f"/api/peers/{'x' * 300}/approve", {"code": "x"}),
    ("POST", "/api/peers/..%2f..%2fetc/deny", {}),
    ("POST", "/api/gate/77", {"choice": "deny"}),
    ("POST", "/api/gate/x", {"choice": "deny"}),
    ("POST", "/api/work/none/cancel", {}),
    ("GET", "/api/nothing", None),
    ("GET", "/../routes.py", None),
    ("GET", "/%2e%2e/routes.py", None),
]


@pytest.mark.parametrize(("method", "path", "body"), UNKNOWN)
def test_what_is_not_there_is_not_found(me: Browser, method: str, path: str, body: Any) -> None:
    assert me.ask(method, path, body).error == (404, "not_found")


ROUTES: list[tuple[str, str]] = [
    (method, re.sub(r"{\w+}", "x", route.path))
    for route in routes.all_of(cast("ScreenDesk", SimpleNamespace()))
    for method in sorted((route.methods or set()) - {"HEAD"})
]
OPEN = "/api/session"
RAW = "/api/files/upload"
"""It takes any body: that is the file."""


def test_every_route_wants_a_session_its_method_and_a_body_that_it_understands(me: Browser, device: Any) -> None:
    config = device.home / ".myownllm" / "config.json"
    before = config.read_bytes()
    methods: dict[str, set[str]] = {}
    for method, path in ROUTES:
        methods.setdefault(path, set()).add(method)
    for method, path in ROUTES:
        for without in () if path == OPEN else ("Cookie", "X-Session-Secret"):
            assert me.ask(method, path, {}, without=without).error == (401, "no_session"), path
        others = {"POST", "PUT", "PATCH", "DELETE"} - methods[path] - {"GET"}
        if not any(re.fullmatch(re.sub("x(?=/|$)", "[^/]+", known), path) for known in methods if known != path):
            assert me.ask(min(others), path, {}).error == (405, "validation"), (min(others), path)
        if method in ("GET", "DELETE") or path == RAW:
            continue
        assert me.ask(method, path, {"nobody_knows": 1}).error == (400, "validation"), path
        assert me.ask(method, path, []).error == (400, "validation"), path
        assert me.ask(method, path, raw=b"{}", content_type="text/plain").error == (415, "validation"), path
        assert me.ask(method, path, raw=b"\xff{}").error == (400, "validation"), path
    assert config.read_bytes() == before


def test_wrong_forms_of_a_body_are_refused(me: Browser) -> None:
    def post(raw: bytes, **changed: str) -> Answer:
        return me.ask("POST", "/api/networks", raw=raw, **changed)

    assert post(b"{").error == (400, "validation")
    assert post(b"\xff\xfe{}").error == (400, "validation")
    assert post(b'{"network_id": "\xff"}').error == (400, "validation")
    assert post(b"[" * 100_000).error == (400, "validation")
    assert post(b'{"network_id": "home"}', content_type="text/plain").error == (415, "validation")
    assert post(b'{"network_id": "home"}', content_type="application/x-www-form-urlencoded").status == 415
    assert post(b" " * (2**20 + 1)).error == (413, "too_large")
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        assert me.ask(method, "/api/networks", {"network_id": "home"}).error == (405, "validation")
    assert me.ask("GET", "/api/mesh/stop").status == 405  # no command by GET
    assert me.ask("GET", "/", padding="x" * 20_000).error == (431, "too_large")
    assert me.ask("GET", "/api/mesh/state").status == 200


def test_without_a_network_what_needs_one_says_so(me: Browser) -> None:
    for method, path, body in (
        ("PUT", "/api/mesh/accepting", {"value": "busy"}),
        ("POST", "/api/mesh/rediscover", {}),
        ("GET", "/api/invites", None),
        ("GET", "/api/governance", None),
        ("POST", "/api/governance/propose", {"what": "kind"}),
        ("POST", "/api/governance/pending/x/sign", {"digest": "x"}),
    ):
        assert me.ask(method, path, body).error == (409, "no_active_network")


# ── the socket ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_socket_wants_both_halves_of_the_session(me: Browser) -> None:
    stranger = me.tab(cookie="a=b")
    assert stranger.hear() is None
    assert stranger.code == 4401
    for hello in ({"secret": "wrong"}, {}, "nonsense", {"secret": me.secret, "more": 1}):
        tab = me.tab()
        tab.say(hello)
        assert tab.hear() is None
        assert tab.code == 4401
        tab.close()
    stranger.close()


def test_two_tabs_agree_and_get_patches_that_are_acknowledged(device: Any, me: Browser) -> None:
    """FE-10.8"""
    other = another(device, me)
    first, second = me.tab(), other.tab()
    first.say({"secret": me.secret})
    second.say({"secret": other.secret})
    whole = [tab.hear() for tab in (first, second)]
    assert whole[0]["snapshot"] == whole[1]["snapshot"]
    assert whole[0]["snapshot"]["device"]["label"] == "Anna"
    for tab, message in zip((first, second), whole, strict=True):
        tab.say({"ack": message["rev"]})
    began, contention = time.monotonic(), Contention()
    assert me.ask("PUT", "/api/mesh/quiet", {"value": True}).status == 200
    for tab, message in zip((first, second), whole, strict=True):
        rev = message["rev"]
        while True:
            told = tab.hear()
            assert told["base"] == rev
            rev = told["rev"]
            tab.say({"ack": rev})
            if told["patch"].get("mesh", {}).get("quiet"):
                break
    assert time.monotonic() - began < contention.stretched(5)
    me.ask("PUT", "/api/mesh/quiet", {"value": False})
    first.close()
    second.close()


def test_a_tab_that_does_not_acknowledge_gets_one_message_and_then_the_newest_state(me: Browser) -> None:
    tab = me.tab()
    tab.say({"secret": me.secret})
    rev = tab.hear()["rev"]
    for value in (True, False, True):
        me.ask("PUT", "/api/mesh/quiet", {"value": value})
    time.sleep(0.2)
    tab.raw.settimeout(0.2)
    with pytest.raises(TimeoutError):
        tab.hear()
    tab.raw.settimeout(20)
    tab.say({"ack": rev})
    told = tab.hear()
    assert told["base"] == rev
    assert told["patch"]["mesh"]["quiet"] is True
    me.ask("PUT", "/api/mesh/quiet", {"value": False})
    tab.close()


def test_words_that_are_none_of_a_tab_close_it(me: Browser) -> None:
    for word, code in ((b"nonsense", 4400), (b"x" * 70_000, 1009)):
        tab = me.tab()
        tab.say({"secret": me.secret})
        tab.hear()
        tab.say(word.decode())
        while tab.hear() is not None:
            pass
        assert tab.code == code
        tab.close()


def test_sixteen_tabs_are_enough(me: Browser) -> None:
    """Those of browsers without our cookie are none of them, however long they stay silent."""
    strangers = [me.tab(cookie="a=b") for _ in range(16)]
    tab = me.tab()
    tab.say({"secret": me.secret})
    assert tab.hear() is not None
    for each in (tab, *strangers):
        each.close()
    deadline = time.monotonic() + 20
    while True:  # tabs of tests before this one may not have been missed yet
        tabs = [me.tab() for _ in range(17)]
        for tab in tabs:
            tab.say({"secret": me.secret})
        heard = [tab.hear() is not None for tab in tabs]
        for tab in tabs:
            tab.close()
        if heard == [True] * 16 + [False]:
            break
        assert time.monotonic() < deadline, heard
        time.sleep(0.5)
    assert tabs[-1].code == 4429


# ── many devices ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[str]:
    """The link to the screen that `bench_ui` looks at: two hundred devices, twenty of which change again and again."""
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "ui_crowd.py"), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield str(json.loads(process.stdout.readline())["url"])
        finally:
            process.kill()


def test_what_changes_of_two_hundred_devices_is_told_and_nothing_else(crowd: str) -> None:
    browser = Browser(int(crowd.split(":")[2].split("/")[0]))
    assert browser.enter(crowd).status == 200
    tab = browser.tab()
    tab.say({"secret": browser.secret})
    whole = tab.hear()
    known = whole["snapshot"]["peers"]
    assert len(known) == 200
    tab.say({"ack": whole["rev"]})
    told = tab.hear()
    assert (told["base"], [*told["patch"]]) == (whole["rev"], ["peers"])
    assert 0 < len(told["patch"]["peers"]) < 200
    for key, row in told["patch"]["peers"].items():
        assert row != known[key]
    tab.close()


# ── strangers that hold connections ───────────────────────────────────────────────────────────────────────────────────


def test_connections_that_say_nothing_or_garbage_keep_nobody_out(me: Browser) -> None:
    held = [socket.create_connection(("127.0.0.1", me.port)) for _ in range(CONNECTIONS + 20)]
    for place, each in enumerate(held):
        if place % 2:
            each.sendall(b"GET / HT" if place % 4 == 1 else os.urandom(200))
    began, contention = time.monotonic(), Contention()
    assert me.ask("GET", "/api/mesh/state").status == 200
    assert time.monotonic() - began < contention.stretched(2)
    for each in held:
        each.close()


# ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_networks_are_saved_edited_exported_and_forgotten(me: Browser) -> None:
    relay = "ws://127.0.0.1:1"
    made = me.ask(
        "POST", "/api/networks", {"network_id": "Home-Mesh", "signaling_servers": [relay], "stun_servers": []}
    )
    network = made.json["network"]
    assert network["network_id"] == "home-mesh"
    where = f"/api/networks/{network['id']}"
    again = me.ask("POST", "/api/networks", {"network_id": "home-mesh", "auto_approve": True}).json["network"]
    assert again == {**network, "auto_approve": True}  # what is given counts, as with `networks add`
    turn = [{"url": "turn:127.0.0.1:1", "username": "u", "credential": "very-secret"}]
    assert me.ask("PATCH", where, {"turn_servers": turn, "label": "Home"}).status == 200
    snapshot = me.ask("GET", "/api/mesh/state")
    assert b"very-secret" not in snapshot.data
    assert snapshot.json["snapshot"]["mesh"]["handle"] == "Home"
    kept = [{"url": "turn:127.0.0.1:1", "username": "u", "credential": None}]
    assert me.ask("PATCH", where, {"turn_servers": kept, "topology": "ring:2"}).status == 200
    told = me.ask("POST", f"{where}/export", {"secrets": True}).json
    assert told["turn_servers"] == turn
    assert told["topology"] == {"kind": "ring", "n_preferred": 2}
    assert b"very-secret" not in me.ask("POST", f"{where}/export", {}).data
    assert me.ask("PATCH", where, {"topology": "star:nobody"}).error == (400, "validation")
    for begun in ("start", "reconcile", "rediscover"):
        assert me.ask("POST", f"/api/mesh/{begun}", {}).status == 202
    retried = me.ask("POST", "/api/mesh/daemon/retry", {})
    assert (retried.status, retried.json) == (202, {"state": "up"})  # there was nothing to try again
    looked = me.ask("POST", "/api/networks/import", {"text": json.dumps(told), "look": True}).json
    assert (looked["network_id"], looked["is_saved"], looked["only_lan"]) == ("home-mesh", True, False)
    assert me.ask("PATCH", where, {"only_lan": True}).status == 200
    alone = me.ask("POST", f"{where}/export", {}).json
    assert alone["signaling"] == {"strategy": "none"}
    assert me.ask("POST", "/api/networks/import", {"text": json.dumps(alone), "look": True}).json["only_lan"] is True
    assert me.ask("PATCH", where, {"only_lan": False}).status == 200
    assert "signaling" not in me.ask("POST", f"{where}/export", {}).json
    assert me.ask("POST", f"/api/peers/{'a' * 52}/pin", {"purpose": "text"}).error == (404, "not_found")
    invited = me.ask("POST", "/api/invites", {"ttl_s": 60})
    assert invited.json["qr"]["path"].startswith("M4 4h1v1h-1z")
    leads = me.ask("POST", "/api/networks/import", {"text": invited.json["text"], "look": True})
    assert leads.json["error"]["message"].startswith("this invitation leads to this very device")
    assert [i["id"] for i in me.ask("GET", "/api/invites").json["invites"]] == [invited.json["id"]]
    assert me.ask("DELETE", f"/api/invites/{invited.json['id']}").status == 200
    signed_in(me)
    assert me.ask("DELETE", where, {}).json["active"] is None
    assert me.ask("GET", "/api/mesh/state").json["snapshot"]["networks"] == {}


def signed_in(me: Browser) -> None:
    """The device founds its network: looked at first, then signed; what is wrong is refused and changes nothing."""
    propose = "/api/governance/propose"
    assert me.ask("GET", "/api/governance").json["kind"] == "open"
    looked = me.ask("POST", propose, {"what": "kind", "look": True}).json
    assert (looked["effective"], looked["outlook"][-1]["text"]) == (True, "Owners behind it")
    assert me.ask("GET", "/api/governance").json["kind"] == "open"
    assert me.ask("POST", propose, {"what": "kind"}).json["effective"] is True
    told = me.ask("GET", "/api/governance").json
    assert (told["kind"], told["role"], [row["is_me"] for row in told["roles"]]) == ("closed", "owner", [True])
    assert "in force" in told["log"][0]["text"]
    assert any("only owner" in each["text"] or "owner" in each["text"] for each in told["amiss"])
    other = "hnvcppgow2sc2yvdvdicu3ynonsteflxdxrehjr2ybekdc2z3iuq"
    for role in ("controller", "member"):  # an admit alone would leave it a controller
        body = {"what": "role", "device": other, "role": role}
        assert me.ask("POST", propose, {**body, "look": True}).json["effective"] is True
        assert me.ask("POST", propose, body).json["effective"] is True
        assert {row["id"]: row["role"] for row in me.ask("GET", "/api/governance").json["roles"]}[other] == role
    told = me.ask("GET", "/api/governance").json
    for body in (
        {"what": "evict"},
        {"what": "evict", "device": "nobody"},
    ):
        assert me.ask("POST", propose, body).error == (400, "validation")
    missing = me.ask("POST", "/api/governance/pending/nothing/sign", {"digest": "x"})
    assert missing.status >= 400
    assert missing.json["error"]["message"]
    assert me.ask("GET", "/api/governance").json["roles"] == told["roles"]


def test_sessions_survive_a_restart_and_ctrl_c_waits_for_no_tab(device: Any, me: Browser) -> None:
    """Tabs and downloads that stopped reading, half a request: the app ends all the same, and comes back."""
    half = socket.create_connection(("127.0.0.1", me.port))
    half.sendall(b"POST /api/networks HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n{")
    download = stalled_download(me.port, "/governance.js", 800)
    tab = me.tab()
    tab.say({"secret": me.secret})
    tab.hear()
    mark = device.mark()
    began, contention = time.monotonic(), Contention()
    os.kill(device.pid, signal.SIGINT)
    device.wait("end", lambda e: e["event"] == "stopped", mark)
    assert time.monotonic() - began < contention.stretched(10), "ten times what it may; without the hard end for ever"
    tab.hear()
    assert tab.code is not None
    for each in (half, download, tab.raw):
        each.close()
    device.stop(interrupt=False)
    mark = device.mark()
    config = device.home / ".myownllm" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "ui": {"port": me.port}}))
    device.up()
    device.wait("screen", lambda e: e["event"] == "screen", mark)
    assert me.ask("GET", "/api/mesh/state").status == 200
    tab = me.tab()
    tab.say({"secret": me.secret})
    assert tab.hear() is not None
    assert device.run("open", "--revoke")["ended"] >= 1
    assert tab.hear() is None
    assert tab.code == 4403
    tab.close()
    assert me.ask("GET", "/api/mesh/state").error == (401, "no_session")
