"""Answers and events of the vectors as classes, and back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from mesh_common import answers
from mesh_common.events import Diag, PeerDropped, encode_event
from mesh_common.reading import UnreadableAnswer, read, read_event
from mesh_common.views import (
    ActiveServer,
    DropReason,
    FailedServer,
    HubsShape,
    JoinedNetwork,
    PeerStatus,
    Phase,
    RingShape,
    ServerReport,
    Shape,
    StarShape,
    Tier,
    TransportError,
    WaitingServer,
)
from support.vectors import load

ANSWERS: dict[str, type[Any]] = {
    "status": answers.StatusAnswer,
    "identity_show": answers.IdentityAnswer,
    "identity_set_label": answers.IdentityAnswer,
    "network_id_generate": answers.NetworkIdAnswer,
    "network_id_normalize": answers.NetworkIdAnswer,
    "config_show": answers.ConfigAnswer,
    "services_status": answers.ServicesAnswer,
    "services_set": answers.ServicesSet,
    "networks_list": answers.NetworksAnswer,
    "network_add": answers.NetworkAdded,
    "network_remove": answers.NetworkRemoved,
    "network_update": answers.NetworkUpdated,
    "network_reconnect": answers.NetworkReconnecting,
    "network_connect_peer": answers.PeerConnecting,
    "topology_set": answers.TopologySet,
    "capabilities_set": answers.CapabilitiesSet,
    "peers_list": answers.PeersAnswer,
    "roster_list": answers.RosterAnswer,
    "roster_approve": answers.DeviceApproved,
    "roster_remove": answers.DeviceRemoved,
    "events_subscribe": answers.EventsSubscribed,
    "rpc_register": answers.MethodRegistered,
    "rpc_unregister": answers.MethodReleased,
    "rpc_respond": answers.CallResolved,
    "rpc_stream_chunk": answers.ChunkDelivered,
    "rpc_stream_end": answers.StreamClosed,
    "rpc_call": answers.CallAnswer,
    "rpc_call_stream": answers.StreamStarted,
    "channel_subscribe": answers.ChannelSubscribed,
    "channel_unsubscribe": answers.ChannelUnsubscribed,
    "channel_send_to": answers.MessageSent,
    "channel_send_reliable": answers.MessageDelivered,
    "channel_send_all": answers.MessageDispatched,
}
OURS_ALONE = {"home", "instance", "pid", "clock", "config_redacted", "relays", "left_out", "why", "sealed", "turn"}
"""Members that the reference's answers have not; their absence reads as None, or as none."""
THEIRS_ALONE = {"warning"}
"""Of a `network_remove` that the reference puts off, which ours must not (spec 05 §8.2)."""

OPS = {op["op"]: op for op in load("control-socket", "ops")}
CASES = [
    (name, answer["data"])
    for name in ANSWERS
    for answer in (OPS[name]["success"], *OPS[name].get("success_variants", ()))
    if answer.get("ok") is True
]


def as_theirs(written: Any) -> Any:
    """Without what only ours says, where it says nothing."""
    match written:
        case dict():
            return {name: as_theirs(value) for name, value in written.items() if value or name not in OURS_ALONE}
        case list():
            return [as_theirs(value) for value in written]
        case _:
            return written


@pytest.mark.parametrize(("name", "data"), CASES, ids=[name for name, _ in CASES])
def test_answers_of_the_vectors(name: str, data: dict[str, Any]) -> None:
    written = msgspec.json.decode(msgspec.json.encode(read(ANSWERS[name], data)))
    assert as_theirs(written) == {key: value for key, value in data.items() if key not in THEIRS_ALONE}


@pytest.mark.parametrize("settings", [None, {"network_id": "home", "turn_servers": [{"url": "turn:a:1"}]}])
def test_members_whose_names_are_none_in_python_are_read_by_those_on_the_wire(settings: dict[str, Any] | None) -> None:
    told = answers.InvitationTaken("net_1", "home", "", "open", "a-00000", "Anna", ("ws://r",), (), 7, True, settings)
    data = msgspec.json.decode(msgspec.json.encode(told))
    assert data["from"] == "a-00000"
    assert read(answers.InvitationTaken, data) == told
    del data["from"]
    with pytest.raises(UnreadableAnswer, match="'from'"):
        read(answers.InvitationTaken, data)


def test_unknown_members_are_ignored_and_absent_ones_have_their_meaning() -> None:
    old = read(answers.StatusAnswer, {"version": "0.1.2", "device_id": "a-00000", "joined_networks": [], "new": 1})
    assert (old.media_lanes, old.media_pipes, old.instance) == (1, False, None)


