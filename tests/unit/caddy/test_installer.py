"""The steps in their order, on machines that a test makes up; the real ones are in tests/integration/caddy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from mesh_common.tools import Ended
from myownmesh.caddy import machine as machines
from myownmesh.caddy.caddyfile import managed, merged
from myownmesh.caddy.installer import Installer
from myownmesh.caddy.machine import MANAGERS, MODULE, RELOAD_S, RESTART_S, Machine, admin_address, default_file
from myownmesh.caddy.plan import Wanted
from myownmesh.caddy.swap import Swap
from myownmesh.caddy.tools import CaddyError, TimedOut
from myownmesh.store.services_config import ServicesConfig
from unit.caddy.box import Box

if TYPE_CHECKING:
    from pathlib import Path

PLAN = Wanted("mesh.example", "turn.mesh.example", "203.0.113.7")
RELAY = Wanted("mesh.example", None)
MODULES = Ended(0, "admin.api.load\nlayer4\nhttp")
OWN = "other.example {\n\trespond 200\n}\n"


class Hosted:
    """What the device hosts."""

    def __init__(self) -> None:
        self.now = ServicesConfig()

    def read(self) -> ServicesConfig:
        return self.now

    def write(self, services: ServicesConfig) -> str:
        self.now = services
        return "written"


class Bench:
    """One machine with a Caddyfile, and runs on it. systemd has Caddy."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
        self.file = folder / "Caddyfile"
        monkeypatch.setattr(machines, "LINUX_FILE", self.file)
        monkeypatch.setattr(machines, "SYSTEMD", folder)
        monkeypatch.setattr(machines.sys, "platform", "linux")
        self.box = Box("systemctl", *(programs or ("caddy",)))
        self.box.answers |= {"caddy version": Ended(0, "v2"), "caddy list-modules": MODULES}
        self.services = Hosted()

    def run(self, plan: Wanted = PLAN, *, dry_run: bool = False) -> dict[str, str]:
        """Outcomes by step."""
        self.box.commands.clear()
        self.installer = Installer(self.box, Machine(self.box, self.file), Swap(self.file), 1700000000.5)
        self.installer.install(plan, self.services, lambda _: "198.51.100.9", dry_run=dry_run)
        return {step.step: step.outcome for step in self.installer.steps}

    def steps(self) -> list[tuple[str, str]]:
        return [(step.step, step.outcome) for step in self.installer.steps]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_a_first_run_and_a_second_one_that_changes_nothing(bench: Bench) -> None:
    bench.file.write_text(OWN)
    done = bench.run()
    assert [name for name, outcome in done.items() if outcome == "done"] == ["caddyfile", "apply", "services"]
    assert bench.box.told("caddy validate *") != []
    assert bench.box.told("systemctl *[ed]*able caddy")[-1:] == ["systemctl enable caddy"]
    assert bench.box.limits["systemctl reload caddy"] == RELOAD_S
    assert bench.file.with_name("Caddyfile.bak-1700000000").read_text() == OWN
    assert bench.file.read_text() == merged(OWN, "mesh.example", 4848)
    assert bench.services.now.turn.public_ip == "203.0.113.7"
    again = bench.run()
    assert {outcome for name, outcome in again.items() if name not in ("firewall", "provider")} == {"unchanged"}
    assert not bench.box.told("systemctl re*")
    assert len(list(bench.file.parent.iterdir())) == 2, "the file and its backup, and no more"


def test_a_dry_run_only_says_what_it_would_do(bench: Bench) -> None:
    bench.file.write_text(OWN)
    bench.box.answers["caddy list-modules"] = Ended(0, "http")
    would = bench.run(dry_run=True)
    assert [name for name, outcome in would.items() if outcome == "would"] == ["module", "caddyfile", "services"]
    assert bench.file.read_text() == OWN
    assert [path.name for path in bench.file.parent.iterdir()] == ["Caddyfile"]
    assert set(bench.box.commands) == {"caddy version", "caddy list-modules"}
    assert "+mesh.example {" in next(step.detail for step in bench.installer.steps if step.step == "caddyfile")


def test_what_caddy_does_not_take_never_becomes_its_file(bench: Bench) -> None:
    bench.file.write_text(OWN)
    bench.box.answers["caddy validate *"] = Ended(1, '{"level":"info"}\nError: adapting config: line 3')
    with pytest.raises(CaddyError, match=r"adapting config: line 3$"):
        bench.run()
    assert bench.file.read_text() == OWN
    assert [path.name for path in bench.file.parent.iterdir()] == ["Caddyfile"]
    assert not bench.box.told("systemctl re*")
    assert bench.services.now == ServicesConfig()


