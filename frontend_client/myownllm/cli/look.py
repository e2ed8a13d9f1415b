"""What `status`, `health` and `bugreport` see: the saved networks, the daemon, the running app. It only reads."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from mesh_common.answers import HostedServersAnswer, IdentityAnswer, OurNetworksAnswer
from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.files import read_regular
from mesh_common.handwritten import fault, without_mark
from mesh_common.views import OurNetwork
from myownllm import aside, health
from myownllm.catalog.checking import setting_problems
from myownllm.cli import context
from myownllm.errors import DoorError, HomeError
from myownllm.headline import known
from myownllm.home import AppHome, check_socket_path, find_pin
from myownllm.ids import DEVICE_ID, comparable_network_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mesh_common.answers import HostedServers
    from myownllm.catalog.file import Stored
    from myownllm.catalog.network import SavedNetwork
    from myownllm.peers import PeerEntry

ASK_APP_S = 2.0
"""The app answers at once or is in trouble, which is told without its help."""

_IDENTITY_MAX_BYTES = 2**20


class Seen(Struct, frozen=True, kw_only=True):
    """One look around."""

    app_home: AppHome
    stored: Stored
    repairs: tuple[str, ...]
    app_pid: int | None
    app: health.AppTold | None
    """what the running app tells of itself; None when it runs not, or does not answer"""
    app_silent: bool = False
    """it was asked and said nothing in time"""
    daemon: context.Daemon | None
    label: str = ""
    row: OurNetwork | None = None
    """what the daemon says of the active network"""
    peers: tuple[PeerEntry, ...] = ()
    silence: str = ""
    """why the daemon does not say more, although it answers `status`"""
    hosted: HostedServers | None = None

    @property
    def active(self) -> SavedNetwork | None:
        return self.stored.catalog.active

    def facts(self) -> health.Facts:
        """For the rules of `health`, which are the headline's, too."""
        active, daemon, row = self.active, self.daemon, self.row
        return health.Facts(
            config_notices=tuple(dict.fromkeys((*self.repairs, *self.stored.notices))),
            setting_problems=(*self.stored.unusable, *(() if active is None else setting_problems(active))),
            handle=None if active is None else active.handle,
            network_id=None if active is None else active.wire_id,
            has_turn=active is not None and bool(active.turn_servers),
            app_running=self.app_pid is not None,
            silent_app=self.app_pid if self.app_silent else None,
            app=self.app,
            socket=str(self.app_home.own_socket if daemon is None else daemon.socket),
            socket_problem="" if daemon is not None else _socket_problem(self.app_home),
            daemon=None if daemon is None else daemon.status,
            is_shared=daemon is not None and daemon.mode == "shared",
            daemon_binary=None if daemon is not None else _binary(),
            override_problem=_override_problem(),
            pin=find_pin(Path(__file__).parent),
            phase=None if row is None else row.phase,
            peers=known(self.peers),
            relays=None if row is None else row.relays,
            silence=self.silence,
            left_out=() if row is None else row.left_out,
            twin=None if row is None else row.twin,
            put_out=row is not None and row.put_out,
            lan=row is not None and row.lan,
            hosted=self.hosted,
            unkept="" if active is None or daemon is None else active.unkept_by(is_ours=daemon.status.home is not None),
        )


def look() -> Seen:
    """Raises HomeError for a home or a file that cannot be used."""
    app_home = context.home()
    if os.path.lexists(app_home.root) and not app_home.root.is_dir():
        raise HomeError(f"{app_home.root} is no directory; free the path or set MYOWNLLM_HOME")
    file = context.catalog_file(app_home)
    stored = file.load()
    pid = context.app_pid(app_home)
    daemon, active = context.find_daemon(app_home), stored.catalog.active
    label, silence = "", ""
    row: OurNetwork | None = None
    peers: tuple[PeerEntry, ...] = ()
    hosted: HostedServers | None = None
    if daemon is not None:
        try:
            label = daemon.answer(IdentityAnswer, "identity_show").label
            row = None if active is None else _network_row(daemon, active.wire_id)
            if row is not None and active is not None:
                peers = daemon.peers(active.wire_id)
        except ControlError as error:
            silence = str(error)
        else:
            with suppress(ControlError):  # releases before 0.1.9 host nothing
                hosted = daemon.answer(HostedServersAnswer, "services_status").status
    app, app_silent = (None, False) if pid is None else _ask_app(app_home)
    return Seen(
        app_home=app_home,
        stored=stored,
        repairs=(*file.unseen_repairs(), *aside.unseen(app_home), *_damaged_identities(app_home)),
        app_pid=pid,
        app=app,
        app_silent=app_silent,
        daemon=daemon,
        label=label,
        row=row,
        peers=peers,
        silence=silence,
        hosted=hosted,
    )


def _ask_app(app_home: AppHome) -> tuple[health.AppTold | None, bool]:
    """What it tells, and whether it was there and said nothing."""
    try:
        return msgspec.convert(context.ask_app(app_home, "screen", ASK_APP_S), health.AppTold), False
    except DoorError as error:
        return None, error.kind == ErrorKind.TIMEOUT
    except msgspec.ValidationError:
        return None, False


def _network_row(daemon: context.Daemon, wire_id: str) -> OurNetwork | None:
    rows = daemon.answer(OurNetworksAnswer, "networks_list").networks
    return next((row for row in rows if comparable_network_id(row.network_id) == wire_id), None)


def _damaged_identities(app_home: AppHome) -> Iterator[str]:
    """What no daemon repairs, or starts with: who this device is would be lost (spec 07 C3)."""
    for daemon in (app_home.own_daemon, app_home.shared_daemon):
        path = daemon / ".secrets" / "identity.json"
        data = b""
        try:
            data = read_regular(path, _IDENTITY_MAX_BYTES)
            value = msgspec.json.decode(without_mark(data))
            damage = _damage_of_identity(value)
        except FileNotFoundError:
            continue
        except OSError as error:
            damage = error.strerror or str(error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            damage = fault(data)
        if damage:
            yield (
                f"{path}, which says who this device is, is damaged ({damage}): no daemon starts with it; "
                "restore it from a backup, or move it away and be a new device"
            )


def _damage_of_identity(value: object) -> str:
    secret = value.get("secret_key") if isinstance(value, dict) else None
    if not secret:
        return "it holds no secret_key"
    return "" if isinstance(secret, str) and DEVICE_ID.match(secret.lower()) else "its secret_key is no key"


def _socket_problem(app_home: AppHome) -> str:
    try:
        check_socket_path(app_home.own_socket)
    except HomeError as error:
        return str(error)
    try:
        owner = app_home.own_socket.lstat().st_uid
    except OSError:
        return ""
    if owner != os.getuid():
        return f"the socket {app_home.own_socket} belongs to another user (uid {owner}); the app will not touch it"
    return ""


def _binary() -> str | None:
    from myownllm.supervisor import binaries

    found = binaries.collect(os.environ, Path(sys.executable).parent, None, "")
    return next((str(c.path) for c in found if binaries.file_problem(c.path) is None), None)


def _override_problem() -> str:
    from myownllm.supervisor import binaries

    for candidate in binaries.collect(os.environ, Path(sys.executable).parent, None, ""):
        if candidate.source == "override" and (problem := binaries.file_problem(candidate.path)) is not None:
            return f"{candidate.origin} names {candidate.path}, which {problem}; correct it, or unset it"
    return ""
