"""A scripted daemon for tests: answers like v0.3.8 on any byte stream, remembers every operation, fails on demand."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import anyio
import trio
import trio.lowlevel
import trio.testing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEVICE_A = "a" * 51 + "q"
DEVICE_B = "b" * 51 + "q"
MUTATIONS = ("network_add", "network_remove", "network_update", "identity_set_label", "roster_approve", "roster_remove")


def peer_info(device_id: str = DEVICE_B, **members: Any) -> dict[str, Any]:
    """A row of `peers_list` with every member that v0.3.8 sends."""
    counts = {"host": 0, "server_reflexive": 0, "peer_reflexive": 0, "relay": 0, "unknown": 0}
    return {
        "device_id": device_id,
        "status": "active",
        "tier": {"kind": "steady"},
        "rtt_ms": 3,
        "clock_skew_ms": None,
        "label": "Pi",
        "capabilities": {"tags": [], "app_version": None, "max_connections": None, "extra": None},
        "local_shelved": False,
        "remote_shelved": False,
        "authenticated": True,
        "device_suffix": "0A1B2",
        "verification_code_received": "k3x9qa",
        "verification_code_sent": "zz11aa",
        "local_approve_sent": True,
        "remote_approve_seen": True,
        "needs_turn": False,
        "local_candidates": counts,
        "remote_candidates": counts,
        "selected_pair": None,
        **members,
    }


class MemoryStream:
    """A stream of trio's as the common client wants it: anyio's words for the same things."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def receive(self) -> bytes:
        try:
            data = bytes(await self._stream.receive_some(65536))
        except trio.BrokenResourceError:
            raise anyio.BrokenResourceError from None
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            raise anyio.BrokenResourceError from None

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)


class Refusal(Exception):
    """The text of an `ok:false` answer."""