@pytest.mark.parametrize("before", [OWN, "", None], ids=["a file", "an empty one", "none"])
def test_a_reload_that_fails_brings_the_old_file_back(bench: Bench, before: str | None) -> None:
    if before is not None:
        bench.file.write_text(before)
        bench.file.chmod(0o640)
    bench.box.answers["systemctl reload caddy"] = Ended(1, "Job for caddy.service failed.")
    with pytest.raises(CaddyError, match="Job for caddy"):
        bench.run()
    assert ("rollback", "done") in bench.steps()
    if before is None:
        assert list(bench.file.parent.iterdir()) == []
    else:
        assert bench.file.read_text() == before
        assert bench.file.stat().st_mode & 0o777 == 0o640
        assert [path.name for path in bench.file.parent.iterdir()] == ["Caddyfile"]
    assert not bench.box.told("systemctl start caddy"), "it never stopped"


def test_a_reload_that_hangs_is_killed_and_followed_by_a_restart(bench: Bench) -> None:
    """Spec 06 §12 rule 12."""
    bench.box.answers["systemctl reload caddy"] = TimedOut("late")
    assert bench.run()["apply"] == "done"
    acted = [command for command in bench.box.commands if command.split()[1] in ("reload", "kill", "restart")]
    assert acted == [
        "systemctl reload caddy",
        "systemctl kill --kill-who=control --signal=KILL caddy",
        "systemctl restart caddy",
    ]
    assert bench.box.limits["systemctl restart caddy"] == RESTART_S


def test_a_restart_that_fails_too_has_the_old_one_started_again(bench: Bench) -> None:
    bench.file.write_text(OWN)
    lives = [Ended(0), Ended(3)]
    bench.box.answers |= {
        "systemctl is-active *": lambda: lives.pop(0),
        "systemctl reload caddy": TimedOut("late"),
        "systemctl restart caddy": TimedOut("`systemctl restart caddy` has not ended within 30 s"),
    }
    with pytest.raises(TimedOut, match="restart"):
        bench.run()
    assert bench.file.read_text() == OWN
    assert bench.box.commands[-1] == "systemctl start caddy"
    assert bench.steps()[-2:] == [("rollback", "done"), ("rollback", "done")]


def test_that_the_old_one_cannot_be_started_is_said(bench: Bench) -> None:
    lives = [Ended(0), Ended(3)]
    bench.box.answers |= {"systemctl is-active *": lambda: lives.pop(0), "systemctl reload caddy": Ended(1, "no")}
    bench.box.answers["systemctl start caddy"] = Ended(1, "no luck")
    with pytest.raises(CaddyError, match="reload"):
        bench.run()
    assert bench.installer.steps[-1].outcome == "failed"
    assert "no luck" in bench.installer.steps[-1].detail


def test_an_interrupted_installation_is_finished_by_the_next(bench: Bench) -> None:
    """The new file is there, and Caddy was not told."""
    bench.file.write_text(OWN)

    def interrupt() -> Ended:
        raise SystemExit

    swap = Swap(bench.file)
    with swap.candidate(merged(OWN, "mesh.example", 4848)) as candidate:
        swap.put(candidate, OWN, 1.0)
    assert bench.run()["apply"] == "done"
    assert bench.box.told("systemctl reload caddy")
    assert not swap.unfinished
    swap.settle()
    bench.box.answers["systemctl reload caddy"] = interrupt
    bench.file.write_text(OWN)
    with pytest.raises(SystemExit):
        bench.run()
    assert bench.file.read_text() == OWN, "Ctrl-C is no reason to leave it half done"


def test_a_killed_installation_that_fails_later_goes_back_to_what_was_before_both(bench: Bench) -> None:
    bench.file.write_text(OWN)
    swap = Swap(bench.file)
    with swap.candidate(merged(OWN, "mesh.example", 1)) as candidate:
        swap.put(candidate, OWN, 1.0)
    bench.box.answers["systemctl reload caddy"] = Ended(1, "no")
    with pytest.raises(CaddyError):
        bench.run()
    assert bench.file.read_text() == OWN
    assert not swap.unfinished


def test_what_a_person_wrote_after_a_kill_is_not_taken_back(bench: Bench) -> None:
    bench.file.write_text(OWN)
    swap = Swap(bench.file)
    with swap.candidate(merged(OWN, "mesh.example", 4848)) as candidate:
        swap.put(candidate, OWN, 1.0)
    theirs = merged(OWN, "mesh.example", 4848) + "mine.example {\n}\n"
    bench.file.write_text(theirs)
    bench.box.answers["systemctl reload caddy"] = Ended(1, "no")
    with pytest.raises(CaddyError):
        bench.run()
    assert bench.file.read_text() == theirs


