"""What local clients see, member for member."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.views import (
    CandidateCounts,
    CandidateKind,
    DropReason,
    PeerInfo,
    PeerStatus,
    Phase,
    SelectedPair,
    Tier,
)
from support.vectors import load

LOCAL = load("peer-protocol", "local_json")
ENUMS = load("control-socket", "enums")

BOB = PeerInfo(
    device_id="compmldndjcxyun2njfv6pn5f5u7zkjscyqy3sezpzawxul5spfa",
    status=PeerStatus.ACTIVE,
    tier=Tier("steady"),
    rtt_ms=12,
    clock_skew_ms=-35,
    label="Bob's laptop",
    capabilities=Capabilities(app_version="0.3.8"),
    authenticated=True,
    device_suffix="FE85D",
    verification_code_received="q1w2e3",
    verification_code_sent="k3x9qd",
    local_approve_sent=True,
    remote_approve_seen=True,
    local_candidates=CandidateCounts(host=2, server_reflexive=1),
    remote_candidates=CandidateCounts(host=1, server_reflexive=1),
    selected_pair=SelectedPair(CandidateKind.HOST, CandidateKind.HOST),
)


def test_peer_info_shows_every_member() -> None:
    assert msgspec.json.decode(msgspec.json.encode(BOB)) == LOCAL["peer_info"]
    assert BOB.to_json() | {"capabilities": None} == LOCAL["peer_info"] | {"capabilities": None}


def test_what_is_not_known_is_null() -> None:
    info = PeerInfo(device_id="a", status=PeerStatus.SIGHTED, tier=Tier("steady"), device_suffix="00000")
    assert set(info.to_json()) == set(LOCAL["peer_info"])
    assert info.to_json()["selected_pair"] is None


@pytest.mark.parametrize("case", [*LOCAL["tiers"], *ENUMS["tier_objects"]], ids=str)
def test_tiers(case: dict[str, Any]) -> None:
    tier = msgspec.convert(case, Tier)
    assert tier.to_json() == case
    assert msgspec.json.decode(msgspec.json.encode(tier)) == case


@pytest.mark.parametrize("case", LOCAL["drop_reasons"], ids=str)
def test_drop_reasons(case: dict[str, Any]) -> None:
    reason = msgspec.convert(case, DropReason)
    assert reason.to_json() == case
    assert msgspec.json.decode(msgspec.json.encode(reason)) == case


def test_nested_views_have_members_of_their_own() -> None:
    assert CandidateCounts(relay=1).to_json()["relay"] == 1
    assert SelectedPair("host", "relay").to_json() == {"local": "host", "remote": "relay"}


def test_names_are_those_of_the_control_socket() -> None:
    assert list(PeerStatus) == ENUMS["peer_status"]
    assert list(Phase) == ENUMS["phase"]
    assert list(CandidateKind) == ENUMS["ice_candidate_kind"]
