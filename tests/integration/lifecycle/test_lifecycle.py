"""Start, readiness, stop and everything that can go wrong with them, on real processes (spec 07 §10)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.lifecycle.process import PROGRAM, STOP_S, DaemonProcess
from myownmesh.daemon import needs
from support.examples import few
from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCAL: dict[str, Any] = {"signaling": {"strategy": "none"}, "stun_servers": [], "turn_servers": []}


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mesh") as directory:
        yield Path(directory) / "home"


def configure(home: Path, value: object) -> None:
    home.mkdir(mode=0o700)
    (home / "config.json").write_text(value if isinstance(value, str) else json.dumps(value))


def refused(home: Path) -> tuple[str, str]:
    """A start that must fail: the error on the readiness descriptor, and stderr."""
    with DaemonProcess(home) as daemon:
        line = daemon.ready()
        assert line["ready"] is False
        assert daemon.wait() == 1
        return line["error"], daemon.errors


def test_a_start_says_ready_when_status_answers_and_sigterm_ends_it(home: Path) -> None:
    with DaemonProcess(home) as daemon:
        line = daemon.ready()
        data = daemon.ask("status")["data"]
        assert line == {
            "ready": True,
            "pid": daemon.process.pid,
            "version": "0.3.8",
            "socket": str(daemon.socket_path),
            "instance": data["instance"],
        }
        assert re.fullmatch("[0-9a-f]{16}", line["instance"])
        assert data["home"] == str(home)
        assert data["pid"] == daemon.process.pid
        assert stat.S_IMODE(daemon.socket_path.stat().st_mode) == 0o600
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        code, seconds = daemon.stop()
        assert (code, seconds < STOP_S) == (0, True)
        assert not daemon.socket_path.exists()


def test_a_relative_home_is_told_as_a_place_that_others_can_find(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(exist_ok=True)
    monkeypatch.chdir(home.parent)
    with DaemonProcess(home, environ={"MYOWNMESH_HOME": home.name}) as daemon:
        assert daemon.ready()["socket"] == str(home / "daemon.sock")
        assert daemon.ask("status")["data"]["home"] == str(home)


def test_configured_networks_are_listed_as_soon_as_somebody_can_connect(home: Path) -> None:
    networks = [{"id": f"n{n}", "network_id": f"net-{n}", **LOCAL} for n in range(5)]
    networks.append({"id": "n0", "network_id": "other", **LOCAL})  # the id is taken: skipped
    networks.append({"id": "bad", "network_id": "a b", **LOCAL})  # cannot be joined: logged
    configure(home, {"networks": networks})
    with DaemonProcess(home) as daemon:
        daemon.ready()
        assert daemon.ask("status")["data"]["joined_networks"] == [f"net-{n}" for n in range(5)]
        code, seconds = daemon.stop(signal.SIGINT)
        assert (code, seconds < STOP_S) == (0, True)
        assert "network n0: skipped" in daemon.errors
        assert "network bad: " in daemon.errors


def test_a_pure_infrastructure_node_joins_nothing(home: Path) -> None:
    configure(home, {"services": {"node": {"enabled": False}}, "networks": [{"id": "a", "network_id": "abc", **LOCAL}]})
    with DaemonProcess(home) as daemon:
        daemon.ready()
        assert daemon.ask("status")["data"]["joined_networks"] == []


def test_a_second_daemon_is_told_who_is_there_and_the_first_one_minds_nothing(home: Path) -> None:
    with DaemonProcess(home) as first:
        first.ready()
        error, stderr = refused(home)
        assert f"process {first.process.pid}" in error
        assert str(first.socket_path) in error
        assert stderr.endswith(f"error: {error}\n")
        assert first.ask("status")["ok"] is True


def test_a_killed_daemon_leaves_nothing_that_stops_the_next(home: Path) -> None:
    with DaemonProcess(home) as first:
        device = first.ready() and first.ask("status")["data"]["device_id"]
        first.ask("network_add", config={"id": "a", "network_id": "abc", **LOCAL})
        assert first.stop(signal.SIGKILL)[0] == -signal.SIGKILL
        assert first.socket_path.exists()
    with DaemonProcess(home) as second:
        second.ready()
        data = second.ask("status")["data"]
        assert data["device_id"] == device
        assert data["joined_networks"] == ["abc"]


def test_a_stale_socket_is_cleaned_and_a_living_one_never_stolen(home: Path) -> None:
    """FE-3.14, FE-12.9."""
    configure(home, {})
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(home / "daemon.sock"))
        other.listen()
        error, _ = refused(home)
        assert "another daemon answers" in error
        assert (home / "daemon.sock").exists()
    with DaemonProcess(home) as daemon:
        assert daemon.ready()["ready"] is True


def test_a_corrupt_config_is_set_aside_and_said(home: Path) -> None:
    configure(home, '{"version":3,')
    with DaemonProcess(home) as daemon:
        daemon.ready()
        assert (home / "config.json.corrupt").read_text() == '{"version":3,'
        assert daemon.stop()[0] == 0
        assert "config.json.corrupt" in daemon.errors
        assert not (home / "config.json").exists()


def test_one_bad_network_costs_no_other(home: Path) -> None:
    configure(home, {"networks": [{"id": "bad"}, {"id": "good", "network_id": "good", **LOCAL}]})
    with DaemonProcess(home) as daemon:
        daemon.ready()
        assert daemon.ask("status")["data"]["joined_networks"] == ["good"]
        assert daemon.stop()[0] == 0
        assert "networks[0]: missing field `network_id`" in daemon.errors
    assert (home / "config.json.corrupt").exists()
    assert "bad" in (home / "config.json").read_text()  # nothing was saved, so nothing is lost


REFUSALS = [case for case in load("control-socket", "cli") if case["argv"] == ["serve"]]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case["given"])
def test_a_start_that_fails_says_why_in_the_references_words(home: Path, case: dict[str, Any]) -> None:
    configure(home, '{"version":4}' if "version 4" in case["given"] else "{}")
    if "identity" in case["given"]:
        (home / ".secrets").mkdir()
        (home / ".secrets" / "identity.json").write_text("{")
    error, stderr = refused(home)
    expected = case["stderr"].replace("<data_dir>", str(home))
    assert stderr.endswith(expected)
    assert f"error: {error}\n" == expected
    assert not (home / "config.json.corrupt").exists()


@pytest.mark.parametrize(
    ("pin", "text"),
    [
        ("{home}/" + "x" * 120, "too long"),
        ("{home}/config.json/d.sock", "cannot be made"),
        ("{home}/.secrets", "a directory of that name"),
    ],
)
def test_a_socket_that_cannot_be_is_fatal_and_explained(home: Path, pin: str, text: str) -> None:
    configure(home, {"daemon": {"control_socket": pin.format(home=home)}})
    error, _ = refused(home)
    assert text in error


def test_a_directory_that_cannot_be_written_is_fatal_and_named(home: Path) -> None:
    home.write_text("a file where the directory should be")
    error, _ = refused(home)
    assert str(home) in error


def test_the_end_of_the_lifeline_is_a_graceful_stop(home: Path) -> None:
    with DaemonProcess(home, lifeline=True) as daemon:
        daemon.ready()
        assert daemon.lifeline is not None
        os.write(daemon.lifeline, b"ignored")
        os.close(daemon.lifeline)
        daemon.lifeline = None
        started = time.monotonic()
        assert daemon.wait() == 0
        assert time.monotonic() - started < STOP_S
        assert not daemon.socket_path.exists()


def test_senseless_descriptors_are_warnings(home: Path) -> None:
    with DaemonProcess(home, environ={"MYOWNMESH_LIFELINE_FD": "98"}) as daemon:
        assert daemon.ready()["ready"] is True
        assert daemon.stop()[0] == 0
        assert daemon.errors.count("MYOWNMESH_LIFELINE_FD") == 1


def test_systemd_is_told_of_start_and_stop(home: Path) -> None:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(f"{directory}/notify")
        notified.settimeout(20)
        with DaemonProcess(home, environ={"NOTIFY_SOCKET": f"{directory}/notify"}) as daemon:
            assert notified.recv(64) == b"READY=1"
            assert daemon.ask("status")["ok"] is True
            daemon.process.terminate()
            assert notified.recv(64) == b"STOPPING=1"
            assert daemon.wait() == 0


def test_an_open_connection_is_served_while_the_daemon_leaves(home: Path) -> None:
    configure(home, {"networks": [{"id": "a", "network_id": "abc", **LOCAL}]})
    with DaemonProcess(home) as daemon:
        daemon.ready()
        with socket.socket(socket.AF_UNIX) as open_one:
            open_one.settimeout(5)
            open_one.connect(str(daemon.socket_path))
            open_one.sendall(b'{"op":"status"}\n')
            assert open_one.recv(65536)
            daemon.process.terminate()
            while daemon.socket_path.exists():
                time.sleep(0.005)
            open_one.sendall(b'{"op":"status"}\n')
            assert open_one.recv(65536)
            assert daemon.wait() == 0


def test_a_link_at_the_default_place_on_request(home: Path) -> None:
    configure(home, {"daemon": {"also_default_socket": True}})
    with DaemonProcess(home, environ={"HOME": str(home.parent)}) as daemon:
        daemon.ready()
        link = home.parent / ".myownmesh" / "daemon.sock"
        assert link.readlink() == daemon.socket_path
        assert daemon.stop()[0] == 0
        assert not link.is_symlink()


def test_a_second_signal_ends_at_once(home: Path) -> None:
    configure(home, {"networks": [{"id": "a", "network_id": "abc", **LOCAL}]})
    with DaemonProcess(home) as daemon:
        daemon.ready()
        daemon.process.terminate()
        while daemon.socket_path.exists():  # the first one has arrived; leaving takes 250 ms
            time.sleep(0.002)
        daemon.process.terminate()
        assert daemon.wait() == 128 + signal.SIGTERM


def test_hangup_keeps_its_default_action(home: Path) -> None:
    with DaemonProcess(home) as daemon:
        daemon.ready()
        assert daemon.stop(signal.SIGHUP)[0] == -signal.SIGHUP


def test_files_stay_whole_when_the_disk_is_full(home: Path) -> None:
    """A save that fails is told to the client; the file on disk is the old one."""
    configure(home, {"networks": [{"id": "a", "network_id": "abc", **LOCAL}]})
    with DaemonProcess(home) as daemon:
        daemon.ready()
        before = (home / "config.json").read_text()
        # A limit on file size is the full disk that needs no privileges; Python ignores its signal.
        subprocess.run(["prlimit", f"--pid={daemon.process.pid}", "--fsize=16:16"], check=True)
        answer = daemon.ask("network_add", config={"id": "b", "network_id": "abd", **LOCAL})
        assert answer["ok"] is False
        assert answer["error"].startswith("network joined but config.json save failed: config: write ")
        assert "File too large (os error 27)" in answer["error"]
        assert (home / "config.json").read_text() == before
        assert sorted(entry.name for entry in home.iterdir() if entry.name.endswith(".tmp")) == []
        assert daemon.ask("status")["data"]["joined_networks"] == ["abc", "abd"]


def test_clients_that_take_every_descriptor_do_not_end_the_daemon(home: Path) -> None:
    with DaemonProcess(home) as daemon:
        daemon.ready()
        # Before WebRTC is loaded, which needs some.
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (32, 32))
        with contextlib.ExitStack() as greedy:
            for _ in range(64):
                client = greedy.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(str(daemon.socket_path))
            time.sleep(1)
        assert daemon.ask("status")["ok"]
        assert daemon.stop()[0] == 0


def test_json_logs_are_json_and_nothing_goes_to_stdout(home: Path) -> None:
    with DaemonProcess(home, environ={"MYOWNMESH_LOG_FORMAT": "json"}) as daemon:
        daemon.ready()
        assert daemon.stop()[0] == 0
        levels = {json.loads(line)["level"] for line in daemon.errors.splitlines()}
        assert levels == {"INFO"}


def test_a_reader_of_stderr_that_sleeps_does_not_stop_the_daemon(home: Path) -> None:
    configure(home, {"networks": [{"id": f"n{n}", "network_id": f"net-{n}", **LOCAL} for n in range(5)]})
    unread, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(write_end, True)
    with subprocess.Popen(
        [PROGRAM, "serve"],
        env={**os.environ, "MYOWNMESH_HOME": str(home), "MYOWNMESH_LOG": "trace"},
        stderr=write_end,
    ) as process:
        os.close(write_end)
        while not (home / "daemon.sock").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        assert process.wait(STOP_S) == 0
    os.close(unread)


def test_a_closed_stderr_is_no_obstacle(home: Path) -> None:
    command = f"exec '{PROGRAM}' serve 2>&-"
    with subprocess.Popen(["sh", "-c", command], env={**os.environ, "MYOWNMESH_HOME": str(home)}) as process:
        while not (home / "daemon.sock").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        assert process.wait(STOP_S) == 0


@pytest.mark.parametrize("library", ["nacl", *needs.MODULES, "msgspec"])
def test_a_missing_library_is_named_with_the_way_out(home: Path, library: str) -> None:
    """It says so on every channel, and has written nothing: no identity of a daemon that never ran."""
    code = f"import sys; sys.modules[{library!r}] = None; from myownmesh.cli import main; sys.exit(main(['serve']))"
    reader, writer = os.pipe()
    done = subprocess.run(
        [PROGRAM.with_name("python"), "-c", code],
        env={**os.environ, "MYOWNMESH_HOME": str(home), "MYOWNMESH_READY_FD": str(writer)},
        pass_fds=[writer],
        capture_output=True,
        encoding="utf-8",
        timeout=20,
        check=False,
    )
    os.close(writer)
    with open(reader, "rb") as pipe:  # noqa: PTH123 - a descriptor
        told = json.loads(pipe.read())
    assert done.returncode == 1
    assert library in done.stderr
    python = PROGRAM.with_name("python")
    assert done.stderr.endswith(f"the daemon needs more: {python} -m pip install 'myownllm-mesh[daemon]'\n")
    assert "Traceback" not in done.stderr
    assert (told["ready"], told["cannot_serve"]) == (False, True)
    assert not list(home.rglob("identity*"))
    assert library not in needs.MODULES or not home.exists()


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["--version", "--json"]])
@pytest.mark.parametrize("library", few(needs.MODULES, every=3))
def test_without_a_library_it_is_no_daemon(library: str, arguments: list[str]) -> None:
    """Whoever probes takes an answer for the promise to serve (spec 09 §3.1)."""
    code = f"import sys; sys.modules[{library!r}] = None; from myownmesh.cli import main; sys.exit(main({arguments}))"
    done = subprocess.run(
        [PROGRAM.with_name("python"), "-c", code], capture_output=True, encoding="utf-8", timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: this installation cannot serve: {library} has not been installed; ")


def test_a_bug_at_start_is_told_to_the_supervisor_and_keeps_its_traceback(home: Path) -> None:
    reader, writer = os.pipe()
    code = (
        "import sys, myownmesh.daemon.node as n; n.Node.__init__ = lambda self, **k: 1 / 0;"
        "from myownmesh.cli import main; sys.exit(main(['serve']))"
    )
    done = subprocess.run(
        [PROGRAM.with_name("python"), "-c", code],
        env={**os.environ, "MYOWNMESH_HOME": str(home), "MYOWNMESH_READY_FD": str(writer)},
        pass_fds=[writer],
        capture_output=True,
        encoding="utf-8",
        timeout=20,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert json.loads(os.read(reader, 4096)) == {
        "ready": False,
        "error": "internal error: ZeroDivisionError('division by zero')",
    }
    os.close(reader)


def test_version_is_exact_and_needs_no_home() -> None:
    done = subprocess.run([PROGRAM, "--version"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"myownmesh 0.3.8\n", b"")


@pytest.mark.parametrize("argv", [["--version"], ["-V"], ["ctl", "status"]])
def test_common_commands_do_not_load_the_daemon(argv: list[str], home: Path) -> None:
    """Start-up time is a promise; what breaks it is an import."""
    code = (
        "import sys; from myownmesh.cli import main; main(sys.argv[1:]); "
        "heavy = {'trio', 'attr', 'msgspec', 'asyncio', 'nacl', 'pydantic', 'rich'} & set(sys.modules); "
        "light = {'typer', 'json'} & set(sys.modules) if sys.argv[1].startswith('-') else set(); "
        "sys.exit(str(heavy | light) if heavy | light else 0)"
    )
    done = subprocess.run(
        [PROGRAM.with_name("python"), "-c", code, *argv],
        env={"MYOWNMESH_HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_start_waits_for_nothing_that_its_first_answers_do_not_need(home: Path) -> None:
    """Who is in no network yet has the socket before anything is loaded that decides in one."""
    code = (
        "import os, sys; from myownmesh.daemon.supervision import Supervision\n"
        "rooms = ('governance', 'invitations', 'custody', 'engine.core', 'sealing.desk', 'flight')\n"
        "late = {'aiortc', *(f'myownmesh.{room}' for room in rooms)}\n"
        "early = lambda: sorted(late & {*sys.modules})\n"
        "Supervision.ready = lambda self, **told: (print(early(), flush=True), os._exit(0))\n"
        "from myownmesh.cli import main; main(['serve'])"
    )
    done = subprocess.run(
        [PROGRAM.with_name("python"), "-c", code],
        env={"MYOWNMESH_HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_addresses_of_a_hand_edited_file_are_told_skipped_and_kept(home: Path) -> None:
    servers = ["", " ws://127.0.0.1:9", "ws://127.0.0.1:9", "WS://127.0.0.1:9/"]
    record = {"id": "a", "network_id": "abc", "signaling": {"servers": servers, "public_fallback": False}}
    stun = [{"urls": ["stun://odd", "stuns:odd"]}]
    configure(home, {"networks": [{**record, "stun_servers": stun, "turn_servers": []}]})
    with DaemonProcess(home) as daemon:
        daemon.ready()
        while True:  # the relays are dialled when WebRTC is loaded
            (network,) = daemon.ask("networks_list")["data"]["networks"]
            kinds = {relay["url"]: (relay["reason"] or {}).get("kind") for relay in network["relays"]}
            assert len(kinds) == 3, "two spellings of one relay are one"
            if all(kinds.values()):
                break
            time.sleep(0.05)
        assert sorted(kinds.values()) == ["address", "address", "unreachable"]
        assert kinds[""] == kinds[" ws://127.0.0.1:9"] == "address"
        assert daemon.ask("topology_set", network="a", topology="full_mesh")["ok"]
        changed = {**record, "label": "new", "stun_servers": stun, "turn_servers": []}
        assert daemon.ask("network_update", config=changed)["ok"], "what was there is no obstacle"
        assert daemon.stop()[0] == 0
    (stored,) = json.loads((home / "config.json").read_text())["networks"]
    assert (stored["signaling"]["servers"], stored["stun_servers"], stored["label"]) == (servers, stun, "new")
    for address in ("''", "' ws://127.0.0.1:9'", "'stun://odd'", "'stuns:odd'"):
        assert f"{address} is no" in daemon.errors
