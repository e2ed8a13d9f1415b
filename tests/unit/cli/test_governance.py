"""Decisions at the terminal: their exit codes, and what a person reads (spec 10 §2.2, 02 §24.3 no. 63)."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from myownmesh.cli import governance_tables, main
from myownmesh.protocol.ids import display_id

if TYPE_CHECKING:
    from unit.cli.fake_daemon import FakeDaemon

HOSTILE = "Anna\x1b[2J"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"proposal_id": "prop_1", "effective": True}, 0),
        ({"proposal_id": "", "effective": True}, 0),
        ({"proposal_id": "prop_1"}, 0),
        ({"proposal_id": "prop_1", "effective": False, "waits_for": ["a"]}, 3),
    ],
)
@pytest.mark.parametrize(
    "line",
    [
        "evict a d",
        "revoke-role a d",
        "grant-role a d owner",
        "propose-kind a open",
        "sign a p",
        "replace a o n",
        "recovery-key a",
    ],
)
def test_a_decision_that_waits_is_neither_done_nor_refused(
    daemon: FakeDaemon, data: dict[str, Any], code: int, line: str
) -> None:
    daemon.answer = lambda request: {"ok": True, "data": data}
    assert main(["ctl", "governance", *line.split()]) == code


@pytest.mark.parametrize("line", ["evict a d", "evict a d --dry-run", "sign a p --digest x", "replace a o n"])
def test_whom_a_decision_waits_for_is_named_with_its_suffix(
    daemon: FakeDaemon, capfd: pytest.CaptureFixture[str], line: str
) -> None:
    owner = "a" * 51 + "q"
    daemon.answer = lambda request: {"ok": True, "data": {"effective": False, "waits_for": [owner, "odd\x1b", 1]}}
    assert main(["ctl", "--json", "governance", *line.split()]) in (0, 3)
    assert json.loads(capfd.readouterr().out)["waits_for"] == [display_id(owner), "odd\x1b", 1]


def test_a_refusal_is_exit_1(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    daemon.answer = lambda request: {"ok": False, "error": "network: this is the last owner"}
    assert main(["ctl", "governance", "evict", "a", "d"]) == 1
    assert capfd.readouterr().err == "error: daemon error: network: this is the last owner\n"


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("who a", {"op": "governance_who", "network": "a", "device": None}),
        ("who a d", {"op": "governance_who", "network": "a", "device": "d"}),
        ("log a --limit 5", {"op": "governance_log", "network": "a", "limit": 5}),
        ("doctor a", {"op": "governance_doctor", "network": "a"}),
        ("evict a d", {"op": "governance_propose_evict", "network": "a", "target": "d", "mfa_code": None}),
        ("recovery-key a", {"op": "governance_recovery_create", "network": "a", "mfa_code": None}),
    ],
)
def test_requests(daemon: FakeDaemon, line: str, request_: dict[str, Any]) -> None:
    assert main(["ctl", "governance", *line.split()]) == 0
    assert daemon.requests == [request_]


def test_a_recovery_key_comes_by_pipe(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    line = ["ctl", "governance", "recover", "a", "--evict", "lost", "--key", "-"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"aaaa-bbbb\n")))
    assert main(line) == 0
    assert daemon.requests == [
        {"op": "governance_recover", "network": "a", "key": "aaaa-bbbb\n", "owner": None, "evict": "lost"}
    ]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert main(line) == 1
    assert capfd.readouterr().err == "error: standard input is no UTF-8 text\n"


def test_the_log_shows_who_through_whom_and_nothing_moves_the_cursor() -> None:
    lines = [
        {"at": 10**9, "text": f"{HOSTILE} lets x in", "log": "members", "vouched_by": ["abc-12345"]},
        {"at": 10**9, "text": "t", "log": "members", "vouched_by": []},
        {"at": 10**9, "text": "t", "log": "members", "through": "abc-54321"},
        {"at": 10**9, "text": "t", "log": "governance", "first_held": 10**9},
        {"at": 10**9, "text": "t", "log": "governance", "own": True},
    ]
    shown = governance_tables.log({"lines": lines, "more": 2})
    assert "\x1b" not in shown
    assert [part in shown for part in ("12345", "hearsay", "the log", "this device", "and 2 older ones")] == [True] * 5
    assert "…-54321" in shown
    assert governance_tables.log({}) == "nothing has been signed in this network"


def test_who_names_refused_wishes_and_nobody() -> None:
    row = {"device_id": "abc-12345", "label": HOSTILE, "role": "owner", "status": "active", "may": ["x", "y"]}
    shown = governance_tables.who(
        {"authorities": [{**row, "refused": [f"makes {HOSTILE} an owner"]}, {**row, "me": True}], "refused": ["w"]}
    )
    assert "\x1b" not in shown
    assert "abc-12345 signed and did not get: makes Anna" in shown
    assert "this device" in shown
    assert shown.endswith("it once signed and did not get: w")
    assert governance_tables.who({}).startswith("nobody decides here")


def test_what_is_amiss_comes_with_what_helps() -> None:
    assert governance_tables.doctor({"findings": []}) == "nothing is amiss"
    assert (
        governance_tables.doctor({"findings": [{"text": HOSTILE, "help": "h"}]})
        == "Anna\N{REPLACEMENT CHARACTER}[2J\n  → h"
    )


@pytest.mark.parametrize(
    ("data", "first"),
    [
        ({"proposal_id": "p", "effective": True}, "In force."),
        ({"proposal_id": "", "effective": True}, "It holds already; nothing was signed."),
        ({"proposal_id": "p"}, "Done; this daemon does not say whether it is in force (`ctl governance state`)."),
        ({"signed": "p", "effective": False, "waits_for": ["a"]}, "Recorded; it waits for one of: a\nProposal: p"),
        ({"effective": False, "outlook": {"owners": ["o"]}}, "It would wait for: nobody who could sign it\nOwners"),
        ({"effective": True, "outlook": {"ends": ["d"]}}, "It would be in force at once.\nLinks of this device"),
    ],
)
def test_a_decision_says_what_came_of_it(data: dict[str, Any], first: str) -> None:
    assert governance_tables.decision(data).startswith(first)


def test_a_dry_run_names_whoever_is_owner_behind_it() -> None:
    assert governance_tables.decision({"effective": True, "outlook": {"let_in": ["d"]}}).endswith(
        "and back with the reopening; closed again, they are out again:\n  d\nNobody is owner behind it."
    )


def test_a_recovery_key_is_a_page_and_its_use_an_advice() -> None:
    page = governance_tables.recovery_key(
        {"key": "aaaa-bbbb", "device_id": "x-1", "effective": True, "proposal_id": "p"}
    )
    assert "\n  aaaa-bbbb\n" in page
    assert page.endswith("In force.")
    used = governance_tables.recovered({"owner": "x-1", "evicted": "y-2", "signed_anew": 3})
    assert "y-2 is out; 3 of its decisions stay." in used
    assert "is out" not in governance_tables.recovered({"owner": "x-1"})
