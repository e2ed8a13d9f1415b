"""The remote screen's decisions: who may be paired, who is here, and what becomes of a port that is taken."""

from __future__ import annotations

import errno
import socket
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from myownllm.catalog.file import CatalogFile
from myownllm.catalog.network import SavedNetwork
from myownllm.errors import DoorError
from myownllm.home import AppHome
from myownllm.remote.lan import is_local
from myownllm.remote.pairing import ATTEMPTS, ATTEMPTS_PER_ADDRESS, CODE_S, DIGITS, Pairing, draw
from myownllm.remote.settings import PORT, RemoteSettings, changed
from myownllm.ui import port as ports
from myownllm.ui import web_server
from myownllm.ui.calls import LinesResponse
from myownllm.ui.remote import launch
from myownllm.ui.remote.guests import GONE_S, KICKED_S, Guests, KickedError
from myownllm.ui.remote.serving import is_of_the_lan
from myownllm.ui.sessions import Sessions, hash_of
from myownllm.ui.web_server import Limits, WebServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

HERE, THERE = "192.168.1.5", "192.168.1.9"


# ── settings, addresses ───────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_off_unless_it_was_turned_on() -> None:
    assert RemoteSettings.read({}) == RemoteSettings(enabled=False, port=PORT)
    assert RemoteSettings.read({"remote_ui": {"enabled": True, "port": 0}}) == RemoteSettings(enabled=True, port=0)
    for enabled in (1, "true", None):
        assert RemoteSettings.read({"remote_ui": {"enabled": enabled}}).enabled is False
    for port in ("1", True, -1, 65536, None):
        assert RemoteSettings.read({"remote_ui": {"port": port}}).port == PORT


def test_only_what_a_person_sets_is_changed_and_all_else_stays(tmp_path: Path) -> None:
    file = CatalogFile(tmp_path / "config.json")
    file.mutate(lambda c: c.add_network(SavedNetwork("net-1", "home"), activate=True))
    file.change_section("remote_ui", {"port": 5, "theme": "dark"})
    assert file.change_section("remote_ui", changed(True, None)) == {"enabled": True, "port": 5, "theme": "dark"}
    stored = file.load()
    assert stored.sections["remote_ui"]["theme"] == "dark"
    assert stored.catalog.active is not None
    before = file.signature()
    file.change_section("remote_ui", {"port": 5})
    assert file.signature() == before, "what is the same is not written"


@pytest.mark.parametrize("address", ["192.168.1.5", "10.0.0.1", "172.16.3.4", "169.254.1.1", "127.0.0.1", "100.64.0.9"])
def test_addresses_of_the_local_network(address: str) -> None:
    assert is_local(address)
    assert is_of_the_lan(address, HERE)


@pytest.mark.parametrize("address", ["8.8.8.8", "198.41.0.4", "", "evil.example", "2001:503:ba3e::2:30"])
def test_whoever_comes_over_the_internet_is_none_of_the_local_network(address: str) -> None:
    assert not is_of_the_lan(address, HERE)
    assert not is_of_the_lan(HERE, address)


# ── codes ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def pairing() -> Pairing:
    codes = iter(["12345678", "23456789", "34567890"])
    return Pairing(lambda: next(codes))


def test_a_code_is_eight_digits_drawn_anew() -> None:
    codes = {draw() for _ in range(20)}
    assert len(codes) == 20
    assert all(len(code) == DIGITS and code.isdigit() for code in codes)


@pytest.mark.parametrize("typed", ["12345678", "1234 5678", " 1234-5678 "])
def test_the_code_works_once_however_it_is_spaced(pairing: Pairing, typed: str) -> None:
    assert pairing.attempt("12345678", HERE, 0) == "none"
    assert pairing.show(0) == ("12345678", CODE_S)
    assert pairing.show(1) == ("12345678", CODE_S)
    assert pairing.attempt(typed, HERE, 2) == "right"
    assert pairing.attempt(typed, HERE, 3) == "none"
    assert pairing.until(3) is None
    assert pairing.show(4) == ("23456789", 4 + CODE_S)


def test_a_code_is_over_after_its_time(pairing: Pairing) -> None:
    pairing.show(0)
    assert pairing.until(CODE_S - 1) == CODE_S
    assert pairing.attempt("12345678", HERE, CODE_S) == "none"
    assert not pairing.voided


