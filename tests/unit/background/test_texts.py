"""What systemd and launchd are given (spec 07 §7, 05 W26)."""

from __future__ import annotations

import plistlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from myownmesh.background.launchd_plist import plist
from myownmesh.background.service import Service, environment
from myownmesh.background.systemd_unit import LINGER_MARK, unit_text
from support.tools import needs

PERSON = Service(("/home/ann/bin/myownmesh", "serve"), {}, system=False)
MACHINE = Service(
    ("/usr/bin/myownmesh", "serve"), environment({}, state=Path("/var/lib/myownmesh"), log_filter=None), system=True
)


def settings(text: str, section: str) -> list[str]:
    """The lines of a section."""
    return text.partition(f"[{section}]\n")[2].partition("\n\n")[0].splitlines()


def test_the_unit_of_a_person() -> None:
    text = unit_text(PERSON)
    assert not text.startswith("#")
    lines = settings(text, "Service")
    assert lines[0] == "ExecStart=/home/ann/bin/myownmesh serve"
    for line in (
        "Type=notify",
        "Restart=always",
        "RestartSec=5",
        "WatchdogSec=30",
        "KillSignal=SIGTERM",
        "TimeoutStopSec=20",
        "SyslogIdentifier=myownmesh",
        "LogRateLimitIntervalSec=5min",
        "LogRateLimitBurst=100",
        "NoNewPrivileges=yes",
    ):
        assert line in lines
    assert not [line for line in lines if line.startswith(("Environment", "DynamicUser", "Protect"))]
    assert settings(text, "Install") == ["WantedBy=default.target"]
    assert "network-online" not in text


def test_the_unit_of_the_machine_has_a_user_of_its_own_and_sees_little() -> None:
    text = unit_text(MACHINE)
    lines = settings(text, "Service")
    hardening = {
        "DynamicUser": "yes",
        "StateDirectory": "myownmesh",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "ProtectKernelTunables": "yes",
        "ProtectControlGroups": "yes",
        "RestrictSUIDSGID": "yes",
        "RestrictRealtime": "yes",
    }
    assert hardening.items() <= dict(line.split("=", 1) for line in lines).items()
    assert [line for line in lines if line.startswith("Environment")] == [
        "Environment=MYOWNMESH_HOME=/var/lib/myownmesh",
        "Environment=MYOWNMESH_AUTOUPDATE=0",
    ]
    assert {"After=network-online.target", "Wants=network-online.target"} <= set(settings(text, "Unit"))
    assert settings(text, "Install") == ["WantedBy=multi-user.target"]


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/opt/my mesh/myownmesh", '"/opt/my mesh/myownmesh"'),
        ("/opt/100%/myownmesh", "/opt/100%%/myownmesh"),
        ("/opt/$HOME/myownmesh", "/opt/$$HOME/myownmesh"),
        ('/opt/a"b/m', '"/opt/a\\"b/m"'),
        ("/opt/a\\b/m", "/opt/a\\\\b/m"),
        ("/opt/Küche/m", "/opt/Küche/m"),
        ("/opt/it's;/m", '"/opt/it\'s;/m"'),
    ],
)
def test_every_path_is_one_word(path: str, written: str) -> None:
    assert settings(unit_text(Service((path, "serve"), {}, system=False)), "Service")[0] == f"ExecStart={written} serve"


def test_a_whole_pair_is_quoted_and_its_dollars_are_dollars() -> None:
    text = unit_text(
        Service(("/m", "serve"), {"MYOWNMESH_HOME": "/my $mesh", "MYOWNMESH_LOG": "a=debug"}, system=False)
    )
    assert 'Environment="MYOWNMESH_HOME=/my $mesh"\nEnvironment=MYOWNMESH_LOG=a=debug\n' in text


@pytest.mark.parametrize("path", ["/a\nExecStartPre=/bin/evil", "/a\x00", "/a\x7f"])
def test_what_would_be_another_line_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no unit can hold"):
        unit_text(Service((path, "serve"), {}, system=False))


def test_a_unit_remembers_that_lingering_is_its_own_doing() -> None:
    assert unit_text(PERSON, lingers=True).startswith(f"{LINGER_MARK}\n\n[Unit]\n")


@pytest.mark.heavy
@needs("systemd-analyze", "systemd", "units were not checked by systemd itself")
@pytest.mark.parametrize("system", [True, False])
def test_systemd_finds_no_fault_with_them(tmp_path: Path, system: bool) -> None:
    file = tmp_path / "myownmesh.service"
    program = tmp_path / "my 100% mesh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    environ = environment({"MYOWNMESH_HOME": "/my mesh"}, state=tmp_path if system else None, log_filter="debug")
    file.write_text(unit_text(Service((str(program), "serve"), environ, system=system), lingers=not system))
    checked = subprocess.run(
        ["systemd-analyze", "--system" if system else "--user", "verify", "--recursive-errors=no", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert "myownmesh.service:" not in checked.stderr
    assert checked.returncode == 0, checked.stderr


def test_what_launchd_is_given() -> None:
    words = ("/Applications/Ann & Co/myownmesh", "serve")
    value: dict[str, Any] = plistlib.loads(plist(Service(words, {}, system=False), Path("/Users/ann/m.log")))
    assert value == {
        "Label": "com.myownmesh.daemon",
        "ProgramArguments": list(words),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ExitTimeOut": 20,
        "StandardOutPath": "/Users/ann/m.log",
        "StandardErrorPath": "/Users/ann/m.log",
    }
    told = plistlib.loads(plist(Service(words, {"MYOWNMESH_HOME": "/<home>"}, system=True), Path("/m.log")))
    assert told["EnvironmentVariables"] == {"MYOWNMESH_HOME": "/<home>"}


@pytest.mark.parametrize(
    ("environ", "state", "log_filter", "told"),
    [
        ({}, None, None, {}),
        ({"MYOWNMESH_HOME": " /m "}, None, None, {"MYOWNMESH_HOME": "/m"}),
        ({"MYOWNMESH_HOME": " "}, None, "debug", {"MYOWNMESH_LOG": "debug"}),
        ({"MYOWNMESH_LOG": "x"}, None, None, {}),
        (
            {"MYOWNMESH_HOME": "/m"},
            "/var/lib/myownmesh",
            "",
            {"MYOWNMESH_HOME": "/var/lib/myownmesh", "MYOWNMESH_AUTOUPDATE": "0", "MYOWNMESH_LOG": ""},
        ),
    ],
)
def test_what_the_process_is_told(
    environ: dict[str, str], state: str | None, log_filter: str | None, told: dict[str, str]
) -> None:
    assert environment(environ, state=None if state is None else Path(state), log_filter=log_filter) == told
