"""Networks or everything are deleted, and a start finishes what a kill has left (spec 05 §15, W25, W27)."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from myownmesh.identity import Identity
from myownmesh.protocol import base32
from myownmesh.store import Home, StoreError, open_store
from myownmesh.store.erasure import Doomed
from myownmesh.store.network_config import NetworkConfig

if TYPE_CHECKING:
    from collections.abc import Callable

ME, OTHER = (Identity.from_seed(bytes([n]) * 32, label="") for n in (1, 2))
OFFICE = NetworkConfig(id="n1", network_id="Office-Mesh")
GARDEN = NetworkConfig(id="n2", network_id="garden")
FOREIGN = {"allmystuff-daemon.pid": "1", "app/owner.json": "{}"}


class Killed(BaseException):
    """The process ends here."""


def anchor(identity: Identity, seed: int) -> str:
    key = base32.encode(bytes([seed]) * 32)
    return (
        f'{{"version":1,"created_at":"@1","secret_key":"{key}","public_key":"{identity.device_id}","label":"Laptop"}}'
    )


def furnish(root: Path, *, identity: Identity = ME, seed: int = 1) -> Home:
    """A home of two networks, with what an embedder keeps beside."""
    home = Home(root)
    (root / ".secrets").mkdir(parents=True)
    home.identity.write_text(anchor(identity, seed))
    with open_store(home) as store:
        store.change_config(lambda config: replace(config, networks=(OFFICE, GARDEN)))
    for network_id in ("office-mesh", "garden"):
        for path in (home.roster(network_id), home.state(network_id), home.invites(network_id)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
    for name, text in FOREIGN.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return home


def doomed(*records: NetworkConfig) -> list[Doomed]:
    return [Doomed(id=each.id, network_id=each.network_id) for each in records]


def files(home: Home) -> set[str]:
    return {str(path.relative_to(home.root)) for path in home.root.rglob("*")}


def next_start(home: Home) -> None:
    with open_store(home) as store:
        store.finish_erasure()


def killed_after(steps: int, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> bool:
    """Do the work until it has changed the disk so many times; whether it was killed by that."""
    left = steps

    def counted(real: Callable[..., None]) -> Callable[..., None]:
        def change(*args: Any, **options: Any) -> None:
            nonlocal left
            if not left:
                raise Killed
            left -= 1
            real(*args, **options)

        return change

    with monkeypatch.context() as patched:
        for name in ("unlink", "rmdir", "replace", "rename"):
            patched.setattr(os, name, counted(getattr(os, name)))
        try:
            work()
        except Killed:
            return True
    return False


def test_networks_are_forgotten_with_their_files_and_the_rest_stays(tmp_path: Path) -> None:
    home = furnish(tmp_path / "home")
    with open_store(home) as store:
        store.forget_networks(doomed(OFFICE))
        assert [each.id for each in store.load_config().networks] == ["n2"]
    assert not {name for name in files(home) if "office" in name}
    assert {"mesh/rosters/garden.json", ".secrets/identity.json", *FOREIGN} <= files(home)


def test_everything_goes_but_the_lock(tmp_path: Path) -> None:
    home = furnish(tmp_path / "home")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "photo").write_text("mine")
    (home.root / "link").symlink_to(elsewhere)
    with open_store(home) as store:
        store.begin_erasure(ME.device_id, None)
        assert store.wipe() == []
        assert files(home) == {"daemon.lock", "erasure.json"}
    next_start(home)
    assert files(home) == {"daemon.lock"}
    assert (elsewhere / "photo").read_text() == "mine"


@pytest.mark.heavy
def test_a_kill_at_any_step_of_a_reset_leaves_what_the_next_start_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = furnish(tmp_path / "template")
    steps = 0
    while True:
        shutil.copytree(template.root, tmp_path / str(steps))
        home = Home(tmp_path / str(steps))

        def reset() -> None:
            with open_store(home) as store:  # noqa: B023 - called within this turn
                store.begin_erasure(ME.device_id, None)
                store.wipe()

        was_killed = killed_after(steps, monkeypatch, reset)
        begun = home.erasure.exists()
        assert begun or not steps
        # The key is the last to go, so nobody ever meets another device in these networks.
        assert home.identity.exists() or not home.config.exists()
        assert home.identity.exists() or not home.roster("garden").exists()
        next_start(home)
        assert files(home) == {"daemon.lock"} if begun else home.config.exists()
        if not was_killed:
            break
        steps += 1
    assert steps > len(FOREIGN) + 6


@pytest.mark.heavy
def test_a_kill_at_any_step_of_forgetting_leaves_what_the_next_start_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = furnish(tmp_path / "template")
    steps = 0
    while True:
        shutil.copytree(template.root, tmp_path / str(steps))
        home = Home(tmp_path / str(steps))

        def forget() -> None:
            with open_store(home) as store:  # noqa: B023 - called within this turn
                store.begin_erasure(ME.device_id, doomed(OFFICE))
                store.forget_networks(doomed(OFFICE))

        was_killed = killed_after(steps, monkeypatch, forget)
        begun = home.erasure.exists()
        next_start(home)
        with open_store(home) as store:
            kept = [each.id for each in store.load_config().networks]
        assert kept == (["n2"] if begun else ["n1", "n2"])
        assert bool({name for name in files(home) if "office" in name}) is not begun
        assert not home.erasure.exists()
        assert home.identity.exists()
        if not was_killed:
            break
        steps += 1
    assert steps > 3


def test_what_cannot_be_deleted_is_told_and_the_rest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = furnish(tmp_path / "home")
    real = os.unlink

    def unlink(path: Any, **options: Any) -> None:
        if str(path).endswith("config.json"):
            raise PermissionError(1, "Operation not permitted", str(path))
        real(path, **options)

    with open_store(home) as store, monkeypatch.context() as patched:
        patched.setattr(os, "unlink", unlink)
        [problem] = store.wipe()
    assert problem == f"delete {home.config}: Operation not permitted (os error 1)"
    assert files(home) == {"daemon.lock", "config.json"}


def test_the_running_program_stays_where_it_was_unpacked_into_its_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = furnish(tmp_path / "home")
    program = home.root / "runtime" / "0.3.8" / "myownmesh"
    program.parent.mkdir(parents=True)
    program.write_text("")
    monkeypatch.setattr(sys, "executable", str(program))
    with open_store(home) as store:
        assert store.wipe() == []
    assert files(home) == {"daemon.lock", "runtime", "runtime/0.3.8", "runtime/0.3.8/myownmesh"}


def test_an_old_note_deletes_nothing_of_another_device(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = furnish(tmp_path / "home", identity=OTHER, seed=2)
    before = files(home)
    with open_store(home) as store:
        store.begin_erasure(ME.device_id, None)
    next_start(home)
    assert files(home) == before
    assert "about another device" in caplog.text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version":1}', '{"version":1,"device_id":5}'])
def test_a_note_that_nobody_can_read_is_set_aside(tmp_path: Path, text: str) -> None:
    home = furnish(tmp_path / "home")
    before = files(home)
    home.erasure.write_text(text)
    next_start(home)
    assert files(home) - before == {"erasure.json.corrupt"}


def test_a_note_of_a_later_release_is_left_alone(tmp_path: Path) -> None:
    home = furnish(tmp_path / "home")
    before = files(home)
    home.erasure.write_text(f'{{"version":2,"device_id":"{ME.device_id}","everything":true}}')
    next_start(home)
    assert files(home) - before == {"erasure.json"}


@pytest.mark.parametrize("place", ["/", "{home}", "{home}/..", "{home}/link"])
def test_places_that_hold_more_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    person = tmp_path / "users" / "ann"
    (person / ".secrets").mkdir(parents=True)
    (person / ".secrets" / "identity.json").write_text("{}")
    (person / "link").symlink_to(person)
    monkeypatch.setenv("HOME", str(person))
    with pytest.raises(StoreError, match="holds more than this device's files"):
        raise StoreError(erased(Path(place.format(home=person))) or "allowed")


def test_a_tree_without_a_mark_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo").write_text("mine")
    assert erased(tmp_path) == f"{tmp_path} has neither .secrets/identity.json nor config.json, so it may be anything"
    home = furnish(tmp_path / "home")
    assert erased(home.root) is None
    home.identity.unlink()
    assert erased(home.root) is None


def erased(root: Path) -> str | None:
    from myownmesh.store.store import Store

    return Store(Home(root)).refuses_reset()
