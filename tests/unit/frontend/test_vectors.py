"""Every case of vectors/frontend.json in the sections that the frontend implements, against its pure functions."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from mesh_common.client.errors import refusal
from mesh_common.client.frames import parse_frame
from mesh_common.pins import parse_pin
from mesh_common.versions import PROGRAM, compare, read_version, version_meets
from mesh_common.views import CapabilityAdvert
from myownllm import capabilities, coerce, effects, ids, membership, peers, phases
from myownllm.catalog.envelope import export_envelope, import_envelope
from myownllm.catalog.model import Catalog, read_config
from myownllm.catalog.network import SavedNetwork
from myownllm.errors import NetworkIdError, UnknownNetworkError
from myownllm.policy import Gate, Permissions, Policy
from myownllm.prompts import Prompts

SUITES: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "frontend.json").read_text(encoding="utf-8")
)["suites"]
NEW_ID = re.compile(r"net-[0-9a-z]+-[0-9a-z]{1,6}\Z")
RNG = random.Random(7)
NOW_MS = 1_780_000_000_000


def cases(suite: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in SUITES[suite]["cases"]])


def mint() -> str:
    return ids.mint_network_config_id(NOW_MS, RNG)


def network(raw: dict[str, Any]) -> SavedNetwork:
    return SavedNetwork.from_json(raw, mint)


def assert_same(actual: Any, expected: Any) -> None:
    """Equal, where `$NEW_NETWORK_ID` stands for any freshly minted id."""
    if expected == "$NEW_NETWORK_ID":
        assert NEW_ID.match(actual)
    elif isinstance(expected, dict):
        assert set(actual) == set(expected)
        for key, value in expected.items():
            assert_same(actual[key], value)
    elif isinstance(expected, list):
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert_same(a, e)
    else:
        assert actual == expected
        assert isinstance(actual, bool) == isinstance(expected, bool)


@cases("network_mapping")
def test_network_mapping(case: dict[str, Any]) -> None:
    """FE-6.9."""
    assert_same(network(case["input"]["network"]).to_daemon(), case["expect"]["daemon_config"])


@cases("load_then_map")
def test_load_then_map(case: dict[str, Any]) -> None:
    loaded = network(case["input"]["raw_network"])
    assert_same(loaded.to_json(), case["expect"]["loaded"])
    assert_same(loaded.to_daemon(), case["expect"]["daemon_config"])


@cases("topology_coerce")
def test_topology_coerce(case: dict[str, Any]) -> None:
    assert_same(coerce.topology(case["input"]["topology"]), case["expect"]["topology"])


@cases("peer_status")
def test_peer_status(case: dict[str, Any]) -> None:
    """FE-5.14, FE-12.41."""
    assert peers.ui_status(peers.peer_info(case["input"])) == case["expect"]["status"]


@cases("peer_mapping")
def test_peer_mapping(case: dict[str, Any]) -> None:
    told = tuple(peers.CatalogEntry(**each) for each in case["input"].get("previous_catalog", ()))
    entry = peers.peer_entry(peers.peer_info(case["input"]["peer"]), told).to_json()
    assert_same({k: entry[k] for k in case["expect"]["entry"]}, case["expect"]["entry"])


@cases("phase_mapping")
def test_phase_mapping(case: dict[str, Any]) -> None:
    phase = phases.from_daemon(case["input"]["daemon_phase"])
    assert (phase, phases.status_of(phase)) == (case["expect"]["phase"], case["expect"]["status_required"])


@cases("capability_pack")
def test_capability_pack(case: dict[str, Any]) -> None:
    advert = capabilities.pack(case["input"]["capabilities"])
    assert_same(advert, case["expect"]["advert"])
    if "unpacked" in case["expect"]:
        assert_same(capabilities.unpack(coerce.tolerant(CapabilityAdvert, advert)).told, case["expect"]["unpacked"])


@cases("capability_unpack")
def test_capability_unpack(case: dict[str, Any]) -> None:
    """FE-9.14."""
    assert_same(
        capabilities.unpack(coerce.tolerant(CapabilityAdvert, case["input"]["advert"])).told,
        case["expect"]["capabilities"],
    )


@cases("feature_support")
def test_feature_support(case: dict[str, Any]) -> None:
    """FE-9.5."""
    blob = capabilities.read(case["input"]["capabilities"])
    assert capabilities.supports(blob, case["input"]["feature"]) is case["expect"]["supports"]
    matched, total, missing = capabilities.compatibility(blob)
    assert {"matched": matched, "total": total, "missing": missing} == case["expect"]["summary"]


@cases("error_idempotency")
def test_error_idempotency(case: dict[str, Any]) -> None:
    """FE-5.8."""
    given, expected = case["input"], case["expect"]
    kind = refusal(given["error"]).kind
    if kind == "already_joined" and given["op"] == "add":
        succeeded = membership.is_joined(given.get("joined_after", ["home"]), given.get("wanted_network_id", "home"))
    else:
        succeeded = kind == "not_saved" or (given["op"] == "remove" and kind == "unknown_network")
    assert succeeded is expected["treated_as_success"]
    assert (kind == "not_saved") is (expected.get("diag_level") == "warn")


@cases("config_load")
def test_config_load(case: dict[str, Any]) -> None:
    """FE-1.2."""
    loaded = read_config(case["input"]["raw_config"], case["input"]["now_ms"], mint)
    section = loaded.catalog.to_json()
    assert_same(section, case["expect"]["cloud_mesh"])
    for key, value in case["expect"].items():
        if key not in ("cloud_mesh", "top_level_removed"):
            pytest.fail(f"the case expects {key}={value!r}, which this test does not look at")


@cases("catalog_ops")
def test_catalog_ops(case: dict[str, Any]) -> None:
    """FE-6.6."""
    before = read_config({"cloud_mesh": case["input"]["before"]}, NOW_MS, mint).catalog
    error = None
    after = before
    try:
        match case["input"]["op"]:
            case ["add_network", record, options]:
                after = before.add_network(network(record), activate=options.get("activate", False))
            case ["remove_network", config_id]:
                after = before.remove_network(config_id)
            case ["set_active_network", config_id]:
                after = before.set_active_network(config_id)
            case ["update_network", config_id, patch]:
                after = before.update_network(config_id, **patch)
            case other:
                pytest.fail(f"unknown operation {other}")
    except UnknownNetworkError as raised:
        error = str(raised)
    assert [n.network_id for n in after.networks] == case["expect"]["network_ids"]
    assert_same(after.active_network_id, case["expect"]["active_network_id"])
    assert error == case["expect"]["error"]


@cases("export_import")
def test_export_import(case: dict[str, Any]) -> None:
    """FE-6.7, FE-6.8."""
    if "network" in case["input"]:
        envelope: Any = export_envelope(network(case["input"]["network"]))
    else:
        envelope = import_envelope(case["input"]["text"])
    assert_same(envelope, case["expect"]["envelope"])


@cases("network_id_normalize")
def test_network_id_normalize(case: dict[str, Any]) -> None:
    """FE-12.32."""
    if "ok" in case["expect"]:
        assert ids.normalize_network_id(case["input"]["input"]) == case["expect"]["ok"]
    else:
        with pytest.raises(NetworkIdError, match=re.escape(case["expect"]["error"])):
            ids.normalize_network_id(case["input"]["input"])


@cases("version_meets")
def test_version_meets(case: dict[str, Any]) -> None:
    """FE-3.19."""
    assert version_meets(case["input"]["have"], case["input"]["want"]) is case["expect"]["meets"]


@cases("bundle_version_check")
def test_bundle_version_check(case: dict[str, Any]) -> None:
    """FE-3.22."""
    reading = read_version((case["input"]["version_output"] or "").encode(), 0, program=PROGRAM)
    is_match = compare(parse_pin(case["input"]["pin"].encode()), reading).matches
    assert is_match is (case["expect"]["result"] == "match")


@cases("convergence")
def test_convergence(case: dict[str, Any]) -> None:
    """FE-5.6, FE-5.10, FE-5.11, FE-5.12."""
    given = case["input"]
    active = network(given["active"]) if given["active"] else None
    operations = membership.plan(
        given["joined"], active, given["mode"], given.get("added_by_us", ()), strict=given.get("strict", False)
    )
    shown = [["remove", o.network_id] if isinstance(o, membership.Leave) else ["add", o.config_id] for o in operations]
    assert shown == case["expect"]["ops"]


CHANGES: dict[str, Any] = {
    "label": "New",
    "topology": {"kind": "ring", "n_preferred": 6},
    "auto_approve": True,
    "stun_servers": ("stun:other.example:1",),
    "turn_servers": (),
    "signaling_servers": ("wss://other.example",),
    "accepting": "busy",
    "auto_gossip": False,
    "agent_permissions": Permissions(Policy(Gate("denied"))),
    "prompts": Prompts(),
}


@cases("config_drift")
def test_config_drift(case: dict[str, Any]) -> None:
    """FE-8.3."""
    saved = network({"id": "net-1", "network_id": "one", "turn_servers": [{"url": "turn:t.example:1"}], "label": "Old"})
    stored = {**saved.to_daemon(), "relay_redundancy": 5}
    stored["signaling"] = {**stored["signaling"], "redundancy": 5, "denylist": []}
    members = {"agent_permissions": "permissions"}
    changes = {members.get(name, name): CHANGES[name] for name in case["input"]["changed_fields"]}
    edited = attrs.evolve(saved, **changes)
    drifted = membership.drifted(stored, edited.to_daemon())
    assert bool(drifted) is bool(case["expect"]["ops"])
    if drifted:
        update = membership.overlay(stored, edited.to_daemon())
        assert update["relay_redundancy"] == 5
        assert update["signaling"]["redundancy"] == 5
        assert membership.drifted(update, edited.to_daemon()) == ()
    if case["input"].get("update_error"):
        assert refusal(case["input"]["update_error"]).kind == "unsupported"


def shown(effect: effects.Effect) -> list[str]:
    match effect:
        case effects.RefreshPeers():
            return ["peers_refresh"]
        case effects.SetPhase(phase):
            return [f"set_phase:{phase}", f"set_status:{phases.status_of(phase)}"]
        case effects.AddDiag(level, message):
            return [f"diag:{level}:{message}"]
        case effects.Resync():
            return ["resync"]
        case effects.NoteIceFailure(at_ms):
            return [f"set_recent_ice_failure_at:{at_ms}"]
        case effects.RefuseCall(request_id, error, streaming):
            if streaming:
                return [f"rpc_stream_chunk:{request_id}:{{error}}", f"rpc_stream_end:{request_id}"]
            return [f"rpc_respond:{request_id}:error:{error}"]
        case effects.DeliverStream(frame):
            return [f"buffer:{frame.request_id}"]
        case other:
            return [repr(other)]


@cases("event_effects")
def test_event_effects(case: dict[str, Any]) -> None:
    decided = effects.frame_effects(
        parse_frame(case["input"]["frame"]),
        network="one",
        diag_quiet=case["input"].get("diag_quiet", False),
        serves=lambda _: False,
        listens=lambda _: False,
    )
    assert [line for effect in decided for line in shown(effect)] == case["expect"]["effects"]


@cases("status_pill")
def test_status_pill(case: dict[str, Any]) -> None:
    given = case["input"]
    text = phases.pill_text(given["active"], given["phase"], given.get("peers", 0), given.get("error", ""))
    assert text == case["expect"]["text"]


def test_the_catalog_is_a_value() -> None:
    assert Catalog() == Catalog()
