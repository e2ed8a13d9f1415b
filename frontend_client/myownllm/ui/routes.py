"""Every route of the screen, in one list (spec 08 §10.1), and those about the session and this device."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import trio

from myownllm.network_changes import need_active
from myownllm.supervisor.log import last_lines
from myownllm.ui import (
    routes_files,
    routes_governance,
    routes_models,
    routes_networks,
    routes_peers,
    routes_remote,
    words,
)
from myownllm.ui.calls import route
from myownllm.ui.daemon import Daemon
from myownllm.ui.failures import UiError
from myownllm.ui.routes_networks import change

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.routing import Route

    from myownllm.ui.calls import Call
    from myownllm.ui.desk import ScreenDesk

USED_TEXT = "this link was used or is too old: `myownllm open` makes a new one"
LOG_LINES = 200


def all_of(desk: ScreenDesk) -> list[Route]:
    """The API. Nothing is changed by GET."""
    return [
        route(desk, "POST", "/api/session", words.Redeem, _redeem, is_open=True),
        route(desk, "GET", "/api/mesh/state", None, partial(_state, desk)),
        route(desk, "POST", "/api/mesh/start", words.Nothing, _start, status=202),
        route(desk, "POST", "/api/mesh/stop", words.Nothing, _stop, status=202),
        route(desk, "POST", "/api/mesh/reconcile", words.Nothing, _reconcile, status=202),
        route(desk, "POST", "/api/mesh/rediscover", words.Nothing, _rediscover, status=202),
        route(desk, "POST", "/api/mesh/daemon/retry", words.Nothing, _retry, status=202),
        route(desk, "POST", "/api/mesh/daemon/restart", words.Nothing, _restart, status=202),
        route(desk, "POST", "/api/mesh/daemon/update", words.Nothing, _update, status=202),
        route(desk, "PUT", "/api/mesh/label", words.Label, _label),
        route(desk, "PUT", "/api/mesh/accepting", words.Accepting, _accepting),
        route(desk, "PUT", "/api/mesh/auto-gossip", words.Switch, _gossip),
        route(desk, "PUT", "/api/mesh/quiet", words.Switch, _quiet),
        route(desk, "GET", "/api/daemon/log", None, _log),
        route(desk, "GET", "/api/diag", None, _diag),
        route(desk, "DELETE", "/api/diag", None, partial(_clear_diag, desk)),
        route(desk, "POST", "/api/work/{id}/cancel", words.Nothing, _cancel),
        *routes_networks.all_of(desk),
        *routes_peers.all_of(desk),
        *routes_files.all_of(desk),
        *routes_governance.all_of(desk),
        *routes_models.all_of(desk),
        *routes_remote.all_of(desk),
    ]


async def _redeem(call: Call, asked: words.Redeem) -> Response:
    """A link for a session."""
    keys = call.desk.sessions.redeem(asked.token)
    if keys is None:
        raise UiError(401, "no_session", USED_TEXT)
    return await call.desk.enter(keys)


async def _state(desk: ScreenDesk, _: Call, __: None) -> dict[str, Any]:
    return await desk.publisher.now()


async def _start(call: Call, _: words.Nothing) -> None:
    await call.app.client.start()


async def _stop(call: Call, _: words.Nothing) -> None:
    await call.app.client.stop()


async def _reconcile(call: Call, _: words.Nothing) -> None:
    await call.app.client.reconcile()


async def _rediscover(call: Call, _: words.Nothing) -> None:
    await call.app.client.rediscover()


async def _retry(call: Call, _: words.Nothing) -> Any:
    return await call.app.door.ask("daemon_retry", {})


async def _restart(call: Call, _: words.Nothing) -> Any:
    return await call.app.door.ask("daemon_restart", {})


async def _update(call: Call, _: words.Nothing) -> Any:
    return await call.app.door.ask("update_to_pin", {})


async def _label(call: Call, asked: words.Label) -> dict[str, Any]:
    identity = await Daemon(call.app).set_label(asked.value)
    call.app.client.name_changed()
    return {"label": identity.label}


async def _accepting(call: Call, asked: words.Accepting) -> None:
    await change(call, lambda c: c.update_network(need_active(c).id, accepting=asked.value))


async def _gossip(call: Call, asked: words.Switch) -> None:
    await change(call, lambda c: c.update_network(need_active(c).id, auto_gossip=asked.value))


async def _quiet(call: Call, asked: words.Switch) -> None:
    await change(call, lambda c: attrs.evolve(c, diag_quiet=asked.value))


async def _log(call: Call, _: None) -> dict[str, Any]:
    file = call.app.home.daemon_log
    return {"file": str(file), "lines": await trio.to_thread.run_sync(last_lines, file, LOG_LINES)}


async def _diag(call: Call, _: None) -> Any:
    return await call.app.door.ask("diag", {})


async def _clear_diag(desk: ScreenDesk, _: Call, __: None) -> None:
    await trio.lowlevel.checkpoint()
    desk.app.client.diag.clear()
    desk.publisher.cleared()


async def _cancel(call: Call, _: words.Nothing) -> None:
    await call.app.door.ask("cancel", {"id": call.part("id")})