def test_a_file_that_changes_meanwhile_is_left_alone(bench: Bench) -> None:
    bench.file.write_text(OWN)

    def edited() -> Ended:
        bench.file.write_text("mine.example {\n}\n")
        return Ended(0)

    bench.box.answers["caddy validate *"] = edited
    with pytest.raises(CaddyError, match="somebody changed"):
        bench.run()
    assert bench.file.read_text() == "mine.example {\n}\n"
    assert [path.name for path in bench.file.parent.iterdir()] == ["Caddyfile"]


def test_a_caddy_that_is_off_is_started(bench: Bench) -> None:
    bench.box.answers["systemctl is-active *"] = Ended(3)
    assert bench.run()["apply"] == "done"
    assert bench.box.told("systemctl start caddy")


@pytest.mark.parametrize("name", MANAGERS)
def test_each_package_manager_installs_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, name, "curl", "gpg", "rm")

    def installed() -> Ended:
        bench.box.programs.add("caddy")
        return Ended(0)

    last = " ".join(MANAGERS[name][-1])
    bench.box.answers[last] = installed
    assert bench.run()["caddy"] == "done"
    wanted = [" ".join(command) for command in MANAGERS[name]]
    start = bench.box.commands.index(wanted[0])
    assert bench.box.commands[start : start + len(wanted)] == wanted


def test_an_installation_that_fails_stops_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, "dnf")
    assert bench.run(dry_run=True)["caddy"] == "would"
    with pytest.raises(CaddyError, match="still no caddy"):
        bench.run()
    bench.box.answers["dnf *"] = Ended(1, "no network")
    with pytest.raises(CaddyError, match="no network"):
        bench.run()
    bench.box.programs.clear()
    with pytest.raises(CaddyError, match="no package manager"):
        bench.run()
    assert list(tmp_path.iterdir()) == []
    assert bench.services.now == ServicesConfig()


def test_the_module_is_added_around_a_stopped_caddy_and_takes_a_restart(bench: Bench) -> None:
    modules = [Ended(0, "http"), MODULES]
    bench.box.answers["caddy list-modules"] = lambda: modules.pop(0)
    assert bench.run()["module"] == "done"
    acted = [each for each in bench.box.commands if each.split()[1] in ("stop", "start", "restart", "add-package")]
    assert acted == [
        "systemctl stop caddy",
        f"caddy add-package {MODULE} --keep-backup",
        "systemctl start caddy",
        "systemctl restart caddy",
    ]


@pytest.mark.parametrize(
    ("answer", "said"), [(Ended(1, 'Error: unknown command "add-package"'), "unknown command"), (Ended(0), "not there")]
)
def test_a_module_that_cannot_be_had_leaves_everything_and_names_the_way_without(
    bench: Bench, answer: Ended, said: str
) -> None:
    bench.file.write_text(OWN)
    bench.box.answers |= {"caddy list-modules": Ended(0, "http"), "caddy add-package *": answer}
    with pytest.raises(CaddyError, match=f"{said}.*--relay-only"):
        bench.run()
    assert bench.box.commands[-1] == "systemctl start caddy", "a Caddy that was stopped for it runs again"
    assert bench.file.read_text() == OWN
    done = bench.run(RELAY)
    assert (done["apply"], "module" in done) == ("done", False)


def test_ufw_is_told_of_each_port(bench: Bench) -> None:
    bench.box.programs |= {"ufw", "firewall-cmd"}
    bench.box.answers["ufw status"] = Ended(0, "Status: active")
    assert bench.run()["firewall"] == "done"
    assert bench.box.told("ufw allow *") == [
        f"ufw allow {port}" for port in ("80/tcp", "443/tcp", "3478/tcp", "5349/tcp", "3478/udp", "49152:65535/udp")
    ]
    assert bench.run(dry_run=True)["firewall"] == "would"
    assert not bench.box.told("ufw allow *")


def test_firewalld_is_told_where_ufw_is_off(bench: Bench) -> None:
    bench.box.programs |= {"ufw", "firewall-cmd"}
    bench.box.answers["ufw status"] = Ended(0, "Status: inactive")
    assert bench.run(RELAY)["firewall"] == "done"
    assert bench.box.told("firewall-cmd *")[1:] == [
        "firewall-cmd --permanent --add-port=80/tcp",
        "firewall-cmd --permanent --add-port=443/tcp",
        "firewall-cmd --reload",
    ]
    bench.box.answers["firewall-cmd --reload"] = Ended(1, "busy")
    with pytest.raises(CaddyError, match=re.escape("all else is done, and firewalld must let in 80/tcp, 443/tcp")):
        bench.run(RELAY)
    bench.box.answers["firewall-cmd --state"] = Ended(252)
    assert bench.run(RELAY)["firewall"] == "advice"


