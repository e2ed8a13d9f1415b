"""The remote screen of a running app, asked as a phone's page asks, and as whoever should not (spec 08 FE-10.4)."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from e2e.devices import demo
from myownllm.remote.pairing import ATTEMPTS, ATTEMPTS_PER_ADDRESS
from myownllm.ui.remote.serving import PER_ADDRESS
from myownllm.ui.sessions import hash_of
from support.browser import PATIENCE_S, Browser, stalled_download
from support.contention import Contention
from support.model_servers import scripted
from support.warm import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.browser import Answer
    from support.model_servers import ModelServer


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with scripted(models=["gemma4:e2b"], words=4) as server:
        yield server


@pytest.fixture(scope="module")
def device(model: ModelServer) -> Iterator[Any]:
    """One app with a model and no network, for all tests of this file; its remote screen is off at first."""
    base = demo.temporary_base()
    made = demo.Device("Anna", base / "a")
    made.program = words("myownllm")
    folder = made.home / ".myownllm"
    folder.mkdir(mode=0o700)
    settings = {"api": {"port": 0}, "ui": {"port": 0}, "runtime": {"kind": "ollama", "base_url": model.url}}
    (folder / "config.json").write_text(json.dumps(settings))
    try:
        made.up("--label", "Anna")
        made.wait("screen", lambda e: e["event"] == "screen")
        yield made
    finally:
        demo.stop_all([made])
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def port(device: Any) -> int:
    """Where the remote screen is, once a person who was warned has opened it."""
    listening = {c.laddr.ip for c in psutil.Process(device.pid).net_connections("tcp") if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}, "off by default"
    assert device.run("remote")["enabled"] is False
    with pytest.raises(demo.DemoError, match="without encryption"):
        device.run("settings", "remote", "on")
    assert device.run("settings", "remote") == {"remote": False, "port": 1474, "applied": None}
    told = device.run("settings", "remote", "on", "--port", "0", "--yes")
    assert told == {"remote": True, "port": 0, "applied": True}
    return int(device.run("remote")["port"])


def code_of(device: Any) -> str:
    return str(device.run("remote", "--pair")["code"])


def enter(browser: Browser, code: str) -> Browser:
    """It has typed the code."""
    answer = browser.ask("POST", "/api/pair", {"code": code})
    assert answer.status == 200
    browser.cookie = answer.headers["set-cookie"].partition(";")[0]
    browser.secret = answer.json["secret"]
    return browser


@pytest.fixture(scope="module")
def phone(device: Any, port: int) -> Browser:
    """A browser that was paired."""
    return enter(Browser(port), code_of(device))


ENDING_S = 20
"""Twenty times what Ctrl-C may take; without the hard end it takes for ever."""


def eventually(look: Callable[[], Any]) -> Any:
    """What `look` finds, as soon as it does."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


# ── who gets in ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_code_lets_one_browser_in_and_is_used_then(device: Any, port: int) -> None:
    code = code_of(device)
    assert code_of(device) == code, "it stands until it is used"
    assert "code" not in device.run("remote")
    browser = enter(Browser(port), f"{code[:4]} {code[4:]}")
    assert Browser(port).ask("POST", "/api/pair", {"code": code}).error == (409, "no_code")
    assert browser.ask("GET", "/api/models").status == 200
    told = browser.ask("POST", "/api/pair", {"code": code}, without="Cookie")
    assert told.error == (409, "no_code")


def test_an_address_has_three_attempts_per_code_and_all_of_them_ten(device: Any, port: int) -> None:
    code = code_of(device)
    wrong = f"{(int(code) + 1) % 10**8:08}"
    here = Browser(port, source="127.0.0.2")
    for _ in range(ATTEMPTS_PER_ADDRESS):
        assert here.ask("POST", "/api/pair", {"code": wrong}).error == (403, "wrong_code")
    assert here.ask("POST", "/api/pair", {"code": code}).error == (429, "too_many"), "also with the right one"
    left = ATTEMPTS - ATTEMPTS_PER_ADDRESS
    for n in range(left):
        there = Browser(port, source=f"127.0.1.{n // ATTEMPTS_PER_ADDRESS + 1}")
        assert there.ask("POST", "/api/pair", {"code": wrong}).error == (403, "wrong_code")
    assert Browser(port).ask("POST", "/api/pair", {"code": code}).error == (409, "no_code")
    assert device.run("remote")["code_voided"] is True
    assert code_of(device) != code