@pytest.mark.parametrize(
    "data", [None, [], "x", {}, {"version": 1, "device_id": "a"}, {"version": "1", "device_id": None}]
)
def test_what_is_no_answer_is_refused(data: object) -> None:
    with pytest.raises(UnreadableAnswer, match="StatusAnswer"):
        read(answers.StatusAnswer, data)


def test_nothing_is_bent_into_shape() -> None:
    with pytest.raises(UnreadableAnswer):
        read(answers.MessageDispatched, {"dispatched_to": True})
    with pytest.raises(UnreadableAnswer):
        read(answers.NetworkRemoved, {"removed": 5})


@pytest.mark.parametrize(
    ("members", "shape"),
    [
        ({"kind": "full_mesh"}, Shape("full_mesh")),
        ({"kind": "ring", "n_preferred": None}, RingShape("ring", None)),
        ({"kind": "star", "hub": "a"}, StarShape("star", "a")),
        ({"kind": "hubs", "hubs": ["a", "b"], "spoke_redundancy": 2}, HubsShape("hubs", ("a", "b"), 2)),
        ({"kind": "of tomorrow", "depth": 3}, Shape("of tomorrow")),
    ],
    ids=str,
)
def test_shapes(members: dict[str, Any], shape: Shape) -> None:
    network = {"config_id": "a", "network_id": "b", "label": "", "phase": "alone", "topology": members}
    assert read(JoinedNetwork, network).topology == shape


@pytest.mark.parametrize(
    ("members", "report"),
    [
        ({"enabled": False, "running": False, "listen": None}, ServerReport(False, False)),
        ({"enabled": True, "running": False, "listen": None, "error": "why"}, FailedServer(True, False, None, "why")),
        (
            {"enabled": True, "running": False, "listen": None, "error": "e", "failing_since": 7, "retry_in_ms": 8},
            WaitingServer(True, False, None, "e", 7, 8),
        ),
    ],
    ids=str,
)
def test_servers(members: dict[str, Any], report: ServerReport) -> None:
    assert read(ServerReport, members) == report
    assert msgspec.json.decode(msgspec.json.encode(report)) == members


def test_a_running_relay_tells_its_activity() -> None:
    activity = {"connections": 1, "connections_total": 2, "rooms": 3, "events_relayed": 4}
    report = read(ServerReport, {"enabled": True, "running": True, "listen": "[::]:1", "activity": activity})
    assert isinstance(report, ActiveServer)
    assert report.activity.events_relayed == 4


LOCAL = load("peer-protocol", "local_json")
ENUMS = load("control-socket", "enums")


@pytest.mark.parametrize("case", [*LOCAL["tiers"], *ENUMS["tier_objects"]], ids=str)
def test_tiers(case: dict[str, Any]) -> None:
    assert read(Tier, case) == Tier(case["kind"])


@pytest.mark.parametrize("case", LOCAL["drop_reasons"], ids=str)
def test_drop_reasons(case: dict[str, Any]) -> None:
    reason = read(DropReason, case)
    assert isinstance(reason, TransportError) == ("message" in case)
    assert json.dumps(msgspec.json.decode(msgspec.json.encode(reason))) == json.dumps(case)


@pytest.mark.parametrize("case", load("control-socket", "mesh_events"), ids=str)
def test_events_of_the_vectors(case: dict[str, Any]) -> None:
    members = case.get("event", case)
    event = read_event(members)
    assert event is not None
    assert msgspec.json.decode(encode_event(event)) == members


def test_members_are_written_in_their_order() -> None:
    written = encode_event(PeerDropped("net", "dev", TransportError("transport_error", "gone")))
    assert list(msgspec.json.decode(written)) == [
        "event_kind", "kind", "network_id", "device_id", "reason", "grace_window_ms",
    ]  # fmt: skip
    assert b'"reason":{"kind":"transport_error","message":"gone"}' in written
    assert "kind" not in msgspec.json.decode(encode_event(Diag(0, "n", "info", "ice", "x")))


def test_events_of_tomorrow_are_no_error() -> None:
    assert read_event({"event_kind": "peer", "kind": "levitated", "network_id": "a", "device_id": "b"}) is None
    assert read_event({"event_kind": "peer", "kind": "sighted"}) is None
    assert read_event({}) is None


def test_names_are_those_of_the_control_socket() -> None:
    assert list(PeerStatus) == ENUMS["peer_status"]
    assert list(Phase) == ENUMS["phase"]