def test_the_address_is_the_persons_then_the_set_one_then_that_of_the_name(bench: Bench) -> None:
    unsaid = Wanted("mesh.example", "turn.mesh.example")
    bench.run(unsaid)
    assert bench.services.now.turn.public_ip == "198.51.100.9"
    bench.run(PLAN)
    assert bench.services.now.turn.public_ip == "203.0.113.7"
    bench.run(unsaid)
    assert bench.services.now.turn.public_ip == "203.0.113.7"


def test_a_relay_without_a_port_of_its_own_is_refused(bench: Bench) -> None:
    bench.services.now = ServicesConfig.from_json({"signaling": {"port": 0}})
    with pytest.raises(CaddyError, match="port is 0"):
        bench.run()


def test_removing_takes_out_what_was_put_in(bench: Bench) -> None:
    bench.file.write_text(OWN)
    bench.run()
    bench.installer.remove("mesh.example", dry_run=True)
    assert managed(bench.file.read_text()) == ("mesh.example",)
    bench.installer.remove("mesh.example")
    assert bench.file.read_text() == OWN
    bench.box.commands.clear()
    bench.installer.remove("mesh.example")
    assert not bench.box.told("* reload *")
    assert bench.installer.steps[-1].outcome == "unchanged"
    bench.run()
    bench.box.answers["systemctl is-active *"] = Ended(3)
    bench.installer.remove("mesh.example")
    assert bench.file.read_text() == OWN
    assert not bench.box.told("systemctl start caddy"), "one that was off stays off"


def test_homebrews_caddy_is_restarted_by_homebrew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, monkeypatch, "caddy", "brew")
    monkeypatch.setattr(machines.sys, "platform", "darwin")
    bench.file = tmp_path / "etc" / "Caddyfile"
    bench.file.parent.mkdir()
    bench.box.answers |= {
        "brew --prefix": Ended(0, str(tmp_path)),
        "brew services info*": Ended(0, '"status":"started"'),
    }
    assert default_file(bench.box) == bench.file
    assert bench.run()["apply"] == "done"
    assert bench.box.told("brew services *")[-1] == "brew services restart caddy"
    bench.box.answers["brew services restart caddy"] = Ended(1, "no")
    lives = [Ended(0, "started"), Ended(0, "none")]
    bench.box.answers["brew services info*"] = lambda: lives.pop(0)
    with pytest.raises(CaddyError):
        bench.run(Wanted("other.example", None))
    assert bench.box.commands[-1] == "brew services start caddy"
    assert managed(bench.file.read_text()) == ("mesh.example",)
    bench.box.answers["brew --prefix"] = Ended(1)
    assert default_file(bench.box).name == "Caddyfile"


@pytest.mark.parametrize(
    ("adapted", "address"),
    [
        ('{"apps":{}}', ("localhost", 2019)),
        ('{"level":"warn","admin":{"listen":"x:1"}}\n{"admin":{"listen":":2020"}}', ("localhost", 2020)),
        ('{"admin":{"listen":"tcp/[::1]:2019"}}', ("::1", 2019)),
        ('{"admin":{"listen":"unix//run/a.sock|0220"}}', "/run/a.sock"),
    ],
)
def test_where_caddy_takes_orders(adapted: str, address: object) -> None:
    assert admin_address(adapted) == address


def test_an_admin_address_that_nobody_knows_is_said() -> None:
    with pytest.raises(CaddyError, match="fd/3"):
        admin_address('{"admin":{"listen":"fd/3"}}')


def test_two_installations_at_once_are_refused(tmp_path: Path) -> None:
    with (
        Swap(tmp_path / "Caddyfile").alone(1.0),
        pytest.raises(CaddyError, match="another installation"),
        Swap(tmp_path / "Caddyfile").alone(1.0),
    ):
        raise AssertionError


def test_what_is_no_caddyfile_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "Caddyfile"
    file.write_bytes(b"\xff")
    with pytest.raises(CaddyError, match="not UTF-8"):
        Swap(file).text()
    file.write_bytes(b"#" * ((4 << 20) + 1))
    with pytest.raises(CaddyError, match="more than 4 MiB"):
        Swap(file).text()


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "Caddyfile", tmp_path / "Caddyfile"
    real.write_text("a")
    link.symlink_to(real)
    swap = Swap(link)
    with swap.candidate("b") as candidate:
        assert candidate.parent == real.parent, "what it imports is found from there"
        swap.put(candidate, "a", 1.0)
    assert link.is_symlink()
    assert real.read_text() == "b"
    assert swap.restore()
    assert not swap.restore()
    assert real.read_text() == "a"
