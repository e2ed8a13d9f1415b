"""Installing, asking and removing, beside programs that a test answers for (spec 07 §7)."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import define, field

from mesh_common.tools import Ended
from myownmesh.background import launchd, program, systemd
from myownmesh.background.launchd import Launchd
from myownmesh.background.service import Service
from myownmesh.background.systemd import Systemd
from myownmesh.background.tools import PATIENCE_S, ServiceError, run
from myownmesh.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICE = Service(("/opt/myownmesh", "serve"), {}, system=False)
OTHER = Service(("/opt/myownmesh-2", "serve"), {}, system=False)
USER = getpass.getuser()


@define
class Tools:
    """The system's programs: what they were asked, and how they end."""

    answers: dict[str, Ended] = field(factory=dict)
    """By the beginning of a command line; everything else succeeds in silence."""
    asked: list[str] = field(factory=list)

    def __call__(self, *words: str) -> Ended:
        line = " ".join(words)
        self.asked.append(line)
        return next((ran for begin, ran in self.answers.items() if line.startswith(begin)), Ended(0))

    def changes(self) -> list[str]:
        """What of it was no question; forgotten then."""
        asked, self.asked = self.asked, []
        return [
            line
            for line in asked
            if not any(word in line for word in ("is-enabled", "is-active", "launchctl list", "show-environment"))
        ]


RUNS = {"systemctl --user is-enabled": Ended(0, "enabled"), "systemctl --user is-active": Ended(0, "active")}


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    monkeypatch.setattr(systemd, "LINGERING", tmp_path / "linger")
    return Tools(dict(RUNS))


def test_a_second_installation_changes_nothing(tools: Tools, tmp_path: Path) -> None:
    manager = Systemd(tools, system=False, home=tmp_path)
    assert not manager.is_installed
    assert manager.install(SERVICE)
    assert manager.file == tmp_path / ".config/systemd/user/myownmesh.service"
    assert tools.changes() == [
        f"loginctl enable-linger {USER}",
        "systemctl --user daemon-reload",
        "systemctl --user enable --now myownmesh",
    ]
    before = manager.file.stat()
    (tmp_path / "linger").mkdir()
    (tmp_path / "linger" / USER).touch()
    assert not manager.install(SERVICE)
    assert tools.changes() == []
    assert manager.file.stat() == before


def test_one_that_does_not_run_is_started_and_a_new_text_restarts_it(tools: Tools, tmp_path: Path) -> None:
    manager = Systemd(tools, system=False, home=tmp_path)
    manager.install(SERVICE)
    tools.changes()
    tools.answers["systemctl --user is-active"] = Ended(3, "inactive")
    assert manager.words() == ("enabled", "inactive")
    assert manager.install(SERVICE)
    assert tools.changes() == ["systemctl --user enable --now myownmesh"]
    assert manager.install(OTHER)
    assert tools.changes() == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now myownmesh",
        "systemctl --user restart myownmesh",
    ]


def test_a_new_program_under_the_old_name_restarts_it(tools: Tools, tmp_path: Path) -> None:
    manager = Systemd(tools, system=False, home=tmp_path)
    manager.install(SERVICE)
    tools.changes()
    assert manager.install(SERVICE, replaced=True)
    assert tools.changes() == ["systemctl --user enable --now myownmesh", "systemctl --user restart myownmesh"]


@pytest.mark.parametrize("did_linger", [True, False])
def test_an_uninstallation_leaves_nothing_and_takes_back_what_was_ours(
    tools: Tools, tmp_path: Path, did_linger: bool
) -> None:
    if did_linger:
        (tmp_path / "linger").mkdir()
        (tmp_path / "linger" / USER).touch()
    manager = Systemd(tools, system=False, home=tmp_path)
    manager.install(SERVICE)
    tools.changes()
    manager.uninstall()
    assert not manager.is_installed
    assert tools.changes() == [
        "systemctl --user disable --now myownmesh",
        "systemctl --user daemon-reload",
        "systemctl --user reset-failed myownmesh",
        *([] if did_linger else [f"loginctl disable-linger {USER}"]),
    ]


def test_a_manager_that_lingering_starts_is_waited_for(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "MANAGER_LOOK_S", 0)
    asks = iter([Ended(1), Ended(1), Ended(0)])

    def answer(*words: str) -> Ended:
        return next(asks) if "show-environment" in words else tools(*words)

    assert Systemd(answer, system=False, home=tmp_path).install(SERVICE)
    assert next(asks, None) is None
    monkeypatch.setattr(systemd, "MANAGER_S", 0)
    tools.answers["systemctl --user show-environment"] = Ended(1)  # it never answers: what fails then is told
    tools.answers["systemctl --user daemon-reload"] = Ended(1, "", "Failed to connect to bus")
    with pytest.raises(ServiceError, match="Failed to connect to bus"):
        Systemd(tools, system=False, home=tmp_path / "ben").install(SERVICE)


