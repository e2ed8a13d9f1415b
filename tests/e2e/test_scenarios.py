"""The seed's own plan with two real devices, through the commands that a person has (spec 08 §11, S1–S5 and S7)."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from e2e.devices import answer, ask, daemon_config, daemon_pid, demo, eventually, is_alive

if TYPE_CHECKING:
    from e2e.devices import Pair


@pytest.fixture
def pair(strangers: Pair) -> Pair:
    """Two devices that are on no network. They know each other from others, so each test has names of its own."""
    strangers.part()
    return strangers


def pill(text: str) -> Any:
    return lambda e: e["event"] == "pill" and text in e["text"]


def test_s1_knock_approve_active(pair: Pair) -> None:
    for device in pair.both:
        pair.add(device, "home", "--label", "Home")
    knocks = {d.name: d.wait("knock", lambda e: e["event"] == "knock") for d in pair.both}
    assert knocks["Anna"]["code_received"] == knocks["Boris"]["code_sent"]
    assert knocks["Anna"]["code_sent"] == knocks["Boris"]["code_received"]
    assert len(knocks["Anna"]["code"]) == 6
    for device in pair.both:
        status = device.run("status")
        assert status["pending_approvals"] == 1
        assert [p["status"] for p in status["peers"]] == ["pending_approval"]
    began = time.monotonic()
    pair.anna.run("approve", "boris")
    assert pair.anna.run("status")["peers"][0]["status"] == "pending_remote"
    pair.boris.run("approve", "Anna")
    for device, other in (pair.both, reversed(pair.both)):
        device.wait("connected peer", demo.peer_becomes("active"))
        device.wait("pill", pill("Connected · Home · 1 peer"))
        status = device.run("status")
        assert (status["pending_approvals"], status["connected_peers"]) == (0, 1)
        roster = ask(device, "roster_list", network="home")["roster"]
        assert [r["label"] for r in roster] == [other.name]
    assert time.monotonic() - began < 30
    assert pair.anna.run("call", "Boris", "echo", '{"x": [1, null, "é"]}')["response"] == {"x": [1, None, "é"]}
    assert pair.anna.run("health")["healthy"]


def test_s2_switch(pair: Pair) -> None:
    pair.meet("home2")
    pair.add(pair.anna, "work2", "--no-use")
    mark = pair.anna.mark()
    assert pair.anna.run("networks", "use", "work2")["joined"] is True
    pair.anna.wait("pill", pill("Joining work2…"), mark)
    pair.anna.wait("pill", pill("Online on work2"), mark)
    status = pair.anna.run("status")
    assert status["daemon"]["joined_networks"] == ["work2"]
    assert status["peers"] == []
    saved = pair.anna.run("networks", "list")
    assert {n["network_id"]: n["active"] for n in saved["networks"]} == {"home2": False, "work2": True}
    # the claims are there for the new network: a peer that follows gets its answers
    mark_a, mark_b = pair.anna.mark(), pair.boris.mark()
    pair.add(pair.boris, "work2")
    for device, mark in ((pair.anna, mark_a), (pair.boris, mark_b)):
        device.wait("knock", lambda e: e["event"] == "knock", mark)
    pair.anna.run("approve", "Boris")
    pair.boris.run("approve", "Anna")
    pair.boris.wait("connected peer", demo.peer_becomes("active"), mark_b)
    pair.anna.wait("connected peer", demo.peer_becomes("active"), mark_a)
    assert answer(pair.boris, "Anna", "echo", "7") == 7


def test_s3_add_with_activation_while_online(pair: Pair) -> None:
    pair.add(pair.anna, "home3")
    app = pair.anna.run("status")["app"]
    added = pair.add(pair.anna, "work3", "--use")
    assert (added["created"], added["active"], added["joined"]) == (True, True, True)
    status = pair.anna.run("status")
    assert status["daemon"]["joined_networks"] == ["work3"]
    assert status["app"] == app, "no restart"
    assert [n["network_id"] for n in pair.anna.run("networks", "list")["networks"]] == ["home3", "work3"]
    again = pair.add(pair.anna, "home3", "--use")
    assert (again["created"], again["joined"]) == (False, True)


def test_s4_remove_the_active_network(pair: Pair) -> None:
    pair.meet("home4")
    mark = pair.anna.mark()
    assert pair.anna.run("networks", "remove", "home4")["was_active"] is True
    pair.anna.wait("pill", pill("No active network — pick one below"), mark)
    status = pair.anna.run("status")
    assert status["daemon"]["joined_networks"] == []
    assert status["peers"] == []
    assert daemon_config(pair.anna)[1]["networks"] == []
    pair.boris.wait("Anna gone", lambda e: e["event"] == "peer" and e["status"] in ("offline", "gone", "reconnecting"))
    mark = pair.anna.mark()
    pair.add(pair.anna, "home4")
    pair.anna.wait("connected peer, from the roster", demo.peer_becomes("active"), mark)


def test_s5_cold_launch(pair: Pair) -> None:
    pair.meet("home5")
    before = pair.anna.run("status")["daemon"]["device_id"]
    pair.anna.stop()
    saved = daemon_config(pair.anna)
    assert [n["network_id"] for n in saved[1]["networks"]] == ["home5"]
    mark, mark_b = pair.anna.mark(), pair.boris.mark()
    pair.anna.up()
    pair.anna.wait("connected peer", demo.peer_becomes("active"), mark)
    pair.boris.wait("connected peer", demo.peer_becomes("active"), mark_b)
    assert pair.anna.run("status")["daemon"]["device_id"] == before
    assert daemon_config(pair.anna) == saved, "a second launch adds and removes nothing"
    assert not [e for e in pair.anna.events[mark:] if e["event"] == "knock"]
    assert answer(pair.boris, "Anna", "about")["app"] == "myownllm"


@pytest.mark.slow
def test_s7_boot_and_an_impatient_click(pair: Pair) -> None:
    pair.add(pair.anna, "home6")
    pair.anna.stop()
    mark = pair.anna.mark()
    pair.anna.up()
    for _ in range(3):
        pair.anna.run("networks", "use", "home6")
    pair.anna.wait("pill", pill("Online on home6"), mark)
    assert pair.anna.run("status")["daemon"]["joined_networks"] == ["home6"]
    warnings = [e for e in pair.anna.events[mark:] if e["event"] == "diag" and e["level"] in ("warn", "error")]
    assert warnings == [], "one start: nothing was displaced, refused or registered twice"


def test_the_seeds_bug_daemon_killed_under_the_app(pair: Pair) -> None:
    pair.meet("home7")
    mark = pair.anna.mark()
    os.kill(daemon_pid(pair.anna), signal.SIGKILL)
    pair.anna.wait("joining", pill("Joining home7"), mark)
    pair.anna.wait("connected again", pill("Connected · home7 · 1 peer"), mark)
    assert answer(pair.boris, "Anna", "echo", "1") == 1


@pytest.mark.slow
def test_the_seeds_bug_network_removed_behind_the_apps_back(pair: Pair) -> None:
    pair.meet("home8")
    mark = pair.anna.mark()
    ask(pair.anna, "network_remove", network="home8")
    pair.anna.wait("joining again", pill("Joining home8"), mark)
    # The peer may be back before the app has looked: what a person sees is the headline.
    pair.anna.wait("connected again", pill("Connected · home8"), mark)
    assert pair.anna.run("status")["daemon"]["joined_networks"] == ["home8"]
    assert eventually(lambda: pair.anna.run("health")["healthy"], "health")
    assert answer(pair.boris, "Anna", "echo", "1") == 1


@pytest.mark.slow
def test_a_second_up_hands_over_and_a_killed_app_takes_its_daemon_along(pair: Pair) -> None:
    """FE-12.7, FE-12.21."""
    pair.add(pair.anna, "home9")
    [second] = [e for e in pair.anna.finish(pair.anna.start("up")) if e["event"] == "already_running"]
    app, daemon = pair.anna.run("status")["app"]["pid"], daemon_pid(pair.anna)
    assert second["pid"] == app
    pair.anna.kill_app()
    eventually(lambda: not is_alive(daemon), "the daemon ends with its app")
    mark = pair.anna.mark()
    pair.anna.up()
    pair.anna.wait("pill", pill("Online on home9"), mark)


@pytest.mark.slow
def test_a_frozen_daemon_of_a_killed_app_does_not_stop_the_next_one(pair: Pair) -> None:
    pair.add(pair.anna, "home10")
    frozen = daemon_pid(pair.anna)
    os.kill(frozen, signal.SIGSTOP)
    pair.anna.kill_app()
    mark = pair.anna.mark()
    pair.anna.up()
    pair.anna.wait("pill", pill("Online on home10"), mark)
    assert daemon_pid(pair.anna) != frozen
    assert not is_alive(frozen)


def test_denied_devices_go_and_may_knock_again(pair: Pair) -> None:
    """FE-12.45."""
    for device in pair.both:
        pair.add(device, "home11")
    pair.anna.wait("knock", lambda e: e["event"] == "knock")
    mark = pair.anna.mark()
    pair.anna.run("deny", "Boris")
    pair.anna.wait("Boris gone", demo.peer_becomes("gone"), mark)
    pair.boris.run("networks", "use", "--none")
    pair.boris.run("networks", "use", "home11")
    pair.anna.wait("knock", lambda e: e["event"] == "knock", mark)


def test_streams_errors_and_messages_between_devices(pair: Pair) -> None:
    pair.meet("home12")
    pieces = pair.anna.run("call", "Boris", "count", '{"to": 300}', "--stream")
    assert [p["chunk"]["n"] for p in pieces[:-1]] == list(range(1, 301))
    assert pieces[-1] == {"end": True}
    for method, payload, text, stream in (
        ("nothing", "null", "no handler for 'nothing'", ()),
        ("count", '{"to": 0}', "`to` must be a whole number", ("--stream",)),
        ("echo", '"' + "x" * 64_001 + '"', "payload too large for one mesh frame", ()),
    ):
        with pytest.raises(demo.DemoError, match=text):
            pair.anna.run("call", "Boris", method, payload, *stream)
    mark = pair.anna.mark()
    assert pair.boris.run("broadcast", "notice", '{"n": 1}')["dispatched_to"] == 1
    assert pair.boris.run("broadcast", "notice", '{"n": 2}', "--to", "Anna")["dispatched_to"] == 1
    for n in (1, 2):
        heard = pair.anna.wait("message", lambda e, n=n: e["event"] == "message" and e["payload"] == {"n": n}, mark)
        assert heard["label"] == "Boris"


@pytest.mark.slow
def test_s16_an_edit_of_the_active_network_reaches_the_daemon_and_cuts_nothing(pair: Pair) -> None:
    """FE-8.3: one `network_update`; calls of the peer work afterwards."""
    pair.meet("home13")
    anna, boris = pair.both
    stun = "stun:127.0.0.1:3478"
    inode, _ = daemon_config(anna)
    told = anna.run("networks", "edit", "home13", "--stun", stun)
    assert told["settings"]["state"] in ("applied", "rebuilt"), told

    def stored() -> list[str]:
        [record] = daemon_config(anna)[1]["networks"]
        return [url for entry in record["stun_servers"] for url in entry["urls"]]

    assert stored() == [stun]
    assert daemon_config(anna)[0] != inode
    assert answer(boris, "Anna", "echo", "7") == 7
    assert answer(anna, "Boris", "echo", "8") == 8