def test_without_both_halves_of_a_session_nothing_is_told(phone: Browser) -> None:
    for without in ("Cookie", "X-Session-Secret"):
        for method, path in (("GET", "/api/models"), ("GET", "/api/conversations"), ("POST", "/api/heartbeat")):
            assert phone.ask(method, path, without=without).error == (401, "no_session")
    assert phone.ask("GET", "/healthz", without="Cookie").json == {"status": "ok"}


def test_the_local_screen_has_other_sessions_and_other_routes(device: Any, phone: Browser) -> None:
    local = Browser(int(device.run("open", "--print")["url"].split(":")[2].split("/")[0]), phone.cookie, phone.secret)
    assert local.ask("GET", "/api/mesh/state").error == (401, "no_session")
    for method, path in (("GET", "/api/mesh/state"), ("POST", "/api/networks"), ("PUT", "/api/remote")):
        assert phone.ask(method, path, {}).error == (404, "not_found"), path
    tab = phone.tab()
    assert tab.status in (403, 404)
    tab.close()


def test_a_name_or_another_address_that_was_pointed_here_is_refused(phone: Browser) -> None:
    """DNS rebinding: the `Host` is not the address that the connection came to."""
    for host in ("evil.example", f"evil.example:{phone.port}", f"localhost:{phone.port}", f"10.9.8.7:{phone.port}",
                 "127.0.0.1", f"127.0.0.1:{phone.port + 1}"):  # fmt: skip
        for path in ("/", "/api/models", "/healthz"):
            assert phone.ask("GET", path, host=host).error == (421, "misdirected")


def test_pages_of_other_origins_command_nothing_and_read_nothing(phone: Browser) -> None:
    for origin in ("http://evil.example", f"http://127.0.0.1:{phone.port + 1}", "null"):
        for path in ("/api/pair", "/api/heartbeat", "/api/chat"):
            assert phone.ask("POST", path, {}, origin=origin).error == (403, "forbidden_origin")
    assert phone.ask("POST", "/api/heartbeat", {}, without="Origin").status == 403
    assert phone.ask("GET", "/api/chat").status == 405  # no command by GET
    for answer in (phone.ask("GET", "/"), phone.ask("GET", "/api/models"), phone.ask("GET", "/x")):
        assert not any(name.startswith("access-control") for name in answer.headers)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"


def test_at_an_address_of_the_local_network_it_is_itself(device: Any, port: int) -> None:
    for address in device.run("remote")["addresses"]:
        host = address.removeprefix("http://").partition(":")[0]
        assert Browser(port, address=host).ask("GET", "/").status == 200
        assert Browser(port, address=host).ask("GET", "/", host=f"127.0.0.1:{port}").error == (421, "misdirected")


def test_words_of_sessions_and_codes_are_in_no_file(device: Any, phone: Browser) -> None:
    code = code_of(device)
    either = "|".join(re.escape(word) for word in (phone.secret, phone.cookie.partition("=")[2], code))
    secret = re.compile(rf"(?<!\d)(?:{either})(?!\d)")  # other numbers may have the digits of a code in them
    for path in (device.home / ".myownllm").rglob("*"):
        if path.is_file():
            text = path.read_text(errors="replace")
            assert secret.search(text) is None, path
    assert secret.search(json.dumps(device.events)) is None


# ── what it is for ────────────────────────────────────────────────────────────────────────────────────────────────────


def lines(answer: Answer) -> list[Any]:
    return [json.loads(line) for line in answer.data.splitlines()]


