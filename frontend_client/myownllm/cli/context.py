"""What every command starts from: the home, the daemon that answers, the active network, and ways to print."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec

from mesh_common.answers import RosterAnswer, StatusAnswer
from mesh_common.client import blocking
from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.protocol import PROBE_TIMEOUT_S, check_traffic, timeout_of
from mesh_common.groups import unwrapped
from mesh_common.labels import shown as shown  # every command that shows words of a peer takes it from here
from mesh_common.streams import words
from mesh_common.values import Value
from myownllm.catalog.file import CatalogFile
from myownllm.cli.texts import json_text
from myownllm.coerce import as_object
from myownllm.door import client as door
from myownllm.errors import FAILURES, AppError, DoorError, PeerAwayError, PeerSelectorError, PeerUndecidedError
from myownllm.files import lock_holder_note
from myownllm.home import AppHome
from myownllm.ids import select_peer
from myownllm.network_changes import need_active as need_active
from myownllm.peers import PeerEntry, away_entries, peer_entries, peer_rows
from myownllm.sightings import Sightings, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from myownllm.coerce import JsonObject

T = TypeVar("T")

EXIT_FAILED = 1
CHANGE_S = 30.0
"""For a change that the running app makes: twice as long as it waits for the lock of a file, and more."""
AWAY = ("offline", "reconnecting", "failed")
UNDECIDED = ("pending_approval", "pending_remote")
RENAMED_S = 5.0
DOOR_OPENS_S = 0.2
"""From taking its lock to listening an app needs a few milliseconds."""


class NoDaemonError(AppError):
    """A command needs a daemon and none answers."""


class Daemon(Value, frozen=True):
    """A daemon that answered, at the first place in the usual order."""

    socket: Path
    mode: str
    status: StatusAnswer

    def ask(self, operation: str, *, timeout_s: float | None = None, **members: Any) -> Any:
        """One operation. Raises ControlError."""
        check_traffic(members)
        limit = timeout_of(operation) if timeout_s is None else timeout_s
        return blocking.request(self.socket, operation, timeout=limit, **members)

    def answer(self, cls: type[T], operation: str, **members: Any) -> T:
        """`ask`, with the answer as `cls`. Raises ControlError."""
        return _read(cls, operation, self.ask(operation, **members))

    def peers(self, network: str) -> tuple[PeerEntry, ...]:
        """The peers of a network, connected ones first. Raises ControlError."""
        return peer_entries(peer_rows(self.ask("peers_list", network=network)), {})


def _read(cls: type[T], operation: str, data: object) -> T:
    """An answer as its class. msgspec's converter, because commands are short and cattrs costs them 30 ms."""
    try:
        return msgspec.convert(data, cls)
    except msgspec.ValidationError as error:
        raise ControlError(ErrorKind.PROTOCOL, f"the daemon's answer to `{operation}` is wrong: {error}") from error


def home() -> AppHome:
    return AppHome.from_environment()


def catalog_file(app_home: AppHome) -> CatalogFile:
    return CatalogFile(app_home.config_file, on_repair=_tell_repair, in_use=lambda: app_pid(app_home) is not None)


_repairs: list[str] = []


def _tell_repair(text: str) -> None:
    _repairs.append(text)
    sys.stderr.write(f"warning: {shown(text, 500)}\n")


def find_daemon(app_home: AppHome) -> Daemon | None:
    """The daemon that the app would attach to (spec 08 §3.2)."""
    for socket, mode in ((app_home.shared_socket, "shared"), (app_home.own_socket, "own_llm")):
        if mode == "shared" and socket == app_home.own_socket:
            continue
        try:
            status = _read(StatusAnswer, "status", blocking.request(socket, "status", timeout=PROBE_TIMEOUT_S))
        except ControlError:
            continue
        return Daemon(socket, mode, status)
    return None


def need_daemon(app_home: AppHome) -> Daemon:
    daemon = find_daemon(app_home)
    if daemon is None:
        remedy = "`myownllm up` starts one"
        if app_pid(app_home) is not None:
            remedy = "the running app looks after it, `myownllm health` says more"
        raise NoDaemonError(f"no mesh daemon answers at {app_home.own_socket}; {remedy}")
    return daemon


def app_pid(app_home: AppHome) -> int | None:
    """The process that runs `up` in this home, 0 when it does not say, None when there is none."""
    note = lock_holder_note(app_home.app_lock)
    if note is None:
        return None
    pid = as_object(note).get("pid")
    return pid if isinstance(pid, int) else 0


def ask_app(app_home: AppHome, operation: str, timeout_s: float | None, **members: Any) -> Any:
    """One operation of the running app. Raises DoorError, `not_running` when there is none."""
    with asking_app(app_home, operation, timeout_s, **members) as answer:
        for _ in answer:
            pass
        return answer.data


def tell_peers_the_name(app_home: AppHome) -> None:
    """Have a running app tell peers what this device is called now; without one they read it in the next hello."""
    with suppress(DoorError):
        ask_app(app_home, "renamed", RENAMED_S)


