"""Who decides in a network, in words for the page; nothing of a peer can act there (spec 08 FE-10.3, FE-10.7)."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_common.answers import (
    AuthorityRow,
    GovernanceAnswer,
    GovernanceEntry,
    GovernanceFinding,
    GovernanceOutlook,
    GovernanceProposal,
    GovernanceSplit,
    GovernanceState,
    LogAnswer,
    LogLine,
    WhoAnswer,
)
from mesh_common.views import PeerInfo
from myownllm.ids import device_suffix
from myownllm.peers import peer_entry
from myownllm.ui.decisions import Names, decisions, outlook, wish

ME, BEN, CARL = ("a" * 52, "b" * 52, "c" * 52)
HOSTILE = "<b>\u202eBen\x1b[2J"
NAMES = Names(f"{ME}-XXXXX", [peer_entry(PeerInfo(device_id=BEN, status="active", label=HOSTILE))])
BEN_IS = f"<b>Ben[2J ({device_suffix(BEN)})"
CARL_IS = f"the device {device_suffix(CARL)}"


@pytest.mark.parametrize(
    ("variant", "sentence"),
    [
        ({"kind": "kind_change", "to": "closed"}, "wants the network to be closed"),
        ({"kind": "kind_change", "to": "open"}, "wants the network to be open"),
        ({"kind": "role_grant", "target": BEN, "role": "member"}, f"wants {BEN_IS} to be let in"),
        ({"kind": "role_grant", "target": f"{CARL}-ABCDE", "role": "owner"}, f"wants {CARL_IS} to be owner"),
        ({"kind": "role_revoke", "target": ME}, f"wants this device ({device_suffix(ME)}) to lose its role"),
        ({"kind": "evict", "target": BEN}, f"wants {BEN_IS} to be put out"),
        ({"kind": "topology", "topology": {}}, "wants another shape for the network"),
        ({"kind": HOSTILE}, "wants something that this app does not know (<b>Ben[2J)"),
        ({"kind": "evict", "target": 5}, "wants a device to be put out"),
        ({}, "wants something that this app does not know (None)"),
    ],
)
def test_each_wish_is_a_sentence(variant: dict[str, Any], sentence: str) -> None:
    assert wish(variant, NAMES) == sentence


def answer(**members: Any) -> GovernanceAnswer:
    entry = GovernanceEntry(1, {"kind": "kind_change", "to": "closed"}, (ME,), ("s",))
    roles = {CARL: "member", BEN: "controller", ME: "owner"}
    state = GovernanceState(1, "home", "closed", roles, (entry,), **members)
    return GovernanceAnswer(state, evicted=(CARL,))


def test_what_is_shown_of_a_closed_network() -> None:
    waits = GovernanceProposal("p1", 7, BEN, {"kind": "evict", "target": CARL}, (BEN,), ("s",), deniers=(CARL,))
    mine = GovernanceProposal("p2", 8, ME, {"kind": "evict", "target": BEN}, (ME,), ("s",))
    split = GovernanceSplit("other", 1, BEN, ())
    who = WhoAnswer((AuthorityRow(f"{BEN}-ABCDE", HOSTILE, "controller", (), False, "active", ("was owner once",)),))
    log = LogAnswer((LogLine(5, HOSTILE, "members", "in force", ()),), more=3)
    amiss = [GovernanceFinding("single_owner", "There is one owner.", "`recovery-key`")]
    told = decisions(answer(pending=(waits, mine), splits=(split,)), NAMES, who, log, amiss)
    assert (told["kind"], told["role"], told["me"]) == ("closed", "owner", ME)
    assert [(row["role"], row["is_me"]) for row in told["roles"]] == [
        ("owner", True),
        ("controller", False),
        ("member", False),
    ]
    assert told["roles"][1] == {
        "id": BEN,
        "name": BEN_IS,
        "role": "controller",
        "is_me": False,
        "refused": ["was owner once"],
    }
    first, second = told["pending"]
    assert first["text"] == f"{BEN_IS} wants {CARL_IS} to be put out"
    assert (first["signers"], first["deniers"], first["is_mine"], first["is_signed"]) == (
        [BEN_IS],
        [CARL_IS],
        False,
        False,
    )
    assert (second["is_mine"], second["is_signed"]) == (True, True)
    assert told["evicted"] == [{"id": CARL, "name": CARL_IS}]
    assert told["splits"] == [{"network": "other", "by": BEN_IS}]
    assert told["log"] == [{"at": 5, "text": "<b>Ben[2J", "state": "in force"}]
    assert told["more"] == 3
    assert told["amiss"] == [{"text": "There is one owner.", "help": "`recovery-key`"}]


def test_a_daemon_that_does_not_explain_itself_shows_what_it_has() -> None:
    told = decisions(answer(), NAMES, None, None, ())
    assert (told["log"], told["more"], told["amiss"]) == (None, 0, [])
    assert all(row["refused"] == [] for row in told["roles"])


def test_what_a_change_would_do_is_told_before_it_is_signed() -> None:
    found = GovernanceOutlook(ends=(BEN,), unreachable=(CARL,), owners=(ME,))
    assert outlook(found, NAMES.of) == [
        {"text": "Links of this device that end at once", "names": [BEN_IS]},
        {"text": "Without a link to this device now; they hear of it later", "names": [CARL_IS]},
        {"text": "Owners behind it", "names": [NAMES.of(ME)]},
    ]
    assert outlook(GovernanceOutlook(), NAMES.of) == [{"text": "Nobody is owner behind it", "names": []}]
    assert outlook(None, NAMES.of) == []
