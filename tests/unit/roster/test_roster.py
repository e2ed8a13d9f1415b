"""The roster: who is let in, what gossip may change, what the file keeps."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_common.views import RosterRow
from myownmesh.identity import Identity
from myownmesh.protocol import base32
from myownmesh.protocol.frames import RosterEntry
from myownmesh.roster import MAX_ENTRIES, Entry, Roster
from myownmesh.roster import roster as module
from support.vectors import load

VECTORS = load("peer-protocol", "roster")
ROSTERS = {case["name"]: case for case in VECTORS["rosters"]}
ALICE, BOB, CAROL = (case["device_id"] for case in load("peer-protocol", "identities")[:3])


def of(case: dict[str, Any]) -> Roster:
    return Roster("home", tuple(Entry(**entry) for entry in case["entries"]))


# ── roots ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("case", VECTORS["rosters"], ids=lambda case: case["name"])
def test_roots_and_summary(case: dict[str, Any]) -> None:
    roster = of(case)
    assert roster.membership_root() == case["membership_root"]
    summary = roster.summary()
    assert {
        "kind": summary.KIND,
        "root": summary.root,
        "count": summary.count,
        "last_edit_ts": summary.last_edit_ts,
    } == (case["summary"])


RELATIONS = [case for case in VECTORS["relations"] if case["root"] == "membership_root"]


@pytest.mark.parametrize("case", RELATIONS, ids=lambda case: f"{case['a']} {case['b']}")
def test_which_differences_a_root_sees(case: dict[str, Any]) -> None:
    a, b = of(ROSTERS[case["a"]]), of(ROSTERS[case["b"]])
    assert (a.membership_root() == b.membership_root()) == case["equal"]


def test_the_membership_root_is_a_hash_over_the_ids() -> None:
    example = VECTORS["membership_preimage_example"]
    roster = of(ROSTERS[example["roster"]])
    assert roster.membership_root() == base32.encode(sha256(example["utf8"].encode()).digest())


def test_newest_approval() -> None:
    case = VECTORS["last_edit_ts"]
    entries = tuple(Entry(f"peer{i}", "", at) for i, at in enumerate(case["approved_at"]))
    assert Roster("home", entries).last_edit_ts == case["result"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), unique=True, max_size=6), st.randoms())
def test_roots_do_not_depend_on_the_order(ids: list[str], random: Any) -> None:
    entries = [Entry(device_id, "x", 1) for device_id in ids]
    first = Roster("home", tuple(entries))
    random.shuffle(entries)
    second = Roster("home", tuple(entries))
    assert first.membership_root() == second.membership_root()


# ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_approved_device_is_authorized_in_either_form() -> None:
    roster = Roster("home").approve(f"{BOB}-FE85D", "Bob", 100)
    assert roster.is_authorized(BOB)
    assert roster.is_authorized(f"{BOB}-FE85D")
    assert not roster.is_authorized(ALICE)
    assert roster.get(BOB) == Entry(BOB, "Bob", 100, user_label="Bob", by_hand=True)
    assert roster.get(ALICE) is None


def test_approving_again_changes_nothing_but_the_name() -> None:
    roster = Roster("home", (Entry(BOB, "Bob", 100, "owner"),)).approve(BOB, "Bobby", 200)
    assert roster.rows() == (RosterRow(BOB, "Bobby", 100, "owner"),)
    assert roster.approve(BOB, "", 300).rows()[0].label == ""


def test_the_users_name_outlives_the_name_a_device_gives_itself() -> None:
    roster = Roster("home").approve(BOB, "Bob's old phone", 100).meet(BOB, "android-77", 200)
    assert roster.rows()[0].label == "Bob's old phone"
    assert roster.wire_entries() == (RosterEntry(BOB, "android-77", 100, "member"),)
    assert roster.approve(BOB, "", 300).meet(BOB, "android-77", 300).rows()[0].label == "android-77"


def test_meeting_a_stranger_rosters_it() -> None:
    roster = Roster("home").meet(BOB, "Bob\x1b[0m", 100)
    assert roster.get(BOB) == Entry(BOB, "Bob[0m", 100)
    assert roster.meet(BOB, "Bob[0m", 200) is roster


ME = "a" * 52


def test_what_was_seen_of_sealing_is_noted_for_known_devices_only_and_may_be_taken_back() -> None:
    roster = Roster("home").approve(BOB, "Bob", 100)
    assert roster.set_seals(ALICE, True) is roster, "nobody gets in by sealing"
    assert roster.set_seals(BOB, False) is roster
    sealing = roster.set_seals(f"{BOB}-FE85D", True)
    assert sealing.entries == (Entry(BOB, "Bob", 100, user_label="Bob", seals=True, by_hand=True),)
    assert sealing.set_seals(BOB, True) is sealing
    assert sealing.set_seals(BOB, False) == roster


def test_gossip_adds_and_never_refreshes() -> None:
    roster = Roster("home").merge([RosterEntry(BOB, "Bob", 7, "controller")], 100, me=ME)
    assert roster.rows() == (RosterRow(BOB, "Bob", 100, "controller"),)
    assert roster.merge([RosterEntry(f"{BOB}-FE85D", "Mallory", 7, "owner")], 200, me=ME) is roster


@pytest.mark.parametrize("device_id", ["", "peer1", BOB.upper(), f"{BOB}x", "é" * 52])
def test_gossip_brings_no_ids_that_are_none(device_id: str) -> None:
    roster = Roster("home")
    assert roster.merge([RosterEntry(device_id, "", 7, "member")], 100, me=ME) is roster


def test_gossip_does_not_bring_this_device() -> None:
    roster = Roster("home")
    assert roster.merge([RosterEntry(f"{ALICE}-FE85D", "", 7, "owner")], 100, me=ALICE) is roster


def test_gossip_comes_in_one_piece() -> None:
    """Thousands of rows at once cost one copy of the roster."""
    rows = [
        RosterEntry(CAROL, "first", 7, "member"),
        RosterEntry(BOB, "", 7, "owner"),
        RosterEntry(CAROL, "", 8, "member"),
    ]
    roster = Roster("home").approve(ALICE, "", 1).merge(rows, 100, me=ME)
    assert [row.device_id for row in roster.rows()] == [ALICE, CAROL, BOB]
    assert [row.label for row in roster.rows()] == ["", "first", ""]
    assert roster.is_authorized(BOB)


def test_gossip_does_not_undo_a_removal_but_the_user_can() -> None:
    roster = Roster("home").approve(BOB, "Bob", 100).approve(CAROL, "", 100).remove(f"{BOB}-FE85D")
    assert not roster.is_authorized(BOB)
    assert roster.is_authorized(CAROL)
    assert roster.removed_devices == (BOB,)
    assert roster.merge([RosterEntry(BOB, "Bob", 7, "member")], 200, me=ME) is roster
    assert roster.remove(BOB) == roster
    again = roster.approve(BOB, "", 300)
    assert again.removed_devices == ()
    assert again.is_authorized(BOB)


def test_a_removal_is_remembered_only_of_real_ids() -> None:
    assert Roster("home", (Entry("peer1", "", 1),)).remove("peer1") == Roster("home")


def test_memory_of_removals_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMOVED", 2)
    assert Roster("home").remove(ALICE).remove(BOB).remove(CAROL).removed_devices == (BOB, CAROL)


def test_strangers_cannot_fill_the_roster_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_ENTRIES >= 1000
    monkeypatch.setattr(module, "MAX_ENTRIES", 1)
    roster = Roster("home").merge([RosterEntry(ALICE, "", 7, "member")], 1, me=ME)
    assert roster.merge([RosterEntry(BOB, "", 7, "member")], 1, me=ME) is roster
    assert roster.meet(BOB, "", 1) is roster
    assert roster.meet(ALICE, "new", 1).rows()[0].label == "new"
    assert roster.approve(BOB, "", 1).is_authorized(BOB)


def test_rows_keep_the_order_of_approval() -> None:
    roster = Roster("home").approve(CAROL, "", 1).approve(ALICE, "", 2).meet(BOB, "", 3).meet(CAROL, "new", 4)
    assert [row.device_id for row in roster.rows()] == [CAROL, ALICE, BOB]


# ── file ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_file_of_the_reference_is_read_and_written_back() -> None:
    example = VECTORS["file_example"]
    roster = Roster.from_json(example)
    assert roster.network_id == "home-mesh"
    assert json.dumps(roster.to_json()) == json.dumps(example)


@pytest.mark.parametrize("case", [case for case in VECTORS["file_decode"] if "json" in case], ids=lambda c: str(c)[:60])
def test_file_vectors(case: dict[str, Any]) -> None:
    if case["expect"]["outcome"] in ("hard_error", "quarantine"):
        with pytest.raises(ValueError, match=r"."):
            Roster.from_json(case["json"])
        return
    roster = Roster.from_json(case["json"])
    # Whether the network is the right one is for the store to see.
    assert roster.network_id == case["json"]["network_id"]
    if "roles" in case["expect"]:
        assert {entry.device_id: entry.role for entry in roster.entries} == case["expect"]["roles"]


def test_our_own_members_and_later_ones_survive() -> None:
    value = {
        "version": 1,
        "network_id": "home",
        "authorized_devices": [
            {"device_id": BOB, "label": "b", "approved_at": 1, "role": "owner", "user_label": "Bob", "colour": "red"}
        ],
        "removed_devices": [CAROL],
        "theme": {"dark": True},
    }
    roster = Roster.from_json(value)
    assert roster.to_json() == value
    assert roster.meet(BOB, "x", 2).to_json()["authorized_devices"][0]["colour"] == "red"


def test_the_file_keeps_who_seals_and_says_nothing_of_others() -> None:
    roster = Roster("home").meet(BOB, "b", 1).meet(CAROL, "c", 2).set_seals(BOB, True)
    value = roster.to_json()
    assert value["authorized_devices"] == [
        {"device_id": BOB, "label": "b", "approved_at": 1, "role": "member", "seals": True},
        {"device_id": CAROL, "label": "c", "approved_at": 2, "role": "member"},
    ]
    assert Roster.from_json(value).entries == roster.entries


def test_whom_a_person_here_let_in_is_told_from_whom_gossip_brought() -> None:
    met = Roster("home").meet(BOB, "b", 1)
    known = met.get(BOB)
    assert known is not None
    assert not known.by_hand
    roster = met.approve(BOB, "", 2).meet(CAROL, "c", 2)
    assert roster.to_json()["authorized_devices"] == [
        {"device_id": BOB, "label": "", "approved_at": 1, "role": "member", "by_hand": True},
        {"device_id": CAROL, "label": "c", "approved_at": 2, "role": "member"},
    ]
    assert Roster.from_json(roster.to_json()).entries == roster.entries
    assert roster.meet(BOB, "x", 3).entries[0].by_hand


def test_a_file_may_hold_display_ids_and_repetitions() -> None:
    row = {"label": "", "approved_at": 1}
    value = {
        "version": 1,
        "network_id": "home",
        "authorized_devices": [row | {"device_id": f"{BOB}-FE85D"}, row | {"device_id": BOB, "label": "second"}],
        "removed_devices": [CAROL, 5, CAROL],
    }
    roster = Roster.from_json(value)
    assert roster.entries == (Entry(BOB, "", 1),)
    assert roster.removed_devices == (CAROL,)


GOOD_ROW = {"device_id": BOB, "label": "", "approved_at": 1}
GOOD = {"version": 1, "network_id": "home", "authorized_devices": [GOOD_ROW]}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "roster is NoneType, not an object"),
        ([], "roster is list, not an object"),
        ({}, "roster version None is not 1"),
        (GOOD | {"version": True}, "roster version True is not 1"),
        (GOOD | {"version": 2}, "roster version 2 is not 1"),
        ({"version": 1}, "network_id of the roster is None, not a text"),
        (GOOD | {"authorized_devices": {}}, "authorized_devices is dict, not a list"),
        (GOOD | {"authorized_devices": ["x"]}, "authorized device is str, not an object"),
        (GOOD | {"removed_devices": "x"}, "removed_devices is str, not a list"),
        (GOOD | {"authorized_devices": [{}]}, "device_id of the authorized device is None, not a text"),
        (
            GOOD | {"authorized_devices": [GOOD_ROW | {"label": None}]},
            "label of the authorized device is None, not a text",
        ),
        (
            GOOD | {"authorized_devices": [GOOD_ROW | {"approved_at": 1.0}]},
            "approved_at of an authorized device is 1.0",
        ),
        (
            GOOD | {"authorized_devices": [GOOD_ROW | {"approved_at": True}]},
            "approved_at of an authorized device is True",
        ),
        (GOOD | {"authorized_devices": [GOOD_ROW | {"approved_at": -1}]}, "approved_at of an authorized device is -1"),
        (
            GOOD | {"authorized_devices": [GOOD_ROW | {"approved_at": 2**64}]},
            "approved_at of an authorized device is 184",
        ),
        (GOOD | {"authorized_devices": [GOOD_ROW | {"role": []}]}, r"role of an authorized device is \[\], not one of"),
        (GOOD | {"authorized_devices": [GOOD_ROW | {"user_label": 5}]}, "user_label of an authorized device is 5"),
        (GOOD | {"authorized_devices": [GOOD_ROW | {"seals": 1}]}, "seals of an authorized device is 1, not true or"),
        (GOOD | {"authorized_devices": [GOOD_ROW | {"by_hand": 1}]}, "by_hand of an authorized device is 1, not true"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(value: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Roster.from_json(value)


def test_the_root_of_a_member_that_holds_whom_we_hold() -> None:
    """On an open network each leaves itself out (spec 01 §15.4)."""
    others = [Identity.from_seed(bytes([number]) * 32).device_id for number in range(1, 7)]
    for me in others:
        ours = Roster("home").merge([RosterEntry(each, "", 1, "member") for each in others], 1, me=me)
        for member in (each for each in others if each != me):
            theirs = Roster("home").merge([RosterEntry(each, "", 1, "member") for each in others], 1, me=member)
            assert ours.root_held_by(member, me) == theirs.membership_root()
    stranger = Identity.from_seed(bytes([99]) * 32).device_id
    assert Roster("home").root_held_by(stranger, ME) == Roster("home").approve(ME, "", 1).membership_root()
    odd = Entry("short", "", 1, "member")  # as a file of somebody else's may have it
    ours, theirs = (Roster("home", (odd, Entry(each, "", 1, "member"))) for each in (stranger, ME))
    assert ours.root_held_by(stranger, ME) == theirs.membership_root()


# ── what signed governance says ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("case", load("governance", "roster_mirror"), ids=lambda case: case["id"])
def test_the_mirror_of_signed_state(case: dict[str, Any]) -> None:
    """`seated-but-tombstoned`: v0.3.8 deletes the row of whoever has a seat by now; ours never does (02 FIX 19)."""
    roster = Roster("fleet-1", tuple(Entry(**row) for row in case["roster"]))
    mirrored = roster.mirror(case["roles"], case["removed"], case["now"], me=case["self"])
    if case.get("weakness"):
        assert mirrored is roster
        return
    by_id = {row["device_id"]: Entry(**row) for row in case["expect"]}
    assert {entry.device_id: entry for entry in mirrored.entries} == by_id
    assert (mirrored is not roster) == case["changed"]
    assert all(mirrored.get(device_id) == entry for device_id, entry in by_id.items())


@pytest.mark.parametrize("case", load("governance", "roster_roots")["membership"], ids=lambda case: case["root"][:6])
def test_membership_roots_of_governed_networks(case: dict[str, Any]) -> None:
    roster = Roster("fleet-1", tuple(Entry(device_id, "", 0) for device_id in case["device_ids"]))
    assert roster.membership_root() == case["root"]


def test_the_ids_are_those_of_all_entries() -> None:
    roster = Roster("home").approve("a" * 52, "", 1).approve("b" * 51 + "a", "", 2)
    assert set(roster.ids) == {entry.device_id for entry in roster.entries}
    assert "a" * 52 in roster
    assert "c" * 52 not in roster


@given(st.lists(st.tuples(st.sampled_from(["approve", "merge", "remove", "mirror"]), st.integers(0, 7)), max_size=12))
def test_what_is_remembered_of_ids_and_times_follows_every_change(steps: list[tuple[str, int]]) -> None:
    """Sorting ten thousand ids for each device that comes would hold the loop for ten milliseconds."""
    devices = [Identity.from_seed(bytes([number]) * 32).device_id for number in range(1, 10)]
    roster = Roster("home")
    for now, (step, number) in enumerate(steps, 1):
        device, next_one = devices[number], devices[number + 1]
        match step:
            case "approve":
                roster = roster.approve(device, "", now)
            case "merge":
                roster = roster.merge([RosterEntry(each, "", 1, "member") for each in (device, next_one)], now, me=ME)
            case "remove":
                roster = roster.remove(device)
            case "mirror":
                roster = roster.mirror({device: "controller"}, [next_one], now, me=ME)
        afresh = Roster("home", roster.entries)
        assert roster.membership_root() == afresh.membership_root()
        assert roster.last_edit_ts == afresh.last_edit_ts
        assert roster.ids == afresh.ids


def test_ids_of_other_lengths_make_the_same_root() -> None:
    """Files of old may hold them; only ids of one length are found by counting."""
    roster = Roster("home").approve("peer1", "", 1)
    roster.membership_root()
    both = roster.approve("peer22", "", 2)
    assert both.membership_root() == Roster("home", both.entries).membership_root()