def test_lingering_that_cannot_be_had_keeps_nothing_from_being_installed(tools: Tools, tmp_path: Path) -> None:
    tools.answers["loginctl"] = Ended(1, "", "no bus")
    manager = Systemd(tools, system=False, home=tmp_path)
    assert manager.install(SERVICE)
    assert "lingering" not in manager.file.read_text()


def test_what_systemd_says_of_a_failure_is_told(tools: Tools, tmp_path: Path) -> None:
    tools.answers["systemctl --user enable"] = Ended(1, "", "Job for myownmesh.service failed")
    manager = Systemd(tools, system=False, home=tmp_path)
    with pytest.raises(ServiceError, match="enable --now myownmesh`: Job for myownmesh"):
        manager.install(SERVICE)
    tools.answers.clear()
    tools.answers["systemctl --user"] = Ended(4)
    with pytest.raises(ServiceError, match="`systemctl --user stop myownmesh`: ended with status 4"):
        manager.act("stop")


def test_the_machines_unit_has_places_of_its_own(tools: Tools, tmp_path: Path) -> None:
    manager = Systemd(tools, system=True, home=tmp_path)
    assert manager.file == Path("/etc/systemd/system/myownmesh.service")
    assert manager.state == Path("/var/lib/myownmesh")
    assert manager.logs == ("journalctl", "-u", "myownmesh")
    manager.act("restart")
    assert tools.changes() == ["systemctl restart myownmesh"]


@define
class Launchctl(Tools):
    """launchd, which does what it is asked a while after `launchctl` has ended."""

    is_loaded: bool = False
    runs: bool = False
    is_ending: bool = False
    looks_until_it_ends: int = 0
    refuses: bool = False

    def __call__(self, *words: str) -> Ended:
        ended = super().__call__(*words)
        match words[1]:
            case "list":
                return self._listed()
            case "load" if self.refuses or self.is_loaded:
                return Ended(0, "", "Load failed: 5: Input/output error")
            case "load":
                self.is_loaded = self.runs = True
            case "unload" | "stop":
                self.is_ending, self.looks_until_it_ends = self.runs, 3
                self._is_unloading = words[1] == "unload"
            case "start":
                self.runs = True
        return ended

    _is_unloading: bool = False

    def _listed(self) -> Ended:
        if self.is_ending:
            self.looks_until_it_ends -= 1
            if not self.looks_until_it_ends:
                self.is_ending = self.runs = False
                self.is_loaded = not self._is_unloading
        if not self.is_loaded:
            return Ended(113)
        return Ended(0, '{\n\t"PID" = 4711;\n}' if self.runs else "{\n}")


@pytest.mark.parametrize("system", [True, False])
def test_a_job_of_launchd(tmp_path: Path, system: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchd, "LOOK_S", 0)
    tools = Launchctl()
    manager = Launchd(tools, system=system, home=tmp_path / "ann", root=tmp_path)
    assert manager.words() == ("not loaded", "stopped")
    assert manager.install(SERVICE)
    where = tmp_path / "Library/LaunchDaemons" if system else tmp_path / "ann/Library/LaunchAgents"
    assert manager.file == where / "com.myownmesh.daemon.plist"
    assert tools.changes() == [f"launchctl load -w {manager.file}"]
    assert manager.state is None or manager.state.is_dir()
    assert manager.words() == ("loaded", "running")
    assert not manager.install(SERVICE)
    assert tools.changes() == []
    assert manager.install(OTHER)
    assert tools.changes() == [f"launchctl unload -w {manager.file}", f"launchctl load -w {manager.file}"]
    assert manager.words() == ("loaded", "running")
    manager.act("restart")
    assert tools.changes() == ["launchctl stop com.myownmesh.daemon", "launchctl start com.myownmesh.daemon"]
    assert manager.words() == ("loaded", "running"), "it is started when it has ended, and not before"
    manager.act("start")
    assert tools.changes() == ["launchctl start com.myownmesh.daemon"]
    manager.uninstall()
    assert tools.changes() == [f"launchctl unload -w {manager.file}"]
    assert not manager.is_installed


def test_a_job_that_launchd_does_not_load_is_told_though_its_command_ends_well(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"launchctl load -w .*: Load failed: 5"):
        Launchd(Launchctl(refuses=True), system=False, home=tmp_path).install(SERVICE)


