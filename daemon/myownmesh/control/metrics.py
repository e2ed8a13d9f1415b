"""What this daemon tells a monitor: counts and durations, and never who, where or in which network.

All of it is counted anyway for other reasons and only read here, so that whoever asks pays and nobody else.
"""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import trio

from mesh_common.version import VERSION
from mesh_common.views import RelayActivity, RelayedTraffic
from myownmesh.control.departed import summed
from myownmesh.control.openmetrics import Exposition, labels
from myownmesh.engine.path_words import pair_class

if TYPE_CHECKING:
    from mesh_common.answers import UpdateStatus
    from mesh_common.views import PeerInfo, RelayRow, ServicesReport, Traffic
    from myownmesh.control.control import Control
    from myownmesh.mesh.network import Network

_LANES: Final = ("keepalive", "control", "gossip", "app", "other")
_DIRECTIONS: Final = {"tx": "sent", "rx": "received"}
_PATHS: Final = {"lan": "lan", "stun": "internet", "turn": "turn", "unknown": "unknown"}
_STATUSES: Final = (
    "sighted", "handshaking", "authenticated", "pending_approval", "approved", "active", "shelved", "reconnecting",
    "offline", "dropped", "error",
)  # fmt: skip
_RELAY_STATES: Final = ("connecting", "up", "refusing", "silent", "down")
_SERVICES: Final = ("signaling", "stun", "turn")
_IS_DARWIN: Final = sys.platform == "darwin"


async def exposition(control: Control) -> str:
    """Everything, as OpenMetrics text."""
    preferences = (await control.mesh.config_on_disk()).auto_update
    updates = await trio.to_thread.run_sync(control.updates.status, preferences)
    out = Exposition()
    networks = control.mesh.networks()
    out.family("info", "myownmesh_build", "The release that runs.", {labels(version=VERSION): 1})
    out.gauge("myownmesh_networks", "Networks that are joined.", len(networks))
    peers = [peer for network in networks for peer in network.peers()]
    _links(out, peers)
    traffic = summed([control.departed.traffic, *(network.summary().traffic for network in networks)])
    _frames(out, traffic)
    _queues(out, networks)
    _signaling(out, [row for network in networks for row in network.summary().relays or ()], traffic)
    _services(out, control.mesh.services_report())
    _process(out, control)
    _updates(out, updates)
    return out.text()


def _links(out: Exposition, peers: list[PeerInfo]) -> None:
    statuses = Counter(str(peer.status) for peer in peers)
    rows = {labels(status=status): statuses.get(status, 0) for status in _STATUSES}
    out.family("gauge", "myownmesh_peers", "Devices that are known now, over all networks.", rows)
    paths = Counter(_PATHS[pair_class(peer.selected_pair)] for peer in peers if peer.selected_pair is not None)
    rows = {labels(path=path): paths.get(path, 0) for path in _PATHS.values()}
    out.family("gauge", "myownmesh_links", "Links by the path that carries them.", rows)
    times = [peer.rtt_ms for peer in peers if peer.rtt_ms is not None]
    about = "The slowest link's last round trip; 0 without links."
    out.gauge("myownmesh_link_round_trip_max_seconds", about, max(times, default=0) / 1000, "seconds")


def _frames(out: Exposition, traffic: Traffic) -> None:
    lanes = {
        labels(lane=lane, direction=word): getattr(traffic, f"{lane}_{short}")
        for lane in _LANES
        for short, word in _DIRECTIONS.items()
    }
    frames = {key: lane.frames for key, lane in lanes.items()}
    out.family("counter", "myownmesh_frames", "Frames over links.", frames)
    octets = {key: lane.bytes for key, lane in lanes.items()}
    out.family("counter", "myownmesh_frame_bytes", "Bytes of frames over links.", octets, "bytes")
    about = "Frames passed on for devices that have no link of their own."
    out.family("counter", "myownmesh_forwarded_frames", about, {(): traffic.relayed_forwarded})


def _queues(out: Exposition, networks: list[Network]) -> None:
    about = "What waits for room on the fullest link."
    most = max((network.most_queued_bytes for network in networks), default=0)
    out.gauge("myownmesh_link_queue_max_bytes", about, most, "bytes")
    pending = sum(network.summary().traffic.reliable_pending for network in networks)
    out.gauge("myownmesh_reliable_pending", "Acknowledged messages that are on their way.", pending)


