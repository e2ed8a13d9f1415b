"""A daemon older than the pin is asked to update itself (spec 08 FE-3.21)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing

from myownllm.door.server import Door
from myownllm.errors import AppError
from myownllm.features.daemon_update import GIVEN_UP, NO_PROGRAM, DaemonUpdate
from myownllm.supervisor import updating
from myownllm.supervisor.binaries import Candidate
from myownllm.supervisor.supervisor import Connection
from myownllm.supervisor.updating import COMMAND_S, Ran, runner, update_to_pin, updater_of
from unit.frontend.test_client import HOME, active, world

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownllm.membership import DaemonMode
    from myownllm.supervisor.updating import UpdateResult

PROGRAM = Path("/opt/myownmesh")
GOOD = {"enable": Ran(0, "on"), "check": Ran(0, '{"outcome":"staged"}'), "apply": Ran(0, "applied 0.3.9\n")}


async def updated(own: bool, **ends: Ran) -> tuple[UpdateResult, list[str]]:
    asked: list[str] = []

    async def run(binary: Path, arguments: Sequence[str]) -> Ran:
        await trio.lowlevel.checkpoint()
        assert binary == PROGRAM
        asked.append(" ".join(arguments))
        return {**GOOD, **ends}[arguments[1]]

    return await update_to_pin(PROGRAM, run, own=own), asked


async def test_an_own_daemon_puts_in_what_it_found() -> None:
    result, asked = await updated(own=True)
    assert asked == ["update enable", "update check --json", "update apply"]
    assert result.succeeded
    assert result.to_json() == {
        "ok": True, "own": True, "binary": str(PROGRAM), "check": {"outcome": "staged"}, "check_error": "",
        "applied": True, "apply": "applied 0.3.9", "apply_error": "",
    }  # fmt: skip
    assert "applied 0.3.9" in result.detail
    assert "daemon restart" in result.detail


async def test_a_shared_daemon_only_looks() -> None:
    result, asked = await updated(own=False)
    assert asked == ["update enable", "update check --json"]
    assert (result.succeeded, result.applied) == (True, None)
    assert "belongs to" in result.detail


@pytest.mark.parametrize(
    ("ends", "asked_last", "error"),
    [
        ({"enable": Ran(2, "", "Usage\nNo such command 'update'.\n")}, "update enable", "No such command 'update'."),
        ({"enable": Ran(None)}, "update enable", f"took longer than {COMMAND_S:.0f} s"),
        ({"check": Ran(1, "not JSON", "error: no network")}, "update check --json", "no network"),
        ({"check": Ran(3)}, "update check --json", "ended with status 3"),
        ({"apply": Ran(1, "the folder is read-only")}, "update apply", "the folder is read-only"),
    ],
)
async def test_what_fails_is_told_in_its_own_words(ends: dict[str, Ran], asked_last: str, error: str) -> None:
    result, asked = await updated(own=True, **ends)
    assert asked[-1] == asked_last
    assert not result.succeeded
    assert error in (result.check_error, result.apply_error)
    assert error in result.detail


async def test_what_is_no_json_is_kept_as_it_is() -> None:
    result, _ = await updated(own=False, check=Ran(0, "up to date\n"))
    assert result.check == "up to date"


def test_the_program_that_runs_is_asked_and_never_one_that_a_variable_names(tmp_path: Path) -> None:
    there = tmp_path / "myownmesh"
    there.write_text("#!/bin/sh\n")
    there.chmod(0o755)
    named = Candidate(there, "override", "$MYOWNLLM_MESH_BIN")
    found, gone = Candidate(there, "path", "PATH"), Candidate(tmp_path / "gone", "bundled", "")
    assert updater_of(PROGRAM, [found]) == PROGRAM
    assert updater_of(None, [gone, found]) == there
    assert updater_of(None, [gone]) is None
    assert updater_of(there, [named]) is None
    assert updater_of(None, [named, found]) is None


async def test_commands_of_this_machine_run_in_the_own_home_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "myownmesh"
    program.write_text(
        '#!/bin/sh\n[ "$2" = hang ] && exec sleep 1000\necho "$@ in $MYOWNMESH_HOME"; echo no >&2; exit 3\n'
    )
    program.chmod(0o755)
    run = runner({"PATH": "/usr/bin:/bin"}, tmp_path / "own")
    assert await run(program, ("update", "check")) == Ran(3, f"update check in {tmp_path / 'own'}\n", "no\n")
    assert (await run(tmp_path / "gone", ("update",))).status is None
    monkeypatch.setattr(updating, "COMMAND_S", 0.2)
    assert await run(program, ("update", "hang")) == Ran(None)


@attrs.define
class FakeSupervisor:
    connection: Connection | None


def connected(mode: DaemonMode, binary: Path | None) -> Any:
    return FakeSupervisor(Connection(1, mode, Path("s"), True, "0.1.0", "d", 1, binary))


async def test_it_happens_once_when_an_old_daemon_is_met_and_is_shown(tmp_path: Path) -> None:
    """Advice: the app is online all the same (FE-12.16)."""
    program = tmp_path / "myownmesh"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\necho "{{}}"\n')
    program.chmod(0o755)
    async with world(active(HOME), tmp_path) as w:
        w.daemon.version = "0.1.0"
        update = DaemonUpdate(w.client, connected("own_llm", program), list, tmp_path)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(update.run)
            await w.client.start()
            assert w.client.state.status == "online"
            await w.client.watch.until(lambda s: s.daemon_update.state == "done")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert (tmp_path / "asked").read_text().splitlines() == ["update enable", "update check --json", "update apply"]
        assert any("built against v0.3.8" in line for line in w.diag)
        assert any("is done" in line for line in w.diag)


async def test_a_program_that_may_not_be_touched_is_said(tmp_path: Path) -> None:
    async with world(active(HOME), tmp_path) as w:
        w.daemon.version = "0.1.0"
        named = Candidate(PROGRAM, "override", "$MYOWNLLM_MESH_BIN")
        update = DaemonUpdate(w.client, connected("shared", PROGRAM), lambda: [named], tmp_path)
        update.install(Door())
        await w.client.start()
        with pytest.raises(AppError, match="no mesh daemon is connected"):
            await update.update()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(update.run)
            await w.client.watch.until(lambda s: s.daemon_update.state == "failed")
            nursery.cancel_scope.cancel()
        assert w.client.state.daemon_update.state == "failed"
        assert any(NO_PROGRAM in line for line in w.diag)


async def test_one_update_answers_all_who_ask_meanwhile_and_goes_on_without_them(tmp_path: Path) -> None:
    program = tmp_path / "myownmesh"
    program.write_text(f'#!/bin/sh\necho "$2" >> {tmp_path}/asked\nwhile [ ! -e {tmp_path}/go ]; do sleep 0.01; done\n')
    program.chmod(0o755)
    async with world(active(HOME), tmp_path) as w, trio.open_nursery() as app:
        update = DaemonUpdate(w.client, connected("own_llm", program), list, tmp_path)
        app.start_soon(update.run)
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as impatient:
            for _ in range(2):
                impatient.start_soon(update.update)
            await w.client.watch.until(lambda s: s.daemon_update.state == "updating")
            impatient.cancel_scope.cancel()
        async with trio.open_nursery() as patient:
            patient.start_soon(update.update)
            await trio.testing.wait_all_tasks_blocked()
            (tmp_path / "go").touch()
        assert (tmp_path / "asked").read_text().split() == ["enable", "check", "apply"]
        assert w.client.state.daemon_update.state == "done"
        assert (await update.update()).succeeded, "and asking again is another one"
        assert (tmp_path / "asked").read_text().split() == ["enable", "check", "apply"] * 2
        app.cancel_scope.cancel()


async def test_an_update_ends_with_the_app_and_does_not_look_under_way_for_ever(tmp_path: Path) -> None:
    program = tmp_path / "myownmesh"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    async with world(active(HOME), tmp_path) as w:
        update = DaemonUpdate(w.client, connected("own_llm", program), list, tmp_path)
        async with trio.open_nursery() as app:
            app.start_soon(update.run)
            await trio.testing.wait_all_tasks_blocked()
            app.start_soon(update.update)
            await w.client.watch.until(lambda s: s.daemon_update.state == "updating")
            app.cancel_scope.cancel()
        assert (w.client.state.daemon_update.state, w.client.state.daemon_update.detail) == ("failed", GIVEN_UP)