def test_one_address_has_few_attempts_and_cannot_void_the_code_for_another(pairing: Pairing) -> None:
    pairing.show(0)
    for _ in range(ATTEMPTS_PER_ADDRESS):
        assert pairing.attempt("00000000", THERE, 1) == "wrong"
    for _ in range(100):
        assert pairing.attempt("12345678", THERE, 1) == "blocked"
    assert pairing.attempt("12345678", HERE, 1) == "right"


def test_all_addresses_together_have_few_attempts(pairing: Pairing) -> None:
    pairing.show(0)
    outcomes = [pairing.attempt("1234567", f"10.0.0.{n}", 1) for n in range(ATTEMPTS + 5)]
    assert outcomes == ["wrong"] * ATTEMPTS + ["none"] * 5
    assert pairing.voided
    assert pairing.show(2) == ("23456789", 2 + CODE_S)
    assert not pairing.voided


@pytest.mark.parametrize("typed", ["", "1234567", "123456789", "１２３４５６７８", "\ud800", "x" * 200])
def test_what_is_no_code_is_a_wrong_one(pairing: Pairing, typed: str) -> None:
    pairing.show(0)
    assert pairing.attempt(typed, HERE, 1) == "wrong"


# ── browsers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_who_is_silent_for_fifteen_seconds_is_away(tmp_path: Path, autojump_clock: object) -> None:
    sessions = Sessions(tmp_path / "s.json", lambda: 1e9)
    sessions.begin()
    [session] = sessions.all()
    seen: list[tuple[bool, float]] = []
    guests = Guests(sessions, lambda: seen.append((guests.rows()[0].is_here, trio.current_time() - began)))
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(guests.run)
        for _ in range(5):
            guests.seen(session, HERE)
            await trio.sleep(5)
        await trio.sleep(3600)
        guests.seen(session, THERE)
        assert guests.rows()[0].address == THERE
        nursery.cancel_scope.cancel()
    assert [here for here, _ in seen] == [True, False, True]
    assert 20 + GONE_S <= seen[1][1] <= 20 + GONE_S + 3


async def test_who_is_put_out_hears_so_for_thirty_seconds_and_is_a_stranger_then(
    tmp_path: Path, autojump_clock: object
) -> None:
    sessions = Sessions(tmp_path / "s.json", lambda: 1e9)
    keys = [sessions.begin() for _ in range(3)]
    guests = Guests(sessions, lambda: None)
    first = hash_of(keys[0].cookie)[:8]
    [ended] = guests.kick(first)
    assert ended.ended.is_set()
    assert sessions.find(keys[0].cookie, keys[0].secret) is None
    assert guests.kick(first) == []
    guests.refuse_kicked(keys[1].cookie)
    await trio.sleep(KICKED_S - 1)
    with pytest.raises(KickedError) as told:
        guests.refuse_kicked(keys[0].cookie)
    assert (told.value.status, told.value.body) == (403, {"error": "kicked"})
    await trio.sleep(2)
    guests.refuse_kicked(keys[0].cookie)
    assert len(guests.kick(None)) == 2
    assert guests.rows() == ()


# ── the port ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class App:
    """What the remote screen sees of the running app."""

    def __init__(self, home: AppHome, section: dict[str, Any]) -> None:
        self.home = home
        self.live = SimpleNamespace(sections={"remote_ui": section}, on_sections=[])
        self.operations: dict[str, Any] = {}
        self.notes: list[str] = []
        self.client = SimpleNamespace(note=lambda _, text: self.notes.append(text))

    def remote(self) -> launch.Remote:
        app: Any = self
        remote = launch.Remote(app)
        self.operations.update(remote.operations)
        return remote


