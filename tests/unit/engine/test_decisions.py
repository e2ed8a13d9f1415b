"""Who dials whom (vectors: topology.json `offerer_role`, `open_decision`, `announce_dial`)."""

from __future__ import annotations

from typing import Any

import pytest

from myownmesh.engine.decisions import (
    Dial,
    OnOffer,
    on_announce,
    on_command,
    on_intent,
    on_offer,
    on_unmatched_answer,
    role,
)
from myownmesh.protocol.modes import read_mode
from myownmesh.protocol.signals import OfferReceived
from myownmesh.protocol.strict_json import dumps
from myownmesh.topology.members import Members
from myownmesh.topology.shapes import shape_of
from support.vectors import load
from unit.engine.bench import sdp

ROLES: list[dict[str, Any]] = load("topology", "offerer_role")
DECISIONS: list[dict[str, Any]] = load("topology", "open_decision")
DIALS: list[dict[str, Any]] = load("topology", "announce_dial")

OURS_DIFFERS = {
    "announce higher": Dial.WAIT,  # spec 10 §4: no transport before the offer comes
    "reoffer with entry": Dial.OFFER,  # spec 10 §4: a placeholder does not block the retry
}


@pytest.mark.parametrize("case", ROLES, ids=[f"{case['self'][:5]} {case['peer'][:5]}" for case in ROLES])
def test_role(case: dict[str, Any]) -> None:
    assert role(case["self"], case["peer"]).name.lower() == case["role"]


@pytest.mark.parametrize("case", DECISIONS, ids=[case["name"] for case in DECISIONS])
def test_decision(case: dict[str, Any]) -> None:
    if case["offline"]:
        # Whether the host is online is not known here: whoever watches the network does not tick while it is off.
        assert case["result"] == "nothing"
        return
    assert decide(case) is expected(case)


def expected(case: dict[str, Any]) -> Dial | OnOffer:
    if case["name"] in OURS_DIFFERS:
        return OURS_DIFFERS[case["name"]]
    return OnOffer(case["result"]) if case["event"] == "offer" else Dial(case["result"])


def decide(case: dict[str, Any]) -> Dial | OnOffer:
    me, peer, has_transport = case["self"], case["peer"], case["has_transport"]
    match case["event"]:
        case "announce":
            return on_announce(
                me,
                peer,
                pinned=case["sticky"],
                silent=case["silent"],
                edge=True,
                has_entry=case["has_entry"],
                has_transport=has_transport,
            )
        case "connect_peer":
            return on_command(has_transport=has_transport)
        case "reconnect_intent_due":
            return on_intent(me, peer, pinned=case["sticky"], edge=True, has_transport=has_transport)
        case "offer":
            assert not has_transport
            return on_offer(me, OfferReceived(peer, sdp("B1")), None, 0.0, had_link=False)
        case "answer_without_transport":
            return on_unmatched_answer(me, peer, has_transport=has_transport)
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize("case", DIALS, ids=lambda case: case["name"])
def test_an_announce_in_a_shape(case: dict[str, Any]) -> None:
    me, peer, mode = case["self"], case["peer"], read_mode(dumps(case["mode"]))
    edge = shape_of(mode).edge(me, peer, Members([me, *case["peer_map"]]))
    decision = on_announce(
        me, peer, pinned=case["sticky"], silent=False, edge=edge, has_entry=False, has_transport=False
    )
    waits = case["result"] == "open_as_answerer"  # spec 10 §4: the answerer makes its transport when the offer comes
    assert decision is (Dial.WAIT if waits else Dial(case["result"]))
