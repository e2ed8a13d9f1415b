"""The composition root: builds the parts of the daemon, owns their life, and ends it (spec 07 §10).

This is the one place where everything is wired. Order of a start: the lock before anything is read, configuration,
identity, mesh (networks are registered), control socket, readiness; WebRTC loads behind all that.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
import signal
import sys

from mesh_common.streams import prepare, put
from myownmesh.daemon import logs, needs
from myownmesh.daemon.supervision import Supervision
from myownmesh.store.errors import StoreError

log = logging.getLogger(__name__)


class StartError(Exception):
    """The daemon cannot start; the text is what stands behind ``error: `` and in the readiness line."""


def serve() -> int:
    """Run the daemon in the foreground; returns the exit code: 0 after a requested stop, 1 when it could not start."""
    # Thousands of objects are born during a start and none of them dies: looking for garbage among them is a waste.
    gc.disable()
    # Until the mesh runs there is nothing to clean up, so a signal may end us where we stand (spec 07 §10.2).
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    prepare()
    logs.configure(os.environ, sys.stderr, background=True)
    supervision = Supervision(os.environ)
    if os.environ.pop("SSLKEYLOGFILE", ""):
        # A help for finding faults: that its file cannot be written must keep no devices apart.
        log.warning("SSLKEYLOGFILE is ignored: this daemon writes down no keys of its connections")
    absent = needs.missing()
    if absent:  # before anything is written
        return _failed(supervision, needs.missing_text(absent), cannot_serve=True)
    try:
        return _serve(supervision)
    except StartError as error:
        return _failed(supervision, str(error))
    except ImportError as error:
        return _failed(supervision, needs.cannot_serve(str(error)), cannot_serve=True)
    except BaseException as error:
        supervision.failed(f"internal error: {error!r}")  # says nothing if the start had succeeded
        logs.flush()
        raise


def _failed(supervision: Supervision, reason: str, *, cannot_serve: bool = False) -> int:
    supervision.failed(reason, cannot_serve=cannot_serve)
    logs.flush()
    put(f"error: {reason}", sys.stderr)
    return 1


def _import_msgspec() -> None:
    """Import msgspec without ``typing_extensions``, for which it has a fallback: 8 ms of every start for nothing."""
    if "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # how Python notes that a module cannot be had
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules["typing_extensions"]


def _serve(supervision: Supervision) -> int:
    _import_msgspec()
    from myownmesh.store import Home, open_store

    try:
        store = open_store(Home.resolve(os.environ))
    except StoreError as error:
        raise StartError(str(error)) from error
    with store:
        store.finish_erasure()
        try:
            loaded = store.open_config()
        except StoreError as error:
            raise StartError(f"load config: {error}") from error
        store.remove_leftovers()
        store.protect(
            group=loaded.config.daemon.socket_group,
            everyone=loaded.config.compat_switch("any_local_user"),
        )
        for problem in loaded.problems:
            log.error("configuration: %s; going on without it", problem)
        # Only now, so that a start that fails fails fast; and before an identity is made, which must not be the work
        # of an installation that cannot serve.
        from myownmesh.daemon.node import Node
        from myownmesh.transport import guest

        try:
            identity = store.load_identity()
        except StoreError as error:
            raise StartError(f"open mesh: {error}") from error
        node = Node(
            store=store,
            config=loaded.config,
            identity=identity,
            supervision=supervision,
            instance=secrets.token_hex(8),
        )
        guest.run(node.run)
        if node.start_error is not None:
            raise StartError(node.start_error)
    if node.begins_anew:
        from myownmesh.daemon.anew import begin_anew

        begin_anew(supervision)
    logs.flush()
    return 0