def _signaling(out: Exposition, relays: list[RelayRow], traffic: Traffic) -> None:
    states = Counter((row.state, row.public) for row in relays)
    rows = {
        labels(state=state, public=str(public).lower()): states.get((state, public), 0)
        for state in _RELAY_STATES
        for public in (False, True)
    }
    out.family("gauge", "myownmesh_relays", "Relays of all networks, by how they serve.", rows)
    signals = {
        labels(kind="announce", direction="sent"): traffic.announces_tx,
        labels(kind="announce", direction="received"): traffic.announces_rx,
        labels(kind="negotiation", direction="sent"): traffic.negotiation_tx,
        labels(kind="negotiation", direction="received"): traffic.negotiation_rx,
    }
    out.family("counter", "myownmesh_signals", "What is said in the rooms of networks.", signals)


def _services(out: Exposition, report: ServicesReport) -> None:
    servers = {name: getattr(report, name) for name in _SERVICES}
    for word, about in (("enabled", "Services that are switched on."), ("running", "Services that serve.")):
        rows = {
            labels(service=name): int(server is not None and getattr(server, word)) for name, server in servers.items()
        }
        out.family("gauge", f"myownmesh_service_{word}", about, rows)
    activity = getattr(servers["signaling"], "activity", None)
    if isinstance(activity, RelayActivity):
        out.gauge("myownmesh_relay_connections", "Clients of the hosted relay.", activity.connections)
        out.gauge("myownmesh_relay_rooms", "Rooms with somebody in them.", activity.rooms)
        about = "Clients that have come."
        out.family("counter", "myownmesh_relay_clients", about, {(): activity.connections_total})
        about = "Events handed to subscribers."
        out.family("counter", "myownmesh_relay_events", about, {(): activity.events_relayed})
    relayed = getattr(servers["turn"], "relayed", None)
    if isinstance(relayed, RelayedTraffic):
        _turn(out, relayed)


def _turn(out: Exposition, relayed: RelayedTraffic) -> None:
    out.gauge("myownmesh_turn_allocations", "Addresses that are lent.", relayed.allocations)
    out.gauge("myownmesh_turn_streams", "Clients over TCP or TLS.", relayed.streams)
    about = "Addresses that have been lent."
    out.family("counter", "myownmesh_turn_lent", about, {(): relayed.allocations_total})
    up, down = labels(direction="up"), labels(direction="down")
    packets = {up: relayed.packets_up, down: relayed.packets_down}
    out.family("counter", "myownmesh_turn_packets", "Relayed datagrams; up is from clients.", packets)
    octets = {up: relayed.bytes_up, down: relayed.bytes_down}
    out.family("counter", "myownmesh_turn_bytes", "Relayed bytes; up is from clients.", octets, "bytes")
    refusals = {
        labels(reason=name): getattr(relayed, name) for name in ("policed", "forbidden", "over_quota", "unauthorised")
    }
    out.family("counter", "myownmesh_turn_refusals", "What was not done, and why.", refusals)


def _process(out: Exposition, control: Control) -> None:
    delays = control.mesh.delays
    about = "How much later than wanted the loop came to a timer."
    out.summary("myownmesh_loop_delay_seconds", about, delays.count, delays.total_s, "seconds")
    about = "The longest of them since the start."
    out.gauge("myownmesh_loop_delay_max_seconds", about, delays.most_s, "seconds")
    out.gauge("myownmesh_event_connections", "Programs that follow events.", len(control.clients))
    out.family("counter", "process_cpu_seconds", "Processor time of the daemon.", {(): time.process_time()}, "seconds")
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if _IS_DARWIN else 1024)
    out.gauge("process_resident_memory_max_bytes", "The most memory that it had.", used, "bytes")


def _updates(out: Exposition, status: UpdateStatus) -> None:
    out.gauge("myownmesh_update_enabled", "Whether the daemon looks for updates.", int(status.enabled))
    out.gauge("myownmesh_update_staged", "Whether one waits.", int(status.staged_version is not None))
    rolled_back = int(status.rolled_back_from is not None)
    out.gauge("myownmesh_update_rolled_back", "Whether the last one was taken back.", rolled_back)
    out.gauge("myownmesh_update_quarantined", "Releases that are not tried again.", len(status.quarantine))
    about = "When was looked last, in Unix seconds; 0: never."
    out.gauge("myownmesh_update_last_check_timestamp_seconds", about, status.last_check_at or 0, "seconds")
