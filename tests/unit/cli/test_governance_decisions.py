"""What a person is shown and asked before something is signed; scripts are asked nothing (02 §24.3 nos. 45, 47)."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from myownmesh.cli import governance_decisions, governance_tables, main

if TYPE_CHECKING:
    from pathlib import Path

    from unit.cli.fake_daemon import FakeDaemon

UNKNOWN = {"ok": False, "error": "parse: unknown variant `governance_pending`, expected"}
IN_FORCE = {"proposal_id": "p", "effective": True, "waits_for": []}
FALLS = {"owners": ["o-1"], "falling_admits": ["d-1", "e-2"], "signed_anew": ["d-1", "e-2"]}
ROW = {"id": "p", "text": "Anna\x1b wants: x", "digest": "abc", "sign": "put your name under it", "deny": "refuse it"}


class Desk:
    """A daemon of ours, and what is typed at the terminal."""

    def __init__(self, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
        self._daemon, self._monkeypatch = daemon, monkeypatch
        self.outlook: dict[str, Any] = {"owners": ["o-1"]}
        self.answers: dict[str, Any] = {"governance_pending": {"rows": [ROW]}}
        daemon.answer = self._answer

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("dry_run"):
            return {"ok": True, "data": {**IN_FORCE, "proposal_id": "", "outlook": self.outlook}}
        found = self.answers.get(request["op"], IN_FORCE)
        return found if "ok" in found else {"ok": True, "data": found}

    def types(self, text: str) -> None:
        self._monkeypatch.setattr(governance_decisions, "is_attended", lambda: True)
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    def run(self, line: str) -> int:
        return main(["ctl", "governance", *line.split()])

    @property
    def acted(self) -> list[dict[str, Any]]:
        requests = self._daemon.requests
        return [each for each in requests if each["op"] != "governance_pending" and not each.get("dry_run")]


@pytest.fixture
def desk(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(daemon, monkeypatch)


def test_a_dry_run_acts_on_nothing(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    for line in ("evict a d", "revoke-role a d", "grant-role a d owner", "propose-kind a open"):
        assert desk.run(f"{line} --dry-run") == 0
    assert desk.acted == []
    assert json.loads(capfd.readouterr().out.split("\n}\n")[0] + "}")["outlook"] == desk.outlook


def test_a_daemon_that_knows_no_dry_run_is_not_sent_one(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    """The reference would ignore the member and do it."""
    desk.answers["governance_pending"] = UNKNOWN
    assert desk.run("evict a d --dry-run") == 1
    assert desk.acted == []
    assert "this daemon knows no dry run: it would do it" in capfd.readouterr().err


def test_a_script_is_asked_nothing_and_says_whom_it_keeps(desk: Desk) -> None:
    desk.outlook = FALLS
    for option, sent in (
        ("", None),
        (" --keep all", "all"),
        (" --keep none", "none"),
        (" --keep d-1,e-2", ["d-1", "e-2"]),
        (" --keep before:1000", {"before": 1000}),
        (" --keep before:1970-01-02", {"before": 86400}),
    ):
        assert desk.run(f"evict a d{option}") == 0
        assert desk.acted[-1].get("keep") == sent
    assert desk.run("evict a d --keep before:soon") == 1


@pytest.mark.parametrize(("typed", "sent"), [("\n", "all"), ("none\n", "none"), ("d-1\n", ["d-1"])])
def test_a_person_chooses_who_falls_with_an_author(desk: Desk, typed: str, sent: object) -> None:
    desk.outlook = FALLS
    desk.types(typed)
    assert desk.run("evict a d") == 0
    assert desk.acted[-1]["keep"] == sent
    assert desk.run("revoke-role a d --keep all") == 0
    assert desk.acted[-1]["keep"] == "all"


@pytest.mark.parametrize(
    "doubt",
    [
        {"owners": ["o"], "refused": ["makes x an owner"]},
        {"owners": ["o"], "let_in": ["d-1"]},
        {"owners": []},
        {"owners": ["o"], "founding": {"guessable": True}},
    ],
)
def test_what_a_person_should_think_about_is_asked(
    desk: Desk, doubt: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    desk.outlook = doubt
    desk.types("\n")
    assert desk.run("grant-role a d owner") == 1
    assert desk.acted == []
    assert "nothing was signed" in capfd.readouterr().err
    desk.types("y\n")
    assert desk.run("grant-role a d owner") == 0
    assert len(desk.acted) == 1


def test_a_founding_says_first_what_it_will_do_also_to_a_script(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    desk.outlook = {
        "owners": ["o-1"],
        "founding": {"unsigned": ["d-1"], "planted": ["m-2"], "guessable": True, "signed_before": True},
    }
    assert desk.run("propose-kind a closed") == 0
    said = capfd.readouterr().err
    for words in ("wait for your signature:\n  d-1", "count for nothing:\n  m-2", "looks like a name", "signed under"):
        assert words in said
    assert len(desk.acted) == 1


def test_what_is_signed_is_what_was_shown(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    assert desk.run("sign a p") == 0
    assert desk.acted == [
        {"op": "governance_sign", "network": "a", "proposal_id": "p", "mfa_code": None, "digest": "abc"}
    ]
    said = capfd.readouterr().err
    assert "wants: x" in said
    assert "\x1b" not in said
    assert desk.run("sign a p --digest other --keep none") == 0
    assert (desk.acted[-1]["digest"], desk.acted[-1]["keep"]) == ("other", "none")


def test_a_person_may_think_better_of_it(desk: Desk) -> None:
    desk.types("n\n")
    assert desk.run("sign a p") == 1
    assert desk.acted == []


@pytest.mark.parametrize("listed", [{"rows": []}, UNKNOWN])
def test_what_no_daemon_lists_is_signed_without_a_digest(desk: Desk, listed: dict[str, Any]) -> None:
    desk.answers["governance_pending"] = listed
    assert desk.run("sign a p") == 0
    assert "digest" not in desk.acted[-1]


def test_a_list_that_fails_is_told(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    desk.answers["governance_pending"] = {"ok": False, "error": "unknown network: a"}
    assert desk.run("sign a p") == 1
    assert "unknown network: a" in capfd.readouterr().err
    assert desk.acted == []


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_export_is_a_private_file_that_an_import_reads(
    desk: Desk, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = {"format": "myownmesh-governance", "text": "ä"}
    desk.answers["governance_export"] = {"document": document}
    desk.answers["governance_import"] = {"log": "adopted", "new": 1}
    file = tmp_path / "x.json"
    assert desk.run(f"export a {file}") == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert desk.run(f"import a {file}") == 0
    assert desk.acted[-1] == {"op": "governance_import", "network": "a", "document": document}
    capfd.readouterr()
    assert desk.run("export a") == 0
    assert json.loads(capfd.readouterr().out) == document
    assert desk.run(f"export a {tmp_path}/no/x.json") == 1


@pytest.mark.parametrize(("log", "code"), [("refused", 1), ("waits", 1), ("known", 0), ("claim", 3), ("asked", 3)])
def test_an_import_is_done_or_refused_or_waits_for_a_person(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, log: str, code: int
) -> None:
    desk.answers["governance_import"] = {"log": log}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"{}")))
    assert desk.run("import a -") == code


def test_what_is_no_file_or_no_export_is_said(desk: Desk, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert desk.run(f"import a {tmp_path}/none") == 1
    (tmp_path / "x").write_text("{")
    assert desk.run(f"import a {tmp_path}/x") == 1
    said = capfd.readouterr().err
    assert "No such file" in said
    assert "is no export of `ctl governance export`" in said
    assert desk.acted == []


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"step": "done"}, "n-2 is owner in the place of o-1, which is out."),
        ({"step": "put out", "proposal_id": "", "effective": False}, "Run the same command there"),
        ({"step": "put out", "proposal_id": "p", "effective": False}, "That o-1 goes waits for one of: x"),
        ({"step": "seat", "effective": False}, "That n-2 becomes owner waits for one of: x"),
    ],
)
def test_a_replacement_says_how_far_it_is(desk: Desk, data: dict[str, Any], said: str) -> None:
    answer = {"old": "o-1", "new": "n-2", "role": "owner", "waits_for": ["x"], "effective": True, **data}
    assert said in governance_tables.replaced(answer)
    desk.answers["governance_replace"] = answer
    assert desk.run("replace a o n --keep none") == (0 if answer["effective"] else 3)
    assert desk.acted[-1]["keep"] == "none"


def test_a_quarrel_is_settled_like_any_decision(desk: Desk) -> None:
    assert desk.run("settle a p --mfa-code 1") == 0
    assert desk.acted == [{"op": "governance_settle", "network": "a", "proposal_id": "p", "mfa_code": "1"}]
    assert desk.run("propose-kind a open --force") == 0
    assert desk.acted[-1]["force"] is True


def test_what_waits_is_shown_with_what_an_answer_does() -> None:
    row = {**ROW, "at": 10**9, "proposer": "a-1", "sort": "proposal", "decides": ["o-1"], "deniers": ["d-1"]}
    shown = governance_tables.pending({"rows": [row, {**row, "mine": True, "sort": "founder"}]})
    for words in (
        "p  Anna",
        "against it: d-1",
        "sign: put your name",
        "deny: refuse it",
        "one of: o-1",
        "has signed it",
    ):
        assert words in shown
    assert "\x1b" not in shown
    assert "nobody any more" in governance_tables.pending({"rows": [{**row, "decides": []}]})
    assert governance_tables.pending({}) == "nothing waits for a decision"


def test_an_outlook_says_who_falls_and_who_is_kept() -> None:
    shown = governance_tables.outlook({**FALLS, "signed_anew": ["d-1"], "falling_removals": ["f-3"]})
    assert "you sign them in anew:\n  d-1" in shown
    assert "out with it:\n  e-2" in shown
    assert "signed anew before it goes:\n  f-3" in shown
    assert governance_tables.outlook({}) == ""


def test_an_import_says_what_became_of_it() -> None:
    shown = governance_tables.imported(
        {"log": "claim", "why": "w", "new": 2, "proposals": 1, "refused": 3, "waiting": 4}
    )
    for words in (
        "nobody that a person here has agreed to",
        "(w)",
        "New entries: 2; new proposals: 1",
        ": 3;",
        ": 4 (",
    ):
        assert words in shown
    assert governance_tables.imported({"log": "later"}).startswith("The governance log: later.")


def test_who_was_heard_when() -> None:
    row = {"device_id": "abc-12345", "label": "", "role": "owner", "may": []}
    shown = governance_tables.who(
        {"authorities": [{**row, "status": "active"}, {**row, "last_heard": 10**9}, {**row, "status": "offline"}]}
    ).splitlines()
    assert [part in line for part, line in zip(("now", "2001-09-09", "not yet"), shown[1:], strict=True)] == [True] * 3