def test_a_job_that_does_not_end_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchd, "END_S", 0)
    tools = Launchctl(is_loaded=True, runs=True)
    Launchd(tools, system=False, home=tmp_path).act("restart")
    assert tools.changes() == ["launchctl stop com.myownmesh.daemon", "launchctl start com.myownmesh.daemon"]


def test_a_copy_is_made_once_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "lib" / "myownmesh" / "myownmesh"
    monkeypatch.setattr(program, "SYSTEM_COPY", copy)
    single = tmp_path / "myownmesh"
    single.write_bytes(b"#!")
    assert program.place_copy(single)
    assert not program.place_copy(single)
    assert copy.stat().st_mode & 0o777 == 0o755
    program.remove_copy()
    assert not copy.parent.exists()
    program.remove_copy()


def test_programs_of_the_system_are_run_where_they_are() -> None:
    wanted = {path: program.wants_copy(Path(path)) for path in ("/usr/bin/m", "/opt/m", "/sbin/m", "/srv/m", "/home/m")}
    assert wanted == {"/usr/bin/m": False, "/opt/m": False, "/sbin/m": False, "/srv/m": True, "/home/m": True}


@pytest.mark.parametrize("path", ["/root/venv/bin/myownmesh", "/home/ann", "/tmp/x", "/nowhere/at/all"])
def test_what_a_user_of_its_own_cannot_run_is_named(path: str) -> None:
    assert program.out_of_reach([Path("/usr"), Path(path)]) == Path(path)


def test_what_everybody_can_run_is_fine() -> None:
    assert program.out_of_reach([Path("/usr/bin"), Path("/usr")]) is None


def test_a_program_that_is_not_here_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceError, match="systemctl-of-nobody is not on this machine"):
        run("systemctl-of-nobody", "status")
    assert run(sys.executable, "-c", "print(' said '); import sys; sys.exit(3)") == Ended(3, "said")
    assert PATIENCE_S > 90  # what systemd waits for a start
    monkeypatch.setattr("myownmesh.background.tools.PATIENCE_S", 0.05)
    with pytest.raises(ServiceError, match="has not ended within 0 s"):
        run(sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def command(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`myownmesh service …` of somebody who is not root, beside those tools."""
    monkeypatch.setattr("myownmesh.cli.service.run", tools)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MYOWNMESH_HOME", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return lambda *words: main(["service", *words])


def test_a_person_installs_looks_and_removes(
    command: Callable[..., int], tools: Tools, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / ".config/systemd/user/myownmesh.service"
    assert command("status") == 0
    assert capfd.readouterr().out == (
        "MyOwnMesh (user service)\n  status:  not installed\n  install: myownmesh service install\n"
    )
    for verb in ("start", "stop", "restart", "logs"):
        assert command(verb) == 1
        assert "not installed" in capfd.readouterr().err
    assert command("uninstall") == 0
    assert "nothing was changed" in capfd.readouterr().out
    shown = (
        "MyOwnMesh (user service)\n"
        f"  unit:    {file}\n"
        "  enabled: enabled\n  active:  active\n  logs:    journalctl --user -u myownmesh\n"
    )
    assert command("install", "--log", "debug") == 0
    assert capfd.readouterr().out == shown
    assert "Environment=MYOWNMESH_LOG=debug\n" in file.read_text()
    assert command("install", "--log", "debug") == 0
    assert capfd.readouterr().out == "It is installed and runs; nothing was changed.\n" + shown
    assert command("status") == 0
    assert capfd.readouterr().out == shown
    tools.changes()
    for verb in ("start", "stop", "restart"):
        assert command(verb) == 0
    assert tools.changes() == [f"systemctl --user {verb} myownmesh" for verb in ("start", "stop", "restart")]
    capfd.readouterr()
    assert command("uninstall") == 0
    assert "kept in ~/.myownmesh" in capfd.readouterr().out
    assert not file.exists()


@pytest.mark.parametrize("words", [("--system", "install"), ("install", "--system"), ("stop", "--system")])
def test_the_machines_service_is_roots(
    command: Callable[..., int], words: tuple[str, ...], tools: Tools, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(*words) == 1
    assert "sudo" in capfd.readouterr().err
    assert tools.asked == []


def test_whoever_is_not_root_may_look(command: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    assert command("--system", "status") == 0
    assert "(system service)" in capfd.readouterr().out


def test_a_group_without_an_action_explains_itself(command: Callable[..., int]) -> None:
    assert command() == 2