def test_a_paired_browser_talks_with_a_model_and_keeps_the_talk(phone: Browser) -> None:
    [model] = eventually(lambda: phone.ask("GET", "/api/models").json["models"])
    assert (model["id"], model["device"]) == ("gemma4:e2b", "this device")
    question = {"messages": [{"role": "user", "content": "what is a mesh?"}], "model": model["id"]}
    items = lines(phone.ask("POST", "/api/chat/stream", question))
    assert items[-1] == {"end": True}
    text = "".join(item.get("delta", "") for item in items)
    whole = phone.ask("POST", "/api/chat", question).json
    assert whole["message"] == {"role": "assistant", "content": text}
    assert len(text) > 4
    document = {"title": "Meshes", "messages": [*question["messages"], whole["message"]]}
    kept = phone.ask("POST", "/api/conversations", document).json["id"]
    assert phone.ask("PUT", "/api/active-conversation", {"id": kept}).status == 200
    assert phone.ask("GET", "/api/active-conversation").json == {"id": kept}
    assert phone.ask("PUT", f"/api/conversations/{kept}", {**document, "title": "Mesh"}).status == 200
    assert [c["title"] for c in phone.ask("GET", "/api/conversations").json["conversations"]] == ["Mesh"]
    assert phone.ask("GET", f"/api/conversations/{kept}").json["messages"] == document["messages"]
    assert phone.ask("PUT", "/api/active-conversation", {"id": "nothing"}).status == 400


def test_a_model_gets_no_function_by_the_phone(phone: Browser) -> None:
    asked = {"messages": [{"role": "user", "content": "x"}], "functions": ["shell"]}
    assert phone.ask("POST", "/api/chat", asked).error == (400, "validation")


def test_who_is_put_out_is_told_so_and_his_answer_ends(device: Any, port: int, model: ModelServer) -> None:
    browser = enter(Browser(port), code_of(device))
    assert browser.ask("POST", "/api/heartbeat", {}).json == {"ok": True}
    [guest] = [g for g in device.run("remote")["guests"] if g["is_here"] and g["id"] == id_of(browser)]
    assert guest["address"] == "127.0.0.1"
    model.behave(words=100_000, delay_s=0.05)
    try:
        with closing(socket.create_connection(("127.0.0.1", port), PATIENCE_S)) as raw:
            body = json.dumps({"messages": [{"role": "user", "content": "on and on"}]})
            head = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json", "Content-Length": len(body)}
            text = "".join(f"{name}: {value}\r\n" for name, value in {**head, **browser.headers()}.items())
            raw.sendall(f"POST /api/chat/stream HTTP/1.1\r\n{text}\r\n{body}".encode())
            heard = b""
            while b'"delta"' not in heard:
                heard += (more := raw.recv(65536))
                assert more, heard
            assert heard.startswith(b"HTTP/1.1 200")
            assert device.run("remote", "--kick", guest["id"]) == {"ended": 1}
            while raw.recv(65536):
                pass  # until it is closed
        model.closed_chat()
    finally:
        model.behave(words=4, delay_s=0)
    for method, path in (("POST", "/api/heartbeat"), ("GET", "/api/models"), ("POST", "/api/pair")):
        refused = browser.ask(method, path, {"code": "1"} if path.endswith("pair") else {})
        assert (refused.status, refused.json) == (403, {"error": "kicked"})
    with pytest.raises(demo.DemoError, match="no paired browser"):
        device.run("remote", "--kick", guest["id"])


def id_of(browser: Browser) -> str:
    return hash_of(browser.cookie.partition("=")[2])[:8]


# ── strangers that hold connections ───────────────────────────────────────────────────────────────────────────────────


def test_one_address_holds_sixteen_connections_and_keeps_nobody_out(phone: Browser, port: int) -> None:
    held = [socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)) for _ in range(80)]
    for each in held[::2]:
        each.sendall(b"POST /api/pair HTTP/1.1\r\nHost: 127")
    assert phone.ask("GET", "/api/models").status == 200
    for each in held[:-PER_ADDRESS]:
        each.settimeout(PATIENCE_S)
        assert gone(each), "the oldest made room"
    for each in held:
        each.close()


