"""Policy, prompts and conversations between real devices, by a person's commands (spec 08 §11, S9–S11, S15)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.devices import ask, demo, eventually
from mesh_common.client.blocking import Connection
from mesh_common.client.errors import ControlError
from myownllm.door import client as door

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.devices import Pair


SOON_S = 20.0
"""Two seconds where nothing else runs; a third of the minute after which everybody is told anyway."""


def record(device: Any) -> Any:
    """The active network as it stands in the device's file."""
    section = json.loads((device.home / ".myownllm" / "config.json").read_text())["cloud_mesh"]
    return next(n for n in section["networks"] if n["id"] == section["active_network_id"])


def notes(device: Any, text: str, since: int = 0) -> list[str]:
    device.mark()
    return [e["message"] for e in device.events[since:] if e["event"] == "diag" and text in e["message"]]


def app_socket(device: Any) -> Path:
    return Path(device.home / ".myownllm" / "app.sock")


def told(device: Any) -> list[dict[str, Any]]:
    """What the running app knows of its peers' conversations, without the start of a command."""
    answer: Any = door.ask(app_socket(device), "conversations_of_peers", timeout_s=20)
    return [{**c, "peer": p["label"]} for p in answer["peers"] for c in p["conversations"]]


def of_peer(device: Any, label: str) -> list[str]:
    return sorted(c["guid"] for c in told(device) if c["peer"] == label)


def new(device: Any, title: str, *arguments: str) -> str:
    return str(device.run("conversations", "new", title, *arguments)["conversations"][0]["id"])


def ids(device: Any) -> dict[str, str]:
    """Conversations of a device and their folders."""
    return {c["id"]: c["folder"] for c in device.run("conversations", "list")["conversations"]}


@pytest.fixture
def pair(friends: Pair) -> Pair:
    """The two, without a conversation."""
    for device in friends.both:
        if known := list(ids(device)):
            device.run("conversations", "remove", *known)
    for device, other in (friends.both, friends.both[::-1]):
        eventually(lambda d=device, o=other: of_peer(d, o.name) == [], "nothing is left", 10)  # type: ignore[misc]  # mypy knows no default of a lambda
    return friends


@contextmanager
def third(pair: Pair) -> Iterator[Any]:
    carla = demo.Device("Carla", pair.base / "c")
    carla.program = pair.anna.program
    carla.up("--label", "Carla")
    try:
        carla.wait("daemon", lambda e: e["event"] == "daemon" and e.get("state") == "up")
        yield carla
    finally:
        carla.stop()


@pytest.mark.slow
def test_s10_a_late_joiner_is_told_and_nobody_else(pair: Pair) -> None:
    """Gap 7: FE-7.9, FE-7.10, FE-7.12. What everybody is told once a minute is no broadcast of a start."""
    anna, boris = pair.both
    plans = new(anna, "Plans", "--folder", "Work/Q4")
    eventually(lambda: of_peer(boris, "Anna") == [plans], "Anna's catalog at Boris's", 5)
    with heard(boris) as announced, third(pair) as carla:
        mark = carla.mark()
        pair.add(carla, "home")
        for device in pair.both:
            device.wait("Carla's knock", lambda e: e["event"] == "knock" and e["label"] == "Carla")
            device.run("approve", "Carla")
        carla.wait("knock", lambda e: e["event"] == "knock", mark)
        announced("fresh")  # what Anna and Boris still had to tell each other
        eventually(lambda: carla.run("approve", "Anna"), "Carla approves Anna")
        eventually(lambda: carla.run("approve", "Boris"), "Carla approves Boris")
        for other in ("Anna", "Boris"):
            carla.wait(f"{other} active", lambda e, o=other: e.get("status") == "active" and e.get("label") == o, mark)
        eventually(lambda: of_peer(carla, "Anna") == [plans], "Anna's catalog at Carla's", SOON_S)
        assert set(announced("fresh")) <= {"Carla"}
        has_no_link_for_a_while_and_is_served_again(pair, carla)


def linked(device: Any) -> list[str]:
    peers = ask(device, "peers_list", network="home")["peers"]
    return [p["label"] for p in peers if p["status"] in ("active", "shelved")]