@contextmanager
def asking_app(app_home: AppHome, operation: str, timeout_s: float | None, **members: Any) -> Iterator[door.Answer]:
    """An operation of the running app that streams: iterate, then `data`. Leaving early ends it. Raises DoorError."""
    with ExitStack() as stack:
        try:
            answer = stack.enter_context(door.asking(app_home.app_socket, operation, timeout_s=timeout_s, **members))
        except DoorError as error:
            if error.kind != door.NOT_RUNNING or app_pid(app_home) is None:
                raise
            time.sleep(DOOR_OPENS_S)  # an app that has just begun opens its door in a moment
            answer = stack.enter_context(door.asking(app_home.app_socket, operation, timeout_s=timeout_s, **members))
        yield answer


def have_changed(
    operation: str, request: JsonObject, here: Callable[[JsonObject], JsonObject], *, as_json: bool
) -> JsonObject:
    """A change that the running app makes, so that peers learn of it; or `here` when none runs. Printed for programs.

    Ends the command when it fails.
    """
    try:
        app_home = home()
        if app_pid(app_home) is None:
            answer = here(request)
        else:
            answer = as_object(ask_app(app_home, operation, CHANGE_S, **request))
        words.work_is_done()
    except FAILURES as error:
        fail(error, as_json=as_json)
    if as_json:
        print_answer(answer)
    return answer


class Session(Value, frozen=True):
    """A daemon and the network that a command acts on."""

    daemon: Daemon
    network: str
    handle: str

    def peers(self) -> tuple[PeerEntry, ...]:
        return self.daemon.peers(self.network)

    def peer(self, text: str, *, rostered: bool = False) -> PeerEntry:
        """The peer that a person means; `rostered` also looks among approved devices that are away.

        Raises PeerSelectorError; PeerAwayError for an approved device that is away and not looked for.
        """
        known = list(self.peers())
        if rostered:
            return select_peer(text, [*known, *self._away(known)])
        try:
            return select_peer(text, known)
        except PeerSelectorError as unknown:
            try:
                away = select_peer(text, self._away(known))
            except FAILURES:
                raise unknown from None
            raise self._is_away(away) from None

    def everyone(self) -> list[tuple[PeerEntry, int | None]]:
        """The peers, and the approved devices that are away; of those that are offline since when, if that is known."""
        known = list(self.peers())
        seen = Sightings(home().sightings_file).of(self.network)
        return [(p, seen.get(p.device_pubkey) if p.status in AWAY else None) for p in [*known, *self._away(known)]]

    def _is_away(self, peer: PeerEntry) -> PeerAwayError:
        last = Sightings(home().sightings_file).of(self.network).get(peer.device_pubkey)
        return PeerAwayError(peer.display, shown(peer.label, 40), "" if last is None else moment(last))

    def _away(self, known: list[PeerEntry]) -> list[PeerEntry]:
        """Approved devices that are not among the known ones."""
        roster = self.daemon.answer(RosterAnswer, "roster_list", network=self.network).roster
        return away_entries(roster, known, self.daemon.status.device_id)

    def ask_peer(self, cls: type[T], peer: PeerEntry, operation: str, **members: Any) -> T:
        """One operation that only a connected device can serve. Raises ControlError, PeerAwayError."""
        try:
            return self.daemon.answer(cls, operation, network=self.network, peer=peer.device_pubkey, **members)
        except ControlError as error:
            if error.refused and peer.status in AWAY:
                raise self._is_away(peer) from error
            if error.refused and peer.status in UNDECIDED:
                here = peer.status == "pending_approval"
                raise PeerUndecidedError(peer.display, shown(peer.label, 40), here=here) from error
            raise


def session(network: str | None = None) -> Session:
    """The daemon and the chosen or active network. Raises AppError."""
    app_home = home()
    catalog = catalog_file(app_home).load().catalog
    if network is not None:
        saved = catalog.find(network)
        wire_id, handle = (saved.wire_id, saved.handle) if saved is not None else (network, network)
    else:
        active = need_active(catalog)
        wire_id, handle = active.wire_id, active.handle
    return Session(need_daemon(app_home), wire_id, handle)


def print_answer(value: JsonObject) -> None:
    """The object that a command prints with `--json`; what was repaired on the way stands in it, too."""
    print_json({**value, "repaired": _repairs} if _repairs else value)
    _repairs.clear()


def print_json(value: Any) -> None:
    """One JSON document, indented on a terminal, one line otherwise."""
    data = json_text(value)
    if sys.stdout.isatty():
        data = msgspec.json.format(data, indent=2)
    sys.stdout.write(data.decode() + "\n")
    sys.stdout.flush()


def refuse(error: Exception, *, as_json: bool) -> NoReturn:
    """The end of a command that something expected has ended. Raises anything else again, the bug that it is."""
    cause = unwrapped(error, (*FAILURES, OSError))
    if isinstance(cause, OSError):  # of a file that nobody expected to fail
        where = f"{cause.filename}: " if cause.filename is not None else ""
        cause = AppError(f"{where}{cause.strerror or cause}")
    if not isinstance(cause, FAILURES):
        raise error
    fail(cause, as_json=as_json)


def fail(error: Exception, *, as_json: bool = False, status: int = EXIT_FAILED) -> NoReturn:
    """Say what went wrong and end with a status."""
    if as_json:
        kind = "validation" if isinstance(error, ValueError) else "error"
        if isinstance(error, DoorError):
            kind = error.kind
        if isinstance(error, ControlError):
            kind = "daemon_error" if error.refused else error.kind
        print_answer({"error": {"kind": kind, "message": str(error)}})
    else:
        sys.stderr.write(f"error: {error}\n")
    raise SystemExit(status)