def gone(raw: socket.socket) -> bool:
    try:
        return raw.recv(1) == b""
    except ConnectionResetError:
        return True


def test_long_and_wrong_requests_are_refused(phone: Browser) -> None:
    assert phone.ask("POST", "/api/pair", raw=b" " * 5000).error == (413, "too_large")
    assert phone.ask("POST", "/api/chat", raw=b" " * (2**20 + 1)).error == (413, "too_large")
    assert phone.ask("GET", "/", padding="x" * 20_000).error == (431, "too_large")
    assert phone.ask("POST", "/api/chat", {"messages": []}).error == (400, "validation")
    assert phone.ask("POST", "/api/pair", {"code": "x" * 300}).error == (400, "validation")


# ── the screen of this machine, and the app's life ────────────────────────────────────────────────────────────────────


def test_the_local_screen_shows_and_does_the_same(device: Any, port: int, phone: Browser) -> None:
    link = device.run("open", "--print")["url"]
    local = Browser(int(link.split(":")[2].split("/")[0]))
    assert local.enter(link).status == 200
    phone.ask("POST", "/api/heartbeat", {})
    shown = local.until(lambda s: any(g["is_here"] for g in s["remote"]["guests"]))["remote"]
    assert (shown["enabled"], shown["running"], shown["port"]) == (True, True, port)
    made = local.ask("POST", "/api/remote/pair", {}).json
    assert made["code"] == code_of(device)
    assert made["code"] not in json.dumps(local.ask("GET", "/api/mesh/state").json), "only who asks for it sees it"
    looked = local.ask("GET", "/api/remote").json
    assert [each["url"] for each in looked["addresses"]] == shown["addresses"]
    assert "without encryption" in looked["warning"]
    other = enter(Browser(port), made["code"])
    local.until(lambda s: s["remote"]["code_until_ms"] is None)
    assert local.ask("POST", "/api/remote/kick", {"id": id_of(other)}).json == {"ended": 1}
    assert other.ask("GET", "/api/models").json == {"error": "kicked"}
    assert local.ask("POST", "/api/remote/kick", {"id": "none"}).error == (404, "not_found")
    assert local.ask("PUT", "/api/remote", {"port": 70_000}).error == (400, "validation")
    assert local.ask("POST", "/api/local-api/token", {}).json == {"token": None}
    assert device.run("models", "--token") == {"token": None}


def test_a_port_that_is_taken_is_said_and_the_app_goes_on(device: Any, phone: Browser) -> None:
    with closing(socket.socket()) as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        taken = other.getsockname()[1]
        device.run("settings", "remote", "--port", str(taken))
        told = device.run("remote")
        assert told["running"] is False
        assert f"port {taken}: another program has this port; it is tried again every 30 s" in told["reason"]
        with pytest.raises(demo.DemoError, match="another program has this port"):
            device.run("remote", "--pair")
    device.run("settings", "remote", "--port", "0")
    port = int(eventually(lambda: (told := device.run("remote"))["running"] and told["port"]))
    moved = Browser(port, f"myownllm_{port}={phone.cookie.partition('=')[2]}", phone.secret)
    assert moved.ask("GET", "/api/models").status == 200, "it is still paired"
    device.run("settings", "remote", "off")
    with pytest.raises(ConnectionRefusedError):
        moved.ask("GET", "/healthz")


def test_a_browser_that_takes_nothing_does_not_hold_up_the_end(device: Any) -> None:
    """Last of this file: the app ends."""
    device.run("settings", "remote", "on", "--yes")
    port = int(device.run("remote")["port"])
    phone = enter(Browser(port), code_of(device))
    with closing(stalled_download(port, "/vendor/lit-html/lit-html.js", 1200)):
        assert phone.ask("GET", "/api/models").status == 200
        mark = device.mark()
        began, contention = time.monotonic(), Contention()
        device.interrupt()
        device.wait("end", lambda e: e["event"] == "stopped", mark)
        assert time.monotonic() - began < contention.stretched(ENDING_S)
    device.stop(interrupt=False)
    assert (device.home / "up.err").read_text() == ""
