"""What the running app alone knows of itself, for its own screen and for commands: the headline's facts, the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from msgspec.structs import asdict

from myownllm.headline import Sight, known, verdict
from myownllm.health import AppTold
from myownllm.relays import shown

if TYPE_CHECKING:
    from myownllm.api.server import ApiState
    from myownllm.client import ClientState, MeshClient
    from myownllm.coerce import JsonObject
    from myownllm.door.server import Door
    from myownllm.headline import DaemonState
    from myownllm.runtimes.manager import RuntimeState
    from myownllm.supervisor import Supervisor, SupervisorState
    from myownllm.watch import Watch


def sight(state: ClientState, supervisor: SupervisorState) -> Sight:
    """What the running app sees, for its headline."""
    connection = supervisor.connection
    daemon: DaemonState = "up"
    if connection is None:
        daemon = "failed" if supervisor.state == "failed" else "absent"
    elif supervisor.silence:
        daemon = "silent"
    return Sight(
        handle=state.handle,
        phase=state.phase,
        error=state.error,
        daemon=daemon,
        daemon_reason=reason_of(supervisor),
        is_shared=connection is not None and connection.mode == "shared",
        relays=state.relays,
        joining=state.is_joining,
        has_turn=state.phase == "ice-failed-turn-unreachable",
        peers=known(state.peers),
        twin=state.twin,
        put_out=state.is_put_out,
        lan=state.is_met_locally,
        identity_home=state.daemon_home,
    )


def reason_of(supervisor: SupervisorState) -> str:
    """What is wrong with the daemon, or what is waited for; what a dead one printed is told once, by itself."""
    return supervisor.silence or supervisor.error.partition("; it said last:")[0]


def _runtime(state: RuntimeState) -> str:
    address = shown(state.base_url)
    where = f"{state.kind} at {address}" if address and address not in state.reason else state.kind
    return f"{where}, {len(state.models)} models" if state.up else f"{where}: {state.reason}"


def install(
    door: Door, client: MeshClient, supervisor: Supervisor, runtime: Watch[RuntimeState], api: Watch[ApiState]
) -> None:
    """Answer `screen`, `daemon_retry`, `daemon_restart`."""

    async def screen(_: JsonObject) -> JsonObject:
        """`AppTold`, and the headline as this app's own screen has it."""
        await trio.lowlevel.checkpoint()
        state, daemon = client.state, supervisor.watch.value
        connection = daemon.connection
        seen = sight(state, daemon)
        told = AppTold(
            error=state.error if state.phase == "error" and connection is not None else "",
            daemon_state=seen.daemon,
            daemon_reason=reason_of(daemon),
            binary="" if connection is None or connection.binary is None else str(connection.binary),
            origin="" if connection is None else connection.origin,
            notes=daemon.notes,
            models=0 if state.published is None else len(state.published.llms),
            runtime=_runtime(runtime.value),
            api=api.value.url or api.value.reason,
        )
        return {**asdict(told), "headline": asdict(verdict(seen))}

    async def daemon_retry(_: JsonObject) -> JsonObject:
        """Try to get a daemon now; tells what was going on instead."""
        await trio.lowlevel.checkpoint()
        before = supervisor.watch.value.state
        supervisor.retry()
        return {"state": before}

    async def daemon_restart(_: JsonObject) -> JsonObject:
        """Replace the own daemon."""
        connection = await supervisor.restart()
        return {"version": connection.daemon_version, "pid": connection.pid, "generation": connection.generation}

    for handler in (screen, daemon_retry, daemon_restart):
        door.operation(handler.__name__, handler)
