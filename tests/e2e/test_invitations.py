"""A second device comes in by a link (spec 11 §1): the commands a person has, real apps and daemons."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from e2e.devices import REPOSITORY, daemon_config, demo, eventually, myownllm

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.devices import Pair


@pytest.fixture
def pair(strangers: Pair) -> Pair:
    """Two devices that are on no network. They know each other from others, so each test has names of its own."""
    strangers.part()
    return strangers


def connected(device: Any) -> bool:
    return any(peer["status"] == "active" for peer in device.run("peers")["peers"])


def uses_mdns(device: Any) -> bool:
    _, config = daemon_config(device)
    return bool(config["networks"][0]["signaling"]["mdns"])


def test_a_device_is_let_in_by_a_link_and_no_question_is_asked(pair: Pair, tmp_path: Path) -> None:
    anna, boris = pair.both
    pair.add(anna, "home")
    path = anna.home / ".myownllm" / "config.json"
    config = json.loads(path.read_text())
    quiet = {"mdns": False, "sealed": "require"}  # as a person writes it who wants that
    config["cloud_mesh"]["networks"][0]["signaling"] = quiet
    path.write_text(json.dumps(config))
    eventually(lambda: not uses_mdns(anna), "the running app brings it to its daemon")
    made = anna.run("invite", "--note", "phone")
    marks = [device.mark() for device in pair.both]
    link = tmp_path / "link"
    link.write_text("\n".join(made["text"][at : at + 60] for at in range(0, len(made["text"]), 60)))
    joined = boris.run("join", str(link))
    assert (joined["network"], joined["connected"]) == ("home", True)
    assert connected(anna)
    for device, mark in zip(pair.both, marks, strict=True):
        device.mark()
        assert [e for e in device.events[mark:] if e["event"] == "knock"] == [], "nobody was asked"
    [row] = anna.run("invites")["invites"]
    assert (row["id"], row["uses"], len(row["by"]), row["note"]) == (made["id"], 1, 1, "phone")
    [saved] = boris.run("networks", "list")["networks"]
    assert (saved["network_id"], saved["active"]) == ("home", True)
    assert saved["signaling_servers"] == [f"ws://127.0.0.1:{pair.port}"]
    assert saved["stun_servers"] == []
    assert saved["signaling"] == {"strategy": "nostr", **quiet}
    assert [peer["sealed"] for peer in boris.run("peers")["peers"]] == [True]
    assert [peer["sealed"] for peer in anna.run("health")["peers"]] == [True]
    assert [peer["sealed"] for peer in anna.run("status")["peers"]] == [True]

    # A second time changes nothing: the network is saved, the inviter is approved.
    again = boris.run("join", made["text"])
    assert again["connected"]
    assert len(boris.run("networks", "list")["networks"]) == 1

    # The running app follows the network by itself, so a restart needs no link.
    anna.run("uninvite", made["id"])
    assert anna.run("invites")["invites"] == []
    boris.stop()
    boris.up("--label", "Boris")
    eventually(lambda: connected(boris), "Boris is back")
    assert not uses_mdns(boris), "the app's record says it, too: the daemon joins by that one"


def test_a_person_sees_a_link_and_what_it_means(pair: Pair) -> None:
    anna, boris = pair.both
    pair.add(anna, "home2")
    pair.add(boris, "home2")
    shown = subprocess.run(
        [*anna.program, "invite", "--for", "2h", "--uses", "3", "--no-wait", "--qr"],
        env=anna.environment() | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "█" in shown.stdout or "▀" in shown.stdout
    text = next(line for line in shown.stdout.splitlines() if line.startswith("myownllm://join#"))
    assert "Lets 3 devices into 'home2' until" in shown.stdout
    assert "the link leads to this device only" in shown.stdout

    # In a network that is here already, nobody is approved unasked.
    refused = subprocess.run(
        [*boris.program, "join", "-"],
        input=text,
        env=boris.environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert refused.returncode == 1
    assert "where this device already is" in refused.stderr
    assert "Say --yes" in refused.stderr
    assert text not in refused.stderr
    assert boris.run("join", text, "--yes")["connected"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("join", "nonsense"), "no mesh daemon answers"),
        (("join", "/dev/null"), "no mesh daemon answers"),
        (("invite",), "no active network"),
        (("invite", "--for", "soon"), "no active network"),
        (("invites",), "no active network"),
        (("uninvite", "x"), "no active network"),
    ],
)
def test_without_a_running_app_each_says_what_is_missing(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    said = myownllm(tmp_path, *arguments)
    assert said.returncode == 1
    assert why in said.stderr
    as_json = myownllm(tmp_path, *arguments, "--json")
    assert why in json.loads(as_json.stdout)["error"]["message"]


def test_wrong_links_are_refused_in_a_sentence(pair: Pair) -> None:
    anna, boris = pair.both
    pair.add(anna, "home3")
    made = anna.run("invite", "--for", "1m")
    for text, why in [
        ("", "the text is empty"),
        ("hello", "copy the whole link"),
        (made["text"][:-20], "copy the whole link"),
        ("https://example.org/#x", "for another program"),
    ]:
        with pytest.raises(demo.DemoError, match=why):
            boris.run("join", text)
    with pytest.raises(demo.DemoError, match="leads to this very device"):
        anna.run("join", made["text"])
    with pytest.raises(demo.DemoError, match="is no time"):
        anna.run("invite", "--for", "31d")
    with pytest.raises(demo.DemoError, match="there is no invitation x"):
        anna.run("uninvite", "x")
    assert boris.run("networks", "list")["networks"] == []


@pytest.mark.slow
def test_what_the_page_says_is_typed_as_it_stands_there(pair: Pair, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "invitations.md").read_text("utf-8")
    blocks = [
        [words for line in block.splitlines() if (words := line.partition("#")[0].split())]
        for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    ]
    inviting, joining, looking = blocks
    anna, boris = pair.both
    pair.add(anna, "home4")
    said: list[str] = []

    def types(device: Any, words: list[str], given: str = "") -> str:
        last = (anna.run("invites")["invites"] or [{"id": ""}])[-1]["id"]
        assert words[0] == "myownllm"
        done = subprocess.run(
            [*device.program, *(last if word == "ID" else word for word in words[1:])],
            env=device.environment(),
            cwd=tmp_path,
            input=given,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        said.append(" ".join(words))
        return done.stdout

    links = [word for words in inviting for word in types(anna, words).split() if word.startswith("myownllm://")]
    assert len(links) == 2
    assert len(anna.run("invites")["invites"]) == 1, "the other one was taken back"
    (tmp_path / "link.txt").write_text(links[0])
    for words in joining:
        types(boris, words, links[0])
    shown = types(boris, looking[0])
    assert "sealed" in shown.split()
    assert "v0.3.8 does not" in types(boris, looking[1])
    assert len(said) == sum(map(len, blocks)) == 8


@pytest.mark.slow
def test_sealing_has_three_words(pair: Pair) -> None:
    anna, _ = pair.both
    pair.add(anna, "home5")
    wrong = myownllm(anna.home, "networks", "edit", "--sealed", "always")
    assert wrong.returncode != 0
    assert "'always' is no word for sealing; write prefer, require, off" in wrong.stderr

    def mode() -> Any:
        return daemon_config(anna)[1]["networks"][0]["signaling"].get("sealed")

    def becomes(wanted: str) -> None:
        eventually(lambda: mode() == wanted, f"the daemon's record says {wanted}")

    for word in ("require", "off", "prefer"):
        anna.run("networks", "edit", "--sealed", word)
        becomes(word)
    anna.run("networks", "add", "home5", "--sealed", "require")
    becomes("require")