def has_no_link_for_a_while_and_is_served_again(pair: Pair, carla: Any) -> None:
    """With Anna as the hub of a star there is nothing between Boris and Carla: both shelve their link."""
    anna, boris = pair.both
    for device in (anna, boris, carla):
        device.run("networks", "edit", "home", "--topology", f"star:{ask(anna, 'identity_show')['pubkey']}", "--now")
    eventually(lambda: linked(boris) == linked(carla) == ["Anna"], "Boris and Carla let each other go", 20)
    told = new(boris, "Told to nobody")
    eventually(lambda: of_peer(anna, "Boris") == [told], "Boris's catalog at Anna's", 10)
    assert of_peer(carla, "Boris") == []
    mark = carla.mark()
    for device in (anna, boris, carla):
        device.run("networks", "edit", "home", "--clear", "topology", "--now")
    carla.wait("Boris active", lambda e: e.get("status") == "active" and e.get("label") == "Boris", mark)
    eventually(lambda: of_peer(carla, "Boris") == [told], "Boris's catalog at Carla's", SOON_S)


@contextmanager
def heard(device: Any) -> Iterator[Callable[..., list[str]]]:
    """Whose `catalog/announce` has arrived at a device since, by label: what a program beside its app sees.

    With `having`, those with such a member.
    """
    with Connection(device.home / ".myownllm" / ".myownmesh" / "daemon.sock", 20) as events:
        client_id = events.subscribe()
        ask(device, "channel_subscribe", client_id=client_id, network="home", channel="catalog/announce")

        def seen(having: str = "entries") -> list[str]:
            labels = {p["device_id"]: p["label"] for p in ask(device, "peers_list", network="home")["peers"]}
            found = []
            events.timeout = 0.3
            with contextlib.suppress(ControlError):  # nothing more has come
                for line in events.lines():
                    frame = json.loads(line)
                    if frame.get("kind") == "channel_inbound" and frame["payload"].get(having):
                        found.append(labels[frame["from"]])
            return found

        yield seen


def test_s11_twenty_moves_are_one_broadcast(pair: Pair) -> None:
    """Gap 8: FE-7.11. The publication of every minute may fall between; it does so once in two moves at most."""
    anna, boris = pair.both
    made = [f"number-{n}" for n in range(20)]
    folder = anna.home / ".myownllm" / "conversations"
    first = new(anna, "The first one")
    eventually(lambda: of_peer(boris, "Anna") == [first], "Anna's catalog at Boris's", 10)
    for each in made:
        (folder / f"{each}.json").write_text(json.dumps({"id": each, "title": each, "messages": []}))
    counts = []
    with heard(boris) as announced:
        for place in ("Archive", "Old"):
            anna.run("conversations", "move", *made, "--to", place)
            eventually(lambda to=place: {c.get("path", "") for c in told(boris)} == {"", to}, "the new folder", 10)  # type: ignore[misc]  # mypy knows no default of a lambda
            time.sleep(1)
            counts.append(announced().count("Anna"))
            if counts[-1] == 1:
                break
    assert counts in ([1], [2, 1])


def test_s9_policy_and_prompts_are_gossiped(pair: Pair) -> None:
    """Gaps 3–6 of spec 08 §7: FE-7.4 to FE-7.8, FE-9.42."""
    anna, boris = pair.both
    made = anna.run("prompts", "add", "Short", "--system", "Be brief.", "--tool", "web_search")
    eventually(lambda: record(boris).get("prompts") == [made], "Anna's prompt in Boris's file", 5)
    assert len(notes(boris, "prompts of ")) == 1

    anna.run("policy", "set", "shell", "denied")
    eventually(lambda: record(boris).get("agent_permissions") == record(anna)["agent_permissions"], "the policy", 5)

    anna.run("policy", "set", "shell", "accept_all")
    waiting = eventually(lambda: boris.run("policy", "pending")["held"].get("shell"), "the question to Boris", 20)
    assert record(boris)["agent_permissions"]["shell"]["mode"] == "denied", "nothing is relaxed without Boris"
    boris.run("policy", "agree", "shell", waiting["code"])
    assert record(boris)["agent_permissions"]["shell"]["mode"] == "accept_all"

    boris.run("settings", "gossip", "off")
    anna.run("prompts", "remove", "Short")
    anna.run("policy", "set", "shell", "denied")
    boris.run("prompts", "edit", "Short", "--name", "Mine")
    time.sleep(1)
    assert [p["name"] for p in record(boris)["prompts"]] == ["Mine"], "with gossip off nothing comes in"
    assert record(boris)["agent_permissions"]["shell"]["mode"] == "accept_all"
    assert record(anna)["prompts"] == [], "and nothing goes out"
    mark = boris.mark()
    boris.stop()
    boris.up()
    boris.wait("connected peer", demo.peer_becomes("active"), mark)
    assert record(boris)["auto_gossip"] is False, "the toggle survives a restart"
    boris.run("settings", "gossip", "on")


