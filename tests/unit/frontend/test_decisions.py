"""Who decides in a network, in words for the page; nothing of a peer can act there (spec 08 FE-10.3, FE-10.7)."""

from __future__ import annotations

from typing import Any

from mesh_common.answers import (
    AuthorityRow,
    GovernanceAnswer,
    GovernanceEntry,
    GovernanceFinding,
    GovernanceFounding,
    GovernanceOutlook,
    GovernanceSplit,
    GovernanceState,
    LogAnswer,
    LogLine,
    PendingRow,
    WhoAnswer,
)
from mesh_common.views import PeerInfo
from myownllm.ids import device_suffix
from myownllm.peers import peer_entry
from myownllm.ui.decisions import Explained, Names, decisions, outlook

ME, BEN, CARL = ("a" * 52, "b" * 52, "c" * 52)
HOSTILE = "<b>\u202eBen\x1b[2J"
NAMES = Names(f"{ME}-XXXXX", [peer_entry(PeerInfo(device_id=BEN, status="active", label=HOSTILE))])
BEN_IS = f"<b>Ben[2J ({device_suffix(BEN)})"
CARL_IS = f"the device {device_suffix(CARL)}"


def answer(**members: Any) -> GovernanceAnswer:
    entry = GovernanceEntry(1, {"kind": "kind_change", "to": "closed"}, (ME,), ("s",))
    roles = {CARL: "member", BEN: "controller", ME: "owner"}
    state = GovernanceState(1, "home", "closed", roles, (entry,), **members)
    return GovernanceAnswer(state, evicted=(CARL,))


def test_a_device_that_was_put_out_is_called_as_it_was_here_last() -> None:
    names = Names(ME, [peer_entry(PeerInfo(device_id=BEN, status="active", label="Ben"))], {CARL: HOSTILE, BEN: "Old"})
    evicted = decisions(answer(), names, Explained())["evicted"]
    assert evicted == [{"id": CARL, "name": f"<b>Ben[2J ({device_suffix(CARL)})"}]
    assert names.of(BEN) == f"Ben ({device_suffix(BEN)})"


def waits(**members: Any) -> PendingRow:
    told = {
        "id": "p1",
        "sort": "proposal",
        "text": f"{HOSTILE} puts Carl out",
        "digest": "d1",
        "sign": "puts your name to it",
        "deny": "refuses it everywhere",
        "at": 7,
        "proposer": f"{BEN}-ABCDE",
        "signers": (f"{BEN}-ABCDE",),
        "deniers": (CARL,),
        "decides": (f"{ME}-XXXXX",),
    }
    return PendingRow(**{**told, **members})


def test_what_is_shown_of_a_closed_network() -> None:
    split = GovernanceSplit("other", 1, BEN, ())
    who = WhoAnswer(
        (AuthorityRow(f"{BEN}-ABCDE", HOSTILE, "controller", (), False, "active", None, ("was owner once",)),)
    )
    explained = Explained(
        who=who,
        log=LogAnswer((LogLine(5, HOSTILE, "members", "in force", ()),), more=3),
        pending=(waits(), waits(id="p2", sort="founder", proposer=ME, mine=True)),
        amiss=(GovernanceFinding("single_owner", "There is one owner.", "`recovery-key`"),),
    )
    told = decisions(answer(splits=(split,)), NAMES, explained)
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
    assert first == {
        "id": "p1",
        "sort": "proposal",
        "text": "<b>Ben[2J puts Carl out",
        "digest": "d1",
        "sign": "puts your name to it",
        "deny": "refuses it everywhere",
        "at": 7,
        "signers": [BEN_IS],
        "deniers": [CARL_IS],
        "decides": [f"this device ({device_suffix(ME)})"],
        "is_mine": False,
        "is_signed": False,
    }
    assert (second["is_mine"], second["is_signed"]) == (True, True)
    assert told["evicted"] == [{"id": CARL, "name": CARL_IS}]
    assert told["splits"] == [{"network": "other", "by": BEN_IS}]
    assert told["log"] == [{"at": 5, "text": "<b>Ben[2J", "state": "in force"}]
    assert told["more"] == 3
    assert told["amiss"] == [{"code": "single_owner", "text": "There is one owner.", "help": "`recovery-key`"}]


def test_a_daemon_that_does_not_explain_itself_shows_what_it_has() -> None:
    told = decisions(answer(), NAMES, Explained())
    assert (told["log"], told["more"], told["amiss"], told["pending"]) == (None, 0, [], None)
    assert all(row["refused"] == [] for row in told["roles"])


def test_what_a_change_would_do_is_told_before_it_is_signed() -> None:
    found = GovernanceOutlook(
        ends=(BEN,), falling_admits=(BEN, CARL), signed_anew=(CARL,), refused=("was owner\x1b once",), owners=(ME,)
    )
    assert outlook(found, NAMES.of) == [
        {"text": "Links of this device that end at once", "names": [BEN_IS]},
        {"text": "Let in by it and by nobody else; you sign them in anew", "names": [CARL_IS]},
        {"text": "Let in by it and by nobody else; out with it", "names": [BEN_IS]},
        {"text": "It once signed and did not get; an owner could bring it up again", "names": ["was owner once"]},
        {"text": "Owners behind it", "names": [NAMES.of(ME)]},
    ]
    assert outlook(GovernanceOutlook(), NAMES.of) == [{"text": "Nobody is owner behind it", "names": []}]
    assert outlook(None, NAMES.of) == []


def test_a_founder_is_told_what_to_know_first() -> None:
    founding = GovernanceFounding(unsigned=(BEN,), planted=(CARL,), guessable=True, signed_before=True)
    told = outlook(GovernanceOutlook(owners=(ME,), founding=founding), NAMES.of)
    assert [each["names"] for each in told] == [[BEN_IS], [CARL_IS], [], [], [NAMES.of(ME)]]
    assert "looks like a name" in told[2]["text"]
    assert "signed under this id before" in told[3]["text"]