@pytest.fixture
def home(tmp_path: Path) -> AppHome:
    return AppHome.at(tmp_path / "app", tmp_path / "daemon")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program has."""
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        yield other.getsockname()[1]


async def test_a_port_that_is_taken_is_told_once_and_tried_every_thirty_seconds(
    home: AppHome, taken: int, monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    tries: list[float] = []

    def listen(port: int, address: str) -> socket.socket:
        assert (port, address) == (taken, "0.0.0.0")
        tries.append(trio.current_time())
        if len(tries) < 4:
            return ports.listen(port, address)  # which raises
        return ports.listen(0)

    monkeypatch.setattr(launch, "listen", listen)
    app = App(home, {"enabled": True, "port": taken})
    remote = app.remote()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(remote.run)
        told = await app.operations["remote"]({})
        assert told["running"] is False
        assert f"port {taken}: another program has this port" in told["reason"]
        with pytest.raises(DoorError, match="another program has this port"):
            await app.operations["remote_pair"]({})
        await remote.watch.until(lambda s: s.running)
        assert [round(b - a) for a, b in pairwise(tries)] == [30, 30, 30]
        assert [note for note in app.notes if "another program" in note] == [told["reason"]]
        code = (await app.operations["remote_pair"]({}))["code"]
        assert remote.watch.value.code_until_ms is not None
        assert code not in str(remote.watch.value)
        for use in app.live.on_sections:
            use({})
        await remote.watch.until(lambda s: not s.running and s.code_until_ms is None)
        with pytest.raises(DoorError, match="the remote screen is off"):
            await app.operations["remote_pair"]({})
        nursery.cancel_scope.cancel()


async def test_other_failures_and_a_missing_extra_are_told_as_well(
    home: AppHome, monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    def refused(*_: object) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(launch, "listen", refused)
    app = App(home, {"enabled": True, "port": 80})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app.remote().run)
        told = await app.operations["remote"]({})
        assert told["reason"] == (
            "the remote screen cannot listen at port 80: Permission denied; it is tried again every 30 s"
        )
        monkeypatch.setattr(launch, "PARTS", ("a_part_that_nobody_has",))
        with trio.fail_after(40):
            while len(app.notes) < 2:
                await trio.sleep(1)
        assert "myownllm-mesh[ui]" in app.notes[1]
        nursery.cancel_scope.cancel()


# ── connections ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def much() -> AsyncGenerator[bytes, None]:
    while True:
        yield b"x" * 65536


async def endless(scope: Any, receive: Any, send: Any) -> None:
    await LinesResponse(much())(scope, receive, send)


async def test_whoever_takes_nothing_is_closed() -> None:
    listener = ports.listen(0)
    server = WebServer(endless, Limits(send_s=0.05))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, listener)
        browser = await trio.open_tcp_stream(*listener.getsockname())
        await browser.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with trio.fail_after(30):
            assert (await browser.receive_some(1)) == b"H"
            while server.count:
                await trio.sleep(0.01)
        await browser.aclose()
        nursery.cancel_scope.cancel()


async def small(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_a_browser_that_has_left_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was counted for ten seconds, and sixty-four of them kept everybody out."""
    monkeypatch.setattr(web_server, "IDLE_S", 3600)
    listener = ports.listen(0)
    server = WebServer(small, Limits(per_address=2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, listener)
        for _ in range(3):
            browser = await trio.open_tcp_stream(*listener.getsockname())
            await browser.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with trio.fail_after(30):
                assert (await browser.receive_some()).startswith(b"HTTP/1.1 204")
                await browser.aclose()
                while server.count:
                    await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_one_more_from_an_address_costs_the_oldest_stranger_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "IDLE_S", 3600)
    listener = ports.listen(0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(WebServer(small, Limits(per_address=2)).serve, listener)
        other = await trio.open_tcp_stream(*listener.getsockname())
        held = [
            await trio.open_tcp_stream(*listener.getsockname(), local_address=address)
            for address in ("127.0.0.2", "127.0.0.2", "127.0.0.2")
        ]
        with trio.fail_after(30):
            assert await held[0].receive_some() == b""
            for each in (*held[1:], other):
                await each.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await each.receive_some()).startswith(b"HTTP/1.1 204")
        for each in (*held, other):
            await each.aclose()
        nursery.cancel_scope.cancel()


async def test_who_may_not_be_connected_is_closed_without_an_answer() -> None:
    listener = ports.listen(0)
    ends: list[tuple[str, str]] = []

    def admits(there: str, here: str) -> bool:
        ends.append((there, here))
        return False

    async with trio.open_nursery() as nursery:
        nursery.start_soon(WebServer(small, Limits(admits=admits)).serve, listener)
        browser = await trio.open_tcp_stream(*listener.getsockname())
        with trio.fail_after(30):
            assert await browser.receive_some() == b""
        assert ends == [("127.0.0.1", "127.0.0.1")]
        await browser.aclose()
        nursery.cancel_scope.cancel()