@pytest.mark.slow
def test_a_kill_between_taking_and_deleting_leaves_two_copies(pair: Pair) -> None:
    """FE-9.31"""
    anna, boris = pair.both
    plans = new(anna, "Plans", "--folder", "Work/Q4")
    os.kill(boris.pid, signal.SIGSTOP)  # Boris's app is slow to answer
    push = anna.start("conversations", "push", plans, "Boris")
    eventually(lambda: door.ask(app_socket(anna), "state", timeout_s=20)["resources"]["outbound_moves"], "under way")
    time.sleep(1)  # and at Boris's daemon
    anna.kill_app()
    os.kill(boris.pid, signal.SIGCONT)
    push.communicate(timeout=20)
    eventually(lambda: ids(boris) == {plans: "Work/Q4"}, "the copy at Boris's")
    assert ids(anna) == {plans: "Work/Q4"}
    mark = anna.mark()
    anna.up()
    anna.wait("connected peer", demo.peer_becomes("active"), mark)
    assert ids(anna) == {plans: "Work/Q4"}
    eventually(lambda: of_peer(anna, "Boris") == [plans], "the other copy, shown at Anna's", 10)
    anna.run("conversations", "push", plans, "Boris")
    assert (ids(anna), ids(boris)) == ({}, {plans: "Work/Q4"})


def test_s15_open_push_pull(pair: Pair) -> None:
    anna, boris = pair.both
    plans = new(anna, "Plans", "--folder", "Work/Q4")
    eventually(lambda: of_peer(boris, "Anna") == [plans], "Anna's catalog at Boris's", 5)
    shown = boris.run("conversations", "list")["peers"]
    assert [(p["label"], [c["guid"] for c in p["conversations"]]) for p in shown] == [("Anna", [plans])]

    opened = boris.run("conversations", "open", "Plans", "Anna")
    assert opened["title"] == "Plans"
    assert ids(boris) == {}, "nothing of it is kept at Boris's"
    file = boris.home / "edited.json"
    said = [{"role": "user", "content": "hello " * 50_000}]  # more than a mesh frame holds
    file.write_text(json.dumps({**opened, "messages": said}))
    boris.run("conversations", "save", str(file), "Anna")
    assert anna.run("conversations", "show", plans)["messages"] == said
    with pytest.raises(demo.DemoError, match="conflict"):
        boris.run("conversations", "save", str(file), "Anna")

    pushed = anna.run("conversations", "push", "Plans", "Boris")
    assert [m["folder"] for m in pushed["moved"]] == ["Work/Q4"]
    assert (ids(anna), ids(boris)) == ({}, {plans: "Work/Q4"})
    eventually(lambda: of_peer(anna, "Boris") == [plans], "Boris's catalog at Anna's", 5)
    with pytest.raises(demo.DemoError, match="Boris has told of no conversation 'Other plans'"):
        anna.run("conversations", "pull", "Other plans", "Boris")
    anna.run("conversations", "pull", "Plans", "Boris")
    assert (ids(anna), ids(boris)) == ({plans: "Work/Q4"}, {})
    assert plans in [t["id"] for t in boris.run("conversations", "trash")["trash"]]
    assert anna.run("conversations", "show", plans)["messages"] == said
    with pytest.raises(demo.DemoError, match="no conversation 'Plans'"):
        boris.run("conversations", "push", "Plans", "Anna")
