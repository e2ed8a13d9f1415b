"""The lock on signatures from the terminal to the file, and the way out without a code (spec 02 §17, FIX 27)."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

from integration.lifecycle.process import PROGRAM, DaemonProcess
from myownmesh.custody import provisioning, totp
from support.devices import Wire


def run(home: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *argv],
        env={**os.environ, "MYOWNMESH_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=20,
        check=False,
    )


def mfa(home: Path, *argv: str) -> str:
    """What a command prints that must work."""
    done = run(home, "ctl", "governance", "mfa", *argv)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(home: Path, code: str) -> str:
    done = run(home, "ctl", "governance", "mfa", "disable", "home", code)
    assert done.returncode == 1
    return done.stderr.removeprefix("error: daemon error: ").rstrip()


def test_a_lock_from_its_enrolment_to_the_way_out_without_a_code() -> None:
    with tempfile.TemporaryDirectory(prefix="mesh") as directory:
        home = Path(directory)
        quiet = {"signaling": {"strategy": "none"}, "stun_servers": [], "turn_servers": []}
        record = {"id": "home", "network_id": "fleet-1", **quiet}
        (home / "config.json").write_text(json.dumps({"networks": [record]}))
        with DaemonProcess(home) as daemon:
            daemon.ready()
            shown = json.loads(mfa(home, "enroll", "home"))
            assert len(shown["recovery_codes"]) == 10
            # Put on under the record's name, as stock clients do, it guards the network all the same.
            assert json.loads((home / ".secrets" / "custody.json").read_text())["networks"].keys() == {"fleet-1"}
            assert json.loads(mfa(home, "status", "fleet-1")) == {"enrolled": True, "problem": None}
            assert run(home, "ctl", "governance", "mfa", "enroll", "fleet-1").stderr == (
                "error: daemon error: custody: network fleet-1 already has MFA enrolled on this device; "
                "disable it first\n"
            )
            assert refused(home, " ") == "custody: this change requires your authenticator code"
            for _ in range(4):
                assert refused(home, "00000") == "custody: invalid authenticator code"
            # Over one connection: two commands may be further apart than the two seconds that the fifth costs.
            with closing(Wire(home / "daemon.sock", 20)) as wire:
                codes = ("00000", shown["recovery_codes"][0])
                fifth, next_one = (wire.ask("governance_mfa_disable", network="home", code=code) for code in codes)
            assert fifth["error"] == "custody: invalid authenticator code"
            assert next_one["error"].startswith("custody: too many attempts; wait ")
            reset = run(home, "custody", "reset", "home")
            assert reset.returncode == 1
            assert "stop that daemon first" in reset.stderr
            (home / ".secrets" / "custody.json").rename(home / "aside")
            assert "has vanished from its file" in refused(home, shown["recovery_codes"][0])
            (home / "aside").rename(home / ".secrets" / "custody.json")
            daemon.stop()
        with DaemonProcess(home) as daemon:
            daemon.ready()
            time.sleep(2.1)  # the fifth wrong code costs two seconds, over restarts too
            now = totp.code_of(provisioning.secret_bytes(shown["secret"]), totp.step_at(int(time.time())))
            assert json.loads(mfa(home, "disable", "home", now)) == {"disabled": True}
            mfa(home, "enroll", "home")
            assert refused(home, now) == "custody: invalid authenticator code"  # another secret
            daemon.stop()
        assert "The lock of fleet-1 is off." in run(home, "custody", "reset", "home").stdout
        assert (
            "fleet-1 has no lock on this device; nothing was changed." in run(home, "custody", "reset", "home").stdout
        )
        assert json.loads((home / ".secrets" / "custody.json").read_text()) == {"networks": {}}
