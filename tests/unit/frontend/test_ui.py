"""The screen without a browser: sessions, whose request it is, and pictures with their patches (spec 08 §10)."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mesh_common.client.errors import ControlError, ErrorKind
from myownllm.capabilities import Capabilities
from myownllm.catalog.model import Catalog
from myownllm.catalog.network import SavedNetwork, TurnServer
from myownllm.client import ClientState, Diag
from myownllm.client.work import FileOffer, FileWork
from myownllm.errors import UNSUPPORTED_TEXT, DoorError, NoNetworkError, PeerSelectorError, UnknownNetworkError
from myownllm.inference.gate import Prompt
from myownllm.peers import peer_entry, peer_info
from myownllm.prompts import Prompt as SavedPrompt
from myownllm.prompts import Prompts
from myownllm.remote.state import RemoteState
from myownllm.supervisor import SupervisorState
from myownllm.ui.failures import UiError, ui_error
from myownllm.ui.guard import ANSWER_HEADERS, Place, check, cookie_of
from myownllm.ui.picture import TABLES, Seen, merged, patch_of, picture
from myownllm.ui.sessions import IDLE_S, LINK_S, LINKS_MAX, SESSIONS_MAX, Sessions
from myownllm.ui.settings import PORT, UiSettings

if TYPE_CHECKING:
    from pathlib import Path

    from myownllm.coerce import JsonObject

KEY = "a" * 52


@attrs.define
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


# ── sessions ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def entered(sessions: Sessions) -> Any:
    keys = sessions.redeem(sessions.link_token())
    assert keys is not None
    sessions.save()
    return keys


def test_a_link_works_once_and_within_the_hour(tmp_path: Path, clock: Clock) -> None:
    sessions = Sessions(tmp_path / "s.json", clock)
    token = sessions.link_token()
    assert sessions.redeem("x" + token) is None
    assert sessions.redeem(token) is not None
    assert sessions.redeem(token) is None
    late = sessions.link_token()
    clock.now += LINK_S
    assert sessions.redeem(late) is None


def test_only_the_newest_links_are_kept(tmp_path: Path, clock: Clock) -> None:
    sessions = Sessions(tmp_path / "s.json", clock)
    first = sessions.link_token()
    for _ in range(LINKS_MAX):
        sessions.link_token()
    assert sessions.redeem(first) is None


def test_neither_half_of_a_session_suffices(tmp_path: Path, clock: Clock) -> None:
    sessions = Sessions(tmp_path / "s.json", clock)
    mine, other = entered(sessions), entered(sessions)
    assert sessions.find(mine.cookie, mine.secret) is not None
    for cookie, secret in (
        (mine.cookie, ""),
        ("", mine.secret),
        (mine.cookie, other.secret),
        (mine.secret, mine.cookie),
        ("", ""),
    ):
        assert sessions.find(cookie, secret) is None


def test_sessions_outlive_the_app_as_hashes_in_a_private_file(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "s.json"
    keys = entered(Sessions(file, clock))
    assert file.stat().st_mode & 0o777 == 0o600
    assert keys.cookie not in file.read_text()
    assert keys.secret not in file.read_text()
    assert Sessions(file, clock).find(keys.cookie, keys.secret) is not None


def test_a_session_ends_after_thirty_idle_days_and_a_use_begins_them_anew(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "s.json"
    sessions = Sessions(file, clock)
    used, idle = entered(sessions), entered(sessions)
    clock.now += IDLE_S - 10
    assert sessions.find(used.cookie, used.secret) is not None
    clock.now += 20
    assert sessions.find(idle.cookie, idle.secret) is None
    assert sessions.find(used.cookie, used.secret) is not None
    assert Sessions(file, clock).find(used.cookie, used.secret) is not None


def test_revoking_ends_every_session_and_link_at_once(tmp_path: Path, clock: Clock) -> None:
    sessions = Sessions(tmp_path / "s.json", clock)
    keys, link = entered(sessions), sessions.link_token()
    session = sessions.find(keys.cookie, keys.secret)
    assert session is not None
    assert sessions.revoke() == 1
    assert session.ended.is_set()
    assert sessions.find(keys.cookie, keys.secret) is None
    assert sessions.redeem(link) is None
    assert not sessions.has_cookie(keys.cookie)


def test_one_session_too_many_ends_the_one_that_was_used_longest_ago(tmp_path: Path, clock: Clock) -> None:
    sessions = Sessions(tmp_path / "s.json", clock)
    first = entered(sessions)
    for _ in range(SESSIONS_MAX):
        clock.now += 1
        last = entered(sessions)
    assert sessions.find(first.cookie, first.secret) is None
    assert sessions.find(last.cookie, last.secret) is not None


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"cookie_hash": 1}]', '[{"cookie_hash": "x"}]', "nonsense"])
def test_a_damaged_file_is_no_session(tmp_path: Path, clock: Clock, content: str) -> None:
    file = tmp_path / "s.json"
    file.write_text(content)
    assert not Sessions(file, clock).has_cookie("x")


# ── whose request it is ───────────────────────────────────────────────────────────────────────────────────────────────

PLACE = Place(1475)
OURS = [(b"host", b"127.0.0.1:1475"), (b"origin", b"http://127.0.0.1:1475")]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("is_socket", [False, True])
def test_our_own_requests_pass(method: str, is_socket: bool) -> None:
    check(PLACE, method, OURS, is_socket=is_socket)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost:1475",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1:1475.evil.example",
        "evil.example:1475",
        "[::1]:1475",
    ],
)
def test_every_other_host_is_misdirected(host: str) -> None:
    for method in ("GET", "POST"):
        with pytest.raises(UiError) as refused:
            check(PLACE, method, [(b"Host", host.encode()), OURS[1]], is_socket=False)
        assert refused.value.status == 421


def test_two_hosts_or_none_are_misdirected() -> None:
    for headers in ([OURS[1]], [OURS[0], OURS[0], OURS[1]], [OURS[0], (b"host", b"x"), OURS[1]]):
        with pytest.raises(UiError):
            check(PLACE, "GET", headers, is_socket=False)


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "http://127.0.0.1:1476",
        "http://localhost:1475",
        "https://127.0.0.1:1475",
        "http://127.0.0.1:14750",
    ],
)
def test_every_other_origin_commands_nothing_and_opens_no_socket(origin: str | None) -> None:
    headers = [OURS[0], *([] if origin is None else [(b"origin", origin.encode())])]
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        with pytest.raises(UiError) as refused:
            check(PLACE, method, headers, is_socket=False)
        assert refused.value.status == 403
    with pytest.raises(UiError):
        check(PLACE, "GET", headers, is_socket=True)
    check(PLACE, "GET", headers, is_socket=False)  # it changes nothing, and no other page may read the answer


def test_the_cookie_is_named_by_its_port() -> None:
    headers = [(b"cookie", b"myownllm_1476=theirs; a=b; myownllm_1475=ours")]
    assert cookie_of(PLACE, headers) == "ours"
    assert cookie_of(Place(1), headers) == ""


def test_what_every_answer_forbids() -> None:
    headers = {name.decode(): value.decode() for name, value in ANSWER_HEADERS}
    policy = headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert not any(name.startswith("access-control") for name in headers)


# ── failures, settings ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (UnknownNetworkError("net-1"), 404, "not_found"),
        (PeerSelectorError("x"), 404, "not_found"),
        (NoNetworkError(), 409, "no_active_network"),
        (DoorError("busy", "x"), 429, "busy"),
        (ControlError(ErrorKind.NOT_CONNECTED, "x"), 503, "not_connected"),
        (ControlError(ErrorKind.UNSUPPORTED, "x", refused=True), 501, "unsupported"),
        (ControlError(ErrorKind.HANDLER_FAILED, "x", refused=True), 502, "handler_failed"),
    ],
)
def test_failures_have_the_status_and_kind_of_the_table(error: Any, status: int, kind: str) -> None:
    told = ui_error(error)
    assert (told.status, told.kind) == (status, kind)
    said = UNSUPPORTED_TEXT if kind == "unsupported" else str(error)
    assert told.body["error"]["message"] == said, "an older daemon answers with the list of all that it can"


def test_settings_are_read_leniently() -> None:
    assert UiSettings.read({}) == UiSettings(enabled=True, port=PORT)
    assert UiSettings.read({"ui": {"enabled": False, "port": 0}}) == UiSettings(enabled=False, port=0)
    assert UiSettings.read({"ui": {"notifications": False}}) == UiSettings(notifications=False)
    assert UiSettings.read({"ui": {"notifications": 0}}).notifications is True
    for port in ("1", True, -1, 65536, None):
        assert UiSettings.read({"ui": {"port": port}}).port == PORT


# ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────────

BIDI = "\u202e\u2066\u200f"
MARKUP = f"<img src=x onerror=alert(1)>{BIDI}\x00\x1b[31m"


def seen(**changes: Any) -> Seen:
    facts: dict[str, Any] = {
        "state": ClientState(handle="home", network="home"),
        "supervisor": SupervisorState("up"),
        "catalog": Catalog(),
        "label": "Anna",
        "questions": (),
        "diag": (),
        "api": "",
        "remote": RemoteState(),
        "log": "",
        "folder": "/home/anna/Downloads",
        "kept": 0,
        "pins": {},
    }
    return Seen(**{**facts, **changes})


def test_a_mark_is_another_one_when_what_it_stands_for_has_changed() -> None:
    network = SavedNetwork("net-1", "home")
    catalog = Catalog().add_network(network, activate=True)
    prompt = SavedPrompt("p", "Short", updated_at=1)
    catalogs = [
        *(
            catalog.update_network("net-1", prompts=prompts)
            for prompts in (None, Prompts((prompt,)), Prompts((attrs.evolve(prompt, updated_at=2),)))
        ),
        attrs.evolve(catalog, confirm_relaxing_policy=False),
    ]
    marks = [picture(seen(catalog=each))["marks"] for each in catalogs]
    assert len({each["shared"] for each in marks}) == 4
    assert len({each["chat"] for each in marks}) == 1
    chats = [seen(), seen(kept=1), seen(state=ClientState(published=Capabilities()))]
    assert len({picture(each)["marks"]["chat"] for each in chats}) == 3


def hostile() -> Seen:
    """Whatever a peer can say is full of what must not act on the page."""
    peer = peer_entry(
        peer_info(
            {
                "device_id": KEY,
                "status": "pending_approval",
                "label": MARKUP * 50,
                "verification_code_received": MARKUP,
                "why": {"code": MARKUP, "since_ms": 1, "text": MARKUP},
                "capabilities": {
                    "tags": [],
                    "extra": {
                        "label": MARKUP,
                        "llms": [{"tag": MARKUP, "family": MARKUP}] * 500,
                        "app_version": MARKUP,
                    },
                },
            }
        )
    )
    file = FileWork("f", KEY, MARKUP, direction="inbound", filename=MARKUP * 9, bytes_total=1, status="receiving")
    offer = FileOffer("o", KEY, MARKUP, filename=MARKUP, size_bytes=1)
    state = ClientState(handle=MARKUP, network="home", peers=(peer,), files=(file,), inbound_offers=(offer,))
    question = Prompt(1, "c", "shell", f"rm -rf {MARKUP}", 1)
    turn = TurnServer("turn:x:1", "user", "TURN-PASSWORD")
    network = SavedNetwork("net-1", "home", label=MARKUP, turn_servers=(turn,))
    catalog = Catalog().add_network(network, activate=True)
    lines = tuple((n, Diag(n, "warn", MARKUP)) for n in range(200))
    return seen(state=state, questions=(question,), catalog=catalog, diag=lines)


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


def test_texts_of_peers_are_bounded_and_turn_nothing_around() -> None:
    """FE-10.7. Markup stays: it is a text, and the page makes text nodes of it."""
    told = texts(picture(hostile()))
    assert any("<img" in text for text in told)
    assert not any(set(text) & {*BIDI, "\x00", "\x1b"} for text in told)
    row = picture(hostile())["peers"][KEY]
    assert len(row["label"]) <= 200
    assert len(row["models"]) <= 64
    assert len(picture(hostile())["diag"]) == 80


def test_no_password_is_in_a_picture() -> None:
    told = json.dumps(picture(hostile()))
    assert "TURN-PASSWORD" not in told
    assert picture(hostile())["networks"]["net-1"]["turn_servers"] == [
        {"url": "turn:x:1", "username": "user", "has_password": True}
    ]


def test_whether_a_network_is_met_in_the_local_network_is_shown() -> None:
    catalog = Catalog().add_network(SavedNetwork("net-1", "home", signaling={"strategy": "none"}), activate=True)
    told = picture(seen(state=ClientState(is_met_locally=True), catalog=catalog))
    assert told["mesh"]["lan"] is True
    assert told["networks"]["net-1"]["only_lan"] is True
    told = picture(seen(catalog=Catalog().add_network(SavedNetwork("net-1", "home"), activate=True)))
    assert (told["mesh"]["lan"], told["networks"]["net-1"]["only_lan"]) == (False, False)


def test_who_is_pinned_for_questions_is_shown() -> None:
    state = ClientState(peers=(peer_entry(peer_info({"device_id": KEY, "status": "active"})),))
    hosts = [
        picture(seen(state=state, pins=pins))["peers"][KEY]["is_host"] for pins in ({}, {"tp": KEY}, {"text": KEY})
    ]
    assert hosts == [False, False, True]


def test_the_activity_shows_the_last_eighty_lines() -> None:
    lines = tuple((n, Diag(n, "info", str(n))) for n in range(100))
    assert list(picture(seen(diag=lines))["diag"]) == [str(n) for n in range(20, 100)]


def patched(state: JsonObject, patch: JsonObject) -> JsonObject:
    """As the page does it (`mesh.js`)."""
    following = dict(state)
    for name, value in patch.items():
        if name not in TABLES:
            following[name] = value
            continue
        rows = dict(state[name])
        for key, row in value.items():
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = {**rows.get(key, {}), **row}
        following[name] = rows
    return following


ROWS = st.fixed_dictionaries({"status": st.integers(0, 1), "rtt_ms": st.integers(0, 1)})
TABLE = st.dictionaries(st.sampled_from("abcd"), ROWS, max_size=4)
PICTURES = st.fixed_dictionaries({"headline": st.integers(0, 3), "peers": TABLE, "diag": TABLE})


@pytest.mark.heavy
@given(PICTURES, PICTURES, PICTURES)
def test_a_tab_that_missed_a_patch_sees_the_same_as_one_that_did_not(a: Any, b: Any, c: Any) -> None:
    first, second = patch_of(a, b), patch_of(b, c)
    assert patched(patched(a, first), second) == c
    assert patched(a, merged(first, second)) == c


def test_one_number_of_one_peer_of_two_hundred_is_all_that_is_told() -> None:
    rng = random.Random(1)
    rows = [{"device_id": f"{n:052d}", "status": "active", "rtt_ms": rng.randrange(99)} for n in range(200)]
    before = ClientState(peers=tuple(peer_entry(peer_info(row)) for row in rows))
    rows[7]["rtt_ms"] = 500
    after = replace(before, peers=tuple(peer_entry(peer_info(row)) for row in rows))
    patch = patch_of(picture(seen(state=before)), picture(seen(state=after)))
    assert patch == {"peers": {f"{7:052d}": {"rtt_ms": 500}}}
