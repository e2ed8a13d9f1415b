"""Devices that meet in a local network alone: machines of their own on one cable or hub, no relay, no way out."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from myownmesh.store.identity_file import load_or_create_identity
from myownmesh.store.paths import Home
from support.daemons import MYOWNMESH
from support.devices import PATIENCE_S, Device, Wire
from support.namespaces import lan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.namespaces import Machine

NETWORK: Final = "beside"
OURS: Final = MYOWNMESH


def lan_record(name: str = NETWORK, **members: Any) -> dict[str, Any]:
    """A network that is met in the local network and nowhere else."""
    return {
        "id": name,
        "network_id": name,
        "signaling": {"strategy": "none", "mdns": True},
        "stun_servers": [],
        "turn_servers": [],
        "auto_approve": True,
        **members,
    }


@contextmanager
def devices_beside(*programs: Path, others: int = 0) -> Iterator[tuple[list[Machine], list[Device]]]:
    """A device for each program (`OURS` or another) on a machine of its own; the ids go up from the first one on.

    Behind them come `others` machines without a device.
    """
    with ExitStack() as opened:
        _, machines = opened.enter_context(lan(len(programs) + others))
        base = Path(tempfile.mkdtemp(prefix="lan"))
        opened.callback(shutil.rmtree, base, ignore_errors=True)
        homes = [base / str(number) for number in range(len(programs))]
        for home in homes:
            home.mkdir()
        ids = [load_or_create_identity(Home(home)).device_id for home in homes]
        ranked = [homes[number] for number in sorted(range(len(ids)), key=ids.__getitem__)]
        made: list[Device] = []
        for program, machine, home in zip(programs, machines[: len(programs)], ranked, strict=True):
            device = Device(home, program, enter=machine.enter, environ={"MYOWNMESH_MDNS": "on"})
            opened.callback(device.close)
            device.start()
            made.append(device)
        yield machines, made


def join(device: Device, name: str = NETWORK, **members: Any) -> None:
    """The device joins the network."""
    with_wire(device, "network_add", config=lan_record(name, **members))


def peers(device: Device, name: str = NETWORK) -> dict[str, str]:
    """The status of each device that a device tells of."""
    found = with_wire(device, "peers_list", network=name)["peers"]
    return {peer["device_id"]: peer["status"] for peer in found}


def sees(device: Device, other: Device, name: str = NETWORK) -> str | None:
    """The status that a device tells of another one."""
    return peers(device, name).get(other.key)


def until_active(one: Device, other: Device, name: str = NETWORK) -> None:
    """Wait until both tell of a working link."""
    until(lambda: sees(one, other, name) == sees(other, one, name) == "active", "both see an active link")


def call(caller: Device, callee: Device, method: str) -> None:
    """One call from one device to the other, of a method that is registered for it, which answers what it is given."""
    with calling(caller, callee, method):
        """It is answered at once."""


@contextmanager
def calling(caller: Device, callee: Device, method: str) -> Iterator[None]:
    """The same, answered behind the block: it is under way all the while."""
    events, client = callee.subscribe()
    callee.wire().data("rpc_register", client_id=client, network=NETWORK, method=method, streaming=False)
    asked = caller.wire()
    asked.post("rpc_call", network=NETWORK, peer=callee.key, method=method, payload={"n": 1})
    frame = events.frame("rpc_inbound")
    yield
    callee.wire().data("rpc_respond", request_id=frame["request_id"], ok=frame["payload"])
    answer = asked.answer()
    assert answer["ok"], answer
    assert {"n": 1} in answer["data"].values(), answer


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)


def with_wire(device: Device, op: str, **members: Any) -> Any:
    """The data of one request on a connection of its own."""
    with Wire(device.socket, PATIENCE_S) as wire:
        return wire.data(op, **members)
