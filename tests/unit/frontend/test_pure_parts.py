"""Lines, streams, ids, versions, health and the supervisor's file rules, each as statements about small values."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from mesh_common.answers import ClockSkew, HostedServer, HostedServers, StatusAnswer
from mesh_common.client import protocol
from mesh_common.client.errors import ControlError
from mesh_common.client.frames import StreamChunk, StreamEnd, parse_frame
from mesh_common.client.streams import StreamBook
from mesh_common.semver import SemVer
from mesh_common.versions import Reported
from mesh_common.views import CapabilityAdvert, PeerInfo, TwinRow
from myownllm import effects, headline, health, ids, phases
from myownllm.errors import HomeError, PeerSelectorError
from myownllm.headline import Known
from myownllm.home import SOCKET_PATH_MAX_BYTES, AppHome, check_socket_path
from myownllm.peers import peer_entry, peer_info
from myownllm.supervisor import binaries
from myownllm.supervisor.log import DaemonLog, TroubleLimit, clean
from myownllm.supervisor.spawning import quoted

if TYPE_CHECKING:
    from pathlib import Path

    from myownllm.peers import PeerEntry

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


# ── wire ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b""))), st.integers(1, 7))
def test_lines_come_out_as_they_went_in_however_they_are_cut(lines: list[bytes], step: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    buffer = protocol.LineBuffer()
    out: list[bytes] = []
    for i in range(0, len(data), step):
        out += buffer.feed(data[i : i + step])
    assert out == lines
    assert buffer.rest() == b""


def test_a_line_without_end_is_an_error_not_memory() -> None:
    buffer = protocol.LineBuffer(limit=100)
    buffer.feed(b"x" * 100)
    with pytest.raises(ControlError, match="no end"):
        buffer.feed(b"x")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"garbage", "protocol"),
        (b"[]", "protocol"),
        (b'{"ok":1}', "protocol"),
        (b"\xff", "protocol"),
        (b'{"ok":false}', "daemon_error"),
        (b'{"ok":false,"error":null}', "daemon_error"),
    ],
)
def test_answers_that_are_none(line: bytes, kind: str) -> None:
    with pytest.raises(ControlError) as raised:
        protocol.answer_data(line)
    assert raised.value.kind == kind


def test_missing_data_is_null_and_unknown_members_are_ignored() -> None:
    """FE-4.1, FE-4.5."""
    assert protocol.answer_data(b'{"ok":true}') is None
    assert protocol.answer_data(b'{"ok":true,"data":{"a":1},"more":2}') == {"a": 1}
    with pytest.raises(ControlError, match="no error"):
        protocol.answer_data(b'{"ok":false}')


def test_payloads_that_no_frame_can_carry_are_refused_before_anything_is_sent() -> None:
    """FE-4.15."""
    protocol.check_traffic({"payload": "x" * 63_998})
    for member in ("payload", "ok"):
        with pytest.raises(ControlError, match=r"payload too large for one mesh frame \(64001 bytes\)"):
            protocol.check_traffic({member: "x" * 63_999})
    with pytest.raises(ControlError, match="method name"):
        protocol.check_traffic({"method": "m" * 257})
    with pytest.raises(ControlError, match="not JSON"):
        protocol.request_line("rpc_call", {"payload": "\ud800"})


@given(JSON)
def test_any_json_is_a_frame_or_ignored(value: Any) -> None:
    parse_frame(value if isinstance(value, dict) else {"kind": value})


@given(st.sampled_from(["event", "lagged", "rpc_inbound", "rpc_call_stream_chunk", "rpc_call_stream_end",
                        "channel_inbound", "handler_displaced", "other"]), st.dictionaries(
    st.sampled_from(["network", "from", "request_id", "method", "payload", "streaming", "event", "skipped", "error",
                     "channel", "by"]), JSON))  # fmt: skip
def test_frames_of_every_kind_with_any_members_have_effects(kind: str, members: dict[str, Any]) -> None:
    frame = parse_frame({"kind": kind, **members})
    for quiet, name in itertools.product((True, False), ("", "x")):
        effects.frame_effects(frame, network="one", diag_quiet=quiet, serves=name.__eq__, listens=name.__eq__)


@given(st.dictionaries(st.sampled_from(["event_kind", "kind", "network_id", "device_id", "level", "ts", "detail",
                                        "message", "category", "prev", "next"]), JSON))  # fmt: skip
def test_events_with_any_members_have_effects(event: dict[str, Any]) -> None:
    frame = parse_frame({"kind": "event", "event": {**event, "network_id": "one"}})
    effects.frame_effects(frame, network="one", diag_quiet=False, serves=lambda _: True, listens=lambda _: True)


@given(st.dictionaries(st.text(), JSON), JSON)
def test_any_peer_record_can_be_shown(record: dict[str, Any], status: Any) -> None:
    peer_entry(peer_info({**record, "status": status, "capabilities": record})).to_json()


@given(st.text())
def test_any_phase_can_be_shown(word: str) -> None:
    phase = phases.from_daemon(word)
    assert phases.pill_text("home", phase)
    assert phases.status_of(phase) in ("off", "connecting", "online")


# ── streams ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Reader:
    """What a reader of a stream gets; it takes 256 pieces."""

    def __init__(self) -> None:
        self.pieces: list[Any] = []
        self.ending: list[ControlError | None] = []

    @property
    def full(self) -> bool:
        return len(self.pieces) == 256

    def put(self, item: Any, /) -> None:
        self.pieces.append(item)

    def end(self, error: ControlError | None = None, /) -> None:
        self.ending.append(error)


def chunk(n: int, request_id: str = "s") -> StreamChunk:
    return StreamChunk(request_id, n)


def test_frames_that_overtake_the_answer_come_first_and_in_order() -> None:
    """FE-5.27, FE-12.34."""
    book, reader = StreamBook(), Reader()
    book.receive(chunk(1), 0.0)
    book.receive(chunk(9, "other"), 0.0)
    book.register("s", reader, 1.0)
    book.receive(chunk(2), 1.0)
    book.receive(StreamEnd("s", None), 1.0)
    book.receive(chunk(3), 1.0)
    assert (reader.pieces, reader.ending) == ([1, 2], [None])


def test_early_frames_are_kept_five_seconds_and_256_at_most() -> None:
    """FE-5.27."""
    book, late, many = StreamBook(), Reader(), Reader()
    book.receive(chunk(1), 0.0)
    book.register("s", late, 5.1)
    assert late.pieces == []
    for n in range(300):
        book.receive(chunk(n, "t"), 10.0)
    book.register("t", many, 10.0)
    assert many.pieces == list(range(44, 300))


def test_a_slow_reader_loses_its_stream_not_the_memory() -> None:
    """FE-4.8."""
    book, reader = StreamBook(), Reader()
    book.register("s", reader, 0.0)
    for n in range(1000):
        book.receive(chunk(n), 0.0)
    assert [str(e) for e in reader.ending] == ["the reader of this stream is too slow"]
    assert len(reader.pieces) == 256


# ── ids ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def known(device: str, label: str) -> PeerEntry:
    return peer_entry(PeerInfo(device_id=device, status="active", label=label))


ANNA = known("abcd" + "a" * 48, "Anna")
ANTON = known("abce" + "b" * 48, "Anton")
TWIN = known("zzzz" + "c" * 48, "anton")


@pytest.mark.parametrize(
    "text",
    [
        ANNA.device_pubkey,
        f"{ANNA.device_pubkey}-{ids.device_suffix(ANNA.device_pubkey)}",
        ids.short_display(ANNA.device_pubkey, ids.device_suffix(ANNA.device_pubkey)),
        ids.short_display(ANNA.device_pubkey, ids.device_suffix(ANNA.device_pubkey)).replace("…", "..."),
        "abcda",
        "Anna",
        "anna",
        " Anna ",
    ],
)
def test_a_peer_may_be_named_in_every_way_that_a_screen_shows(text: str) -> None:
    assert ids.select_peer(text, [ANNA, ANTON, TWIN]) is ANNA


@pytest.mark.parametrize(
    ("advert", "shown"),
    [
        (CapabilityAdvert(extra={"label": "Study"}), "Study"),
        (CapabilityAdvert(extra={"label": "a\u202eb\n" + "x" * 300}), "ab" + "x" * 254),
        (CapabilityAdvert(extra={"label": ""}), "Laptop"),
        (CapabilityAdvert(extra={"label": 7}), "Laptop"),
        (CapabilityAdvert(extra=["label"]), "Laptop"),
        (None, "Laptop"),
    ],
)
def test_a_device_is_called_what_it_says_now_not_what_its_hello_said(
    advert: CapabilityAdvert | None, shown: str
) -> None:
    """FE-12.44: an approval stores the name of now."""
    peer = peer_entry(PeerInfo(device_id="a" * 52, status="active", label="Laptop", capabilities=advert))
    assert (peer.label, peer.announced_label) == (shown, shown)


def test_an_exact_label_wins_over_one_in_other_letters() -> None:
    assert ids.select_peer("anton", [ANNA, ANTON, TWIN]) is TWIN


@pytest.mark.parametrize(("text", "says"), [("ANTON", "means 2 devices"), ("nobody", "known here"), ("abc", "known")])
def test_what_names_no_single_peer_is_refused_with_the_choices(text: str, says: str) -> None:
    with pytest.raises(PeerSelectorError, match=says) as raised:
        ids.select_peer(text, [ANNA, ANTON, TWIN])
    assert "Anton" in str(raised.value)


def test_without_peers_the_refusal_says_so() -> None:
    with pytest.raises(PeerSelectorError, match="no device has been seen"):
        ids.select_peer("x", [])


# ── versions and binaries ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("source", "version", "fits"),
    [
        ("override", "0.0.1", True),
        ("bundled", "0.3.8", True),
        ("bundled", "0.3.7", False),
        ("path", "0.4.0", True),
        ("path", "0.3.7", False),
        ("development", "0.3.8", True),
        ("development", "0.4.0", False),
    ],
)
def test_only_versions_that_fit_the_pin_are_started(source: Any, version: str, fits: bool, tmp_path: Path) -> None:
    """FE-3.7."""
    candidate = binaries.Candidate(tmp_path / "myownmesh", source, "test")
    parsed = SemVer.parse(version)
    assert parsed is not None
    problem = binaries.version_problem(candidate, Reported(parsed), "v0.3.8")
    assert (problem is None) is fits
    if problem is not None:
        for part in (version, "v0.3.8", "MYOWNLLM_MESH_BIN", str(candidate.path)):
            assert part in problem


def test_overrides_come_first_and_each_file_counts_once(tmp_path: Path) -> None:
    """FE-3.5."""
    for name in ("app", "bin", "own"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "myownmesh").write_text("#!/bin/sh\n")
    (tmp_path / "link").symlink_to(tmp_path / "bin")
    environ = {
        "MYOWNLLM_MESH_BIN": str(tmp_path / "own" / "myownmesh"),
        "MYOWNMESH_BIN": str(tmp_path / "missing"),
        "PATH": f"{tmp_path}/link:{tmp_path}/bin:{tmp_path}/nowhere",
    }
    found = binaries.collect(environ, tmp_path / "app", None, "x86_64-unknown-linux-gnu")
    assert [(c.source, str(c.path.relative_to(tmp_path))) for c in found] == [
        ("override", "own/myownmesh"),
        ("override", "missing"),
        ("bundled", "app/myownmesh"),
        ("path", "link/myownmesh"),
    ]
    assert binaries.file_problem(found[1].path) == "does not exist"
    assert binaries.file_problem(found[2].path) == "is not executable"


# ── homes ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_daemon_never_shares_the_directory_of_the_apps_configuration(tmp_path: Path) -> None:
    """FE-1.1."""
    (tmp_path / "link").symlink_to(tmp_path)
    for own in (tmp_path, tmp_path / "link"):
        with pytest.raises(HomeError, match=r"config\.json"):
            AppHome.at(tmp_path, tmp_path / "shared", own)


def test_a_pinned_socket_is_found_where_it_is(tmp_path: Path) -> None:
    home = AppHome.from_environment({"MYOWNLLM_HOME": f" {tmp_path}/app ", "HOME": str(tmp_path)})
    assert home.own_socket == tmp_path / "app" / ".myownmesh" / "daemon.sock"
    home.prepare()
    (home.own_daemon / "config.json").write_text('{"daemon": {"control_socket": "/run/x.sock"}}')
    assert str(home.own_socket) == "/run/x.sock"
    assert home.shared_socket == tmp_path / ".myownmesh" / "daemon.sock"
    assert (
        AppHome.from_environment({"MYOWNMESH_HOME": "/m", "HOME": str(tmp_path)}).shared_socket.as_posix()
        == "/m/daemon.sock"
    )


@pytest.mark.parametrize(
    ("config", "is_pinned"),
    [
        ('{"version": 4, "daemon": {"control_socket": "/run/x.sock"}}', False),
        ('{"daemon": {"control_socket": "/run/x.sock"}, "daemon": 7}', False),
        ('{"daemon": {"control_socket": "/run/\\u0000"}}', False),
        ('{"daemon": {"control_socket": ""}}', False),
        ('\ufeff{"daemon": {"control_socket": "/run/x.sock"}}', True),
        ('{"daemon": {"control_socket": "/run/x.sock"}, "x": NaN}', False),
    ],
)
def test_the_app_reads_where_a_daemon_listens_as_every_client_does(
    tmp_path: Path, config: str, *, is_pinned: bool
) -> None:
    home = AppHome.from_environment({"MYOWNLLM_HOME": str(tmp_path / "app"), "HOME": str(tmp_path)})
    home.prepare()
    (home.own_daemon / "config.json").write_text(config)
    assert str(home.own_socket) == ("/run/x.sock" if is_pinned else str(home.own_daemon / "daemon.sock"))


def test_sockets_that_cannot_be_are_refused_in_time(tmp_path: Path) -> None:
    """FE-12.10, FE-12.11."""
    with pytest.raises(HomeError, match="MYOWNLLM_HOME"):
        check_socket_path(tmp_path / ("x" * SOCKET_PATH_MAX_BYTES))
    with pytest.raises(HomeError, match="is a directory"):
        check_socket_path(tmp_path)


# ── log ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_log_lines_are_clean_bounded_and_without_secrets(tmp_path: Path) -> None:
    """FE-12.54."""
    assert clean(b"\x1b[31mred\x1b[0m \x07bell") == "red �bell"
    assert "hunter2" not in clean(b'turn credential: "hunter2", token=hunter2 password = hunter2')
    assert len(clean(b"x" * 100_000)) == 8192
    log = DaemonLog(tmp_path / "daemon.log")
    log.feed(b"one\ntw")
    log.feed(b"o\nthree")
    log.flush()
    assert log.tail(2) == ["two", "three"]
    assert (tmp_path / "daemon.log").read_text() == "one\ntwo\nthree\n"
    DaemonLog(tmp_path).feed(b"a directory is no log file, and nobody minds\n")


# ── health ────────────────────────────────────────────────────────────────────────────────────────────────────────────

DEVICE = "a" * 51 + "q-0A1B2"
WELL = health.Facts(
    handle="Home",
    network_id="home",
    app_running=True,
    daemon=StatusAnswer("0.3.8", DEVICE, ("home",), home="/h"),
    pin="v0.3.8",
    phase="active",
    peers=(Known("active", "Pi", False),),
)


@pytest.mark.parametrize(
    ("changes", "stop"),
    [
        ({}, None),
        ({"phase": "alone", "peers": ()}, None),
        ({"home_problem": "cannot read"}, "home_unusable"),
        ({"network_id": None}, "no_active_network"),
        ({"daemon": None, "app_running": False, "daemon_binary": None}, "no_daemon_binary"),
        ({"daemon": None, "app_running": False, "daemon_binary": "/b"}, "daemon_not_running"),
        ({"daemon": None}, "daemon_not_running"),
        ({"daemon": None, "socket_problem": "too long"}, "socket_unusable"),
        ({"daemon": StatusAnswer("0.3.8", DEVICE)}, "network_not_joined"),
        ({"app_running": False}, "app_not_running"),
        ({"silent_app": 7}, "app_silent"),
        ({"silent_app": 7, "daemon": None}, "app_silent"),
        ({"phase": "joining"}, "still_joining"),
        ({"twin": TwinRow(proved=True, stands_aside=True)}, "identity_in_use"),
        ({"twin": TwinRow(proved=False, stands_aside=False), "phase": "joining"}, "identity_in_use"),
        ({"put_out": True}, "put_out"),
        ({"peers": (Known("handshaking", "Pi", True),)}, "peers_unreachable"),
        ({"peers": (Known("handshaking", "Pi", True), Known("active", "Pi", False))}, None),
    ],
)
def test_health_names_the_stop(changes: dict[str, Any], stop: str | None) -> None:

    findings = health.examine(attrs.evolve(WELL, **changes))
    stops = [f.name for f in findings if f.severity == "stop"]
    assert stops == ([] if stop is None else [stop])
    assert health.exit_status(findings) == (0 if stop is None else health.EXIT_CODES[stop])
    assert all(f.text for f in findings)


@pytest.mark.parametrize(
    ("hosted", "says"),
    [
        (HostedServers(), []),
        (HostedServers(signaling=HostedServer(False, False), stun=HostedServer(True, True)), []),
        (
            HostedServers(signaling=HostedServer(True, True, problem="the other relays cannot be reached")),
            ["the relay that this device hosts: the other relays cannot be reached"],
        ),
        (
            HostedServers(
                signaling=HostedServer(True, False), stun=HostedServer(True, False, error="port 3478 is taken")
            ),
            [
                "the relay that this device is to host does not run: the log says why",
                "the STUN server that this device is to host does not run: port 3478 is taken",
            ],
        ),
        (
            HostedServers(stun=HostedServer(True, False, "no address"), turn=HostedServer(True, False, "no address")),
            ["the TURN server that this device is to host does not run: no address"],
        ),
    ],
)
def test_health_says_what_others_miss_of_this_device(hosted: HostedServers, says: list[str]) -> None:
    findings = health.examine(attrs.evolve(WELL, hosted=hosted))
    assert [f.text for f in findings if f.name == "service_trouble"] == says
    assert health.exit_status(findings) == 0, "the mesh of this device is as well as before"


def test_the_seeds_symptom_has_a_name() -> None:

    facts = attrs.evolve(WELL, daemon=StatusAnswer("0.3.8", DEVICE))
    assert "healthy but has not joined 'Home'" in health.examine(facts)[0].text


@pytest.mark.parametrize(
    ("twin", "says"),
    [
        (TwinRow(proved=True, stands_aside=True), "was here first, so this one stands aside"),
        (TwinRow(proved=True, stands_aside=False), "another device uses this device's identity"),
        (TwinRow(proved=False, stands_aside=False), "or somebody pretends"),
    ],
)
def test_a_copied_home_is_named_with_what_to_do(twin: TwinRow, says: str) -> None:

    [stop, *_] = health.examine(attrs.evolve(WELL, twin=twin))
    assert stop.name == "identity_in_use"
    assert says in stop.text
    assert "move /h/.secrets/identity.json away" in stop.text


def test_a_daemon_that_tells_no_home_leaves_the_file_to_be_found() -> None:
    assert "`.secrets/identity.json` in the daemon's home" in headline.in_use(TwinRow(True, False), None)


def test_health_notes_what_is_worth_knowing() -> None:

    facts = attrs.evolve(
        WELL,
        daemon=StatusAnswer("0.3.7", DEVICE, ("home",)),
        peers=(Known("pending_approval", "Pi", False), Known("pending_remote", "Pi", False)),
    )
    names = [f.name for f in health.examine(facts)]
    assert names == ["daemon_older_than_pin", "waiting_for_approval", "waiting_for_remote", "healthy"]
    noted = health.examine(attrs.evolve(WELL, unkept="keep nobody out"))[0]
    assert (noted.severity, noted.text) == ("note", "settings of 'Home' keep nobody out")


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        (ClockSkew(600_000, "relays"), "clock is 10 minutes ahead, according to what its relays say"),
        (ClockSkew(-61_000, "peers"), "clock is 1 minute behind, according to the devices that it is"),
        (ClockSkew(5 * 3_600_000, "relays"), "clock is 5 hours ahead"),
        (ClockSkew(-365 * 86_400_000, "room"), "clock is 365 days behind, according to other devices in its"),
        (ClockSkew(120_000, "the stars"), "clock is 2 minutes ahead, according to what others say"),
        (ClockSkew(59_000, "relays"), None),
        (None, None),
    ],
)
def test_health_says_how_wrong_the_clock_is(clock: ClockSkew | None, said: str | None) -> None:

    assert WELL.daemon is not None
    findings = health.examine(attrs.evolve(WELL, daemon=structs.replace(WELL.daemon, clock=clock)))
    told = [f.text for f in findings if f.name == "clock_wrong"]
    assert len(told) == (said is not None)
    assert said is None or said in told[0]
    assert health.exit_status(findings) == 0


def test_warnings_of_the_daemon_reach_the_activity_log_ten_a_second() -> None:
    told: list[tuple[str, str]] = []
    now = [0.0]
    log = DaemonLog(None, TroubleLimit(lambda: now[0], lambda level, text: told.append((level, text))))
    log.feed(b"2026-11-24T07:29:30.738917Z  WARN relay down\n2026-11-24T07:29:31.0Z  INFO fine\n")
    log.feed(b"2026-11-24T07:29:30.738917Z ERROR myownmesh::core: broken\nplain WARN text\n")
    assert told == [("warn", "relay down"), ("error", "myownmesh::core: broken")]
    log.feed(b"2026-11-24T07:29:30Z  WARN again\n" * 20)
    assert len(told) == 10
    now[0] = 1.5
    log.feed(b"2026-11-24T07:29:32Z  WARN later\n")
    assert told[10:] == [("warn", "suppressed 12 lines"), ("warn", "later")]


LONG = "x" * 300


def test_paths_that_lead_nowhere_are_skipped_when_searched_and_told_when_asked_for(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    asked = {"MYOWNLLM_MESH_BIN": str(loop), "MYOWNMESH_BIN": f"/{LONG}"}
    searched = {"PATH": f"/{LONG}:{loop}:{loop}/deeper:{tmp_path}"}
    found = binaries.collect({**asked, **searched}, tmp_path / LONG, loop, "x86_64-unknown-linux-gnu")
    assert [candidate.origin for candidate in found] == ["$MYOWNLLM_MESH_BIN", "$MYOWNMESH_BIN"]
    problems = [binaries.file_problem(candidate.path) for candidate in found]
    assert problems == [
        "cannot be looked at (Too many levels of symbolic links)",
        "cannot be looked at (File name too long)",
    ]


def test_what_a_program_said_last_fits_a_screen() -> None:
    text = quoted(["x" * 8192] * 20)
    assert len(text) < 7000
    assert text.endswith("x…")
    assert quoted(["short"]) == "; it said last:\n    short"


def test_health_tells_which_addresses_were_not_offered_while_a_peer_is_not_connected() -> None:
    left_out = tuple(f"172.{n}.0.1 of docker{n}: virtual" for n in range(6))
    alone = attrs.evolve(WELL, peers=(Known("active", "Pi", False),), left_out=left_out)
    assert not [f for f in health.examine(alone) if f.name == "addresses_left_out"]
    missing = attrs.evolve(
        WELL, peers=(Known("active", "Pi", False), Known("connecting", "Pi", False)), left_out=left_out
    )
    [note] = [f for f in health.examine(missing) if f.name == "addresses_left_out"]
    assert "172.0.0.1 of docker0: virtual" in note.text
    assert note.text.endswith("and 2 more")
    assert health.exit_status(health.examine(missing)) == 0


def test_a_daemon_that_does_not_say_how_its_networks_are_is_not_healthy() -> None:
    [stop, *_] = health.examine(attrs.evolve(WELL, silence="timed out waiting for mesh daemon"))
    assert (stop.severity, stop.name) == ("stop", "socket_unusable")
    assert "timed out" in stop.text