class FakeDaemon:
    """Its state is plain attributes; a test changes them as it likes."""

    def __init__(self, version: str = "0.3.8") -> None:
        self.version = version
        self.home: str | None = None
        """what only a daemon of ours tells"""
        self.networks: list[dict[str, Any]] = []
        self.phase = "alone"
        self.network_members: dict[str, Any] = {}
        """what a daemon of ours says of each network beyond the reference: relays, another device's identity"""
        self.peers: list[dict[str, Any]] = []
        self.roster: list[dict[str, Any]] = []
        self.signed: dict[str, Any] = {}
        """What a closed network adds to the answer of an approval."""
        self.label = "Desk"
        self.log: list[dict[str, Any]] = []
        self.claims: dict[str, str] = {}
        self.channels: dict[str, str] = {}
        self.capabilities: Any = None
        self.refuse: dict[str, list[str]] = {}
        """operation → texts of the next failures, in order; an empty list refuses for ever with `refused`"""
        self.hang: set[str] = set()
        self.before: dict[str, Callable[[], object]] = {}
        self.answer: dict[str, Any] = {}
        self.alive = True
        self._clients = 0
        self._subscribing = 0
        self._subscribers: dict[str, trio.abc.Stream] = {}
        self._streams: set[trio.abc.Stream] = set()
        self.nursery: trio.Nursery | None = None

    # ── what tests look at ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def joined(self) -> list[str]:
        return [str(n["network_id"]) for n in self.networks]

    def ops(self, *names: str) -> list[str]:
        """Operations seen so far, in order; only those named, if any are."""
        seen = [r["op"] for r in self.log]
        return [o for o in seen if o in names] if names else seen

    @property
    def mutations(self) -> list[str]:
        return self.ops(*MUTATIONS)

    async def emit(self, frame: dict[str, Any]) -> None:
        """Push a frame to every subscriber."""
        while self._subscribing:
            await trio.lowlevel.checkpoint()
        for stream in list(self._subscribers.values()):
            await _send(stream, frame)

    async def event(self, network: str = "home", **members: Any) -> None:
        await self.emit({"kind": "event", "event": {"network_id": network, **members}})

    async def die(self) -> None:
        """Close everything, as a killed process does; later connections are refused until `alive` is set again."""
        self.alive = False
        for stream in list(self._streams):
            await trio.aclose_forcefully(stream)
        self._clients = 0
        self._subscribers.clear()
        self.claims.clear()
        self.channels.clear()

    async def drop_events(self) -> None:
        """End the event connections only."""
        for stream in list(self._subscribers.values()):
            await trio.aclose_forcefully(stream)

    # ── transport ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def connect(self, _: Path | str) -> MemoryStream:
        """A connection inside the test's process."""
        if not self.alive or self.nursery is None:
            raise ConnectionRefusedError
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.serve, theirs)
        return MemoryStream(ours)

    async def listen(self, path: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve a real socket file until cancelled."""
        listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        await trio.Path(path).unlink(missing_ok=True)
        await listener.bind(str(path))
        listener.listen(64)
        await trio.serve_listeners(self.serve, [trio.SocketListener(listener)], task_status=task_status)  # type: ignore[arg-type]  # every stream serves

    async def serve(self, stream: trio.abc.Stream) -> None:
        self._streams.add(stream)
        buffer = b""
        try:
            while True:
                data = await stream.receive_some(65536)
                if not data:
                    return
                buffer += bytes(data)
                while b"\n" in buffer:
                    line, buffer = buffer.split(b"\n", 1)
                    await self._request(stream, json.loads(line))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            self._streams.discard(stream)
            for client_id, subscriber in list(self._subscribers.items()):
                if subscriber is stream:
                    del self._subscribers[client_id]
                    self.claims = {k: v for k, v in self.claims.items() if v != client_id}
                    self.channels = {k: v for k, v in self.channels.items() if v != client_id}
            await trio.aclose_forcefully(stream)

    async def _request(self, stream: trio.abc.Stream, request: dict[str, Any]) -> None:
        operation = request["op"]
        if operation in self.hang:
            self.log.append(request)
            await trio.sleep_forever()
        try:
            data = self.perform(request)
        except Refusal as refusal:
            await _send(stream, {"ok": False, "error": str(refusal)})
        else:
            subscribes = operation == "events_subscribe" and "client_id" in data
            self._subscribing += subscribes
            await _send(stream, {"ok": True, "data": data})
            if subscribes:
                self._subscribing -= 1
                self._subscribers[data["client_id"]] = stream  # behind the answer, as the reference does

    def perform(self, request: dict[str, Any]) -> Any:
        """The `data` that answers a request. Raises Refusal."""
        operation = request["op"]
        self.log.append(request)
        if operation in self.before:
            self.before[operation]()
        if operation in self.refuse:
            texts = self.refuse[operation]
            text = texts.pop(0) if texts else "refused"
            if not texts and text != "refused":
                del self.refuse[operation]
            raise Refusal(text)
        return self._perform(operation, request)

    def subscribe(self) -> str:
        """A client without a connection, for tests that hand requests in themselves."""
        client_id = str(self._op_events_subscribe(None)["client_id"])
        self._subscribers[client_id] = trio.testing.MemorySendStream()  # type: ignore[assignment]  # nobody sends to it
        return client_id

    # ── operations ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _perform(self, operation: str, request: dict[str, Any]) -> Any:
        if operation in self.answer:
            answer = self.answer[operation]
            return answer(request) if callable(answer) else answer
        handler = getattr(self, f"_op_{operation}", None)
        if handler is None:
            raise Refusal(f"parse: unknown variant `{operation}`, expected one of `status` at line 1 column 9")
        return handler(request)

    def _op_status(self, _: Any) -> Any:
        ours = {} if self.home is None else {"home": self.home}
        return {"version": self.version, "device_id": f"{DEVICE_A}-0A1B2", "joined_networks": self.joined, **ours}

    def _op_events_subscribe(self, _: Any) -> Any:
        client_id = f"c{self._clients}"
        self._clients += 1
        return {"subscribed": True, "client_id": client_id}

    def _op_config_show(self, _: Any) -> Any:
        return {"config": {"version": 3, "networks": self.networks}}

    def _op_identity_show(self, _: Any) -> Any:
        return {"device_id": f"{DEVICE_A}-0A1B2", "pubkey": DEVICE_A, "label": self.label}

    def _op_identity_set_label(self, request: Any) -> Any:
        self.label = request["label"]
        return self._op_identity_show(request)

    def _op_networks_list(self, _: Any) -> Any:
        return {
            "networks": [
                {
                    "config_id": n["id"],
                    "network_id": n["network_id"],
                    "label": n["label"],
                    "phase": self.phase,
                    "topology": n["topology"],
                    **self.network_members,
                }
                for n in self.networks
            ]
        }

    def _find(self, alias: str) -> dict[str, Any]:
        for network in self.networks:
            if alias in (network["id"], network["network_id"]):
                return network
        raise Refusal(f"unknown network: {alias}")

    def _kept(self, config: dict[str, Any]) -> dict[str, Any]:
        """What it stores of a record: the reference drops what it does not know."""
        signaling = {k: v for k, v in config["signaling"].items() if k != "sealed" or self.home is not None}
        return {**config, "signaling": signaling}

    def _op_network_add(self, request: Any) -> Any:
        config = self._kept(request["config"])
        if any(config["id"] in (n["id"], n["network_id"]) for n in self.networks):
            raise Refusal(f"config id '{config['id']}' already in use")
        if any(config["network_id"] in (n["id"], n["network_id"]) for n in self.networks):
            raise Refusal(f"network id '{config['network_id']}' already joined under a different config")
        self.networks.append({**config, "signaling": {**config["signaling"], "redundancy": 5, "denylist": []}})
        return {"added": {"config_id": config["id"], "network_id": config["network_id"]}}

    def _op_network_remove(self, request: Any) -> Any:
        network = self._find(request["network"])
        self.networks.remove(network)
        return {"removed": network["id"]}

    def _op_network_update(self, request: Any) -> Any:
        config = self._kept(request["config"])
        for i, network in enumerate(self.networks):
            if network["id"] == config["id"]:
                restarted = network["signaling"] != config["signaling"]
                self.networks[i] = config
                return {"updated": config["id"], "restarted": restarted}
        raise Refusal(f"unknown network '{config['id']}' — join it with network_add first")

    def _op_network_reconnect(self, request: Any) -> Any:
        self._find(request["network"])
        return {"reconnecting": request["network"]}

    def _op_peers_list(self, request: Any) -> Any:
        self._find(request["network"])
        return {"peers": self.peers}

    def _op_roster_list(self, request: Any) -> Any:
        self._find(request["network"])
        return {"roster": self.roster}

    def _op_roster_approve(self, request: Any) -> Any:
        self._find(request["network"])
        self.roster.append({"device_id": request["device_id"], "label": request["label"], "role": "member"})
        return {"approved": request["device_id"], **self.signed}

    def _op_roster_remove(self, request: Any) -> Any:
        self._find(request["network"])
        return {"removed": request["device_id"]}

    def _client(self, request: Any) -> str:
        client_id = str(request["client_id"])
        if client_id not in self._subscribers:
            raise Refusal(f"unknown client_id: {client_id}")
        return client_id

    def _op_rpc_register(self, request: Any) -> Any:
        client_id = self._client(request)
        self._find(request["network"])
        self.claims[request["method"]] = client_id
        return {"registered": True}

    def _op_rpc_unregister(self, request: Any) -> Any:
        return {"released": self.claims.pop(request["method"], None) is not None}

    def _op_channel_subscribe(self, request: Any) -> Any:
        client_id = self._client(request)
        self._find(request["network"])
        self.channels[request["channel"]] = client_id
        return {"subscribed": True}

    def _op_channel_unsubscribe(self, request: Any) -> Any:
        self.channels.pop(request["channel"], None)
        return {"unsubscribed": True}

    def _op_capabilities_set(self, request: Any) -> Any:
        self._find(request["network"])
        self.capabilities = request["capabilities"]
        return {"advertised": True}

    def _op_rpc_respond(self, _: Any) -> Any:
        return {"resolved": True}

    def _op_rpc_stream_chunk(self, _: Any) -> Any:
        return {"delivered": True}

    def _op_rpc_stream_end(self, _: Any) -> Any:
        return {"closed": True}

    def _op_rpc_call(self, request: Any) -> Any:
        return {"response": request["payload"]}

    def _op_rpc_call_stream(self, request: Any) -> Any:
        self._client(request)
        return {"request_id": "ipc-stream-0"}

    def _op_channel_send_all(self, _: Any) -> Any:
        return {"dispatched_to": sum(p["status"] == "active" for p in self.peers)}

    def _op_channel_send_to(self, _: Any) -> Any:
        return {"sent": True}


async def _send(stream: trio.abc.Stream, value: Any) -> None:
    try:
        await stream.send_all(json.dumps(value).encode() + b"\n")
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


__all__ = ["DEVICE_A", "DEVICE_B", "FakeDaemon", "peer_info"]
