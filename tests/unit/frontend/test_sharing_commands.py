"""`myownllm conversations`, `prompts` and `policy` where no app runs: on the files, under their locks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import typer
from typer.testing import CliRunner

from myownllm.catalog.file import CatalogFile
from myownllm.catalog.network import SavedNetwork
from myownllm.cli import conversations, policy, prompts
from myownllm.cli.tree import app
from myownllm.policy import Gate, HeldGate, Permissions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PEER = "b" * 51 + "q"


@attrs.define
class Terminal:
    """Commands in a home of their own."""

    home: Path

    def run(self, *words: str, status: int = 0) -> str:
        """What a command prints; its exit status must be as told."""
        done = CliRunner().invoke(app, words)
        assert done.exit_code == status, done.output
        return done.output

    def json(self, *words: str, status: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", status=status).splitlines()[-1])

    @property
    def file(self) -> CatalogFile:
        return CatalogFile(self.home / "config.json")

    def network(self, config_id: str, handle: str, **members: Any) -> None:
        record = SavedNetwork(config_id, handle, **members)
        self.file.mutate(lambda c: c.add_network(record, activate=True))


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MYOWNLLM_HOME", str(tmp_path / "app"))
    monkeypatch.delenv("MYOWNMESH_HOME", raising=False)
    return Terminal(tmp_path / "app")


def commands(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """What can be called, with its words: typer's commands are of classes of its own."""
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *path, name)
    if path and (not hasattr(command, "commands") or command.invoke_without_command):
        yield " ".join(path), command


def test_every_command_takes_json() -> None:
    options = {
        name: {word for parameter in command.params for word in parameter.opts}
        for name, command in commands(typer.main.get_command(app))
    }
    assert {"send", "inbox", "inbox accept", "conversations export"} <= options.keys()
    assert [name for name, words in options.items() if "--json" not in words] == []


# ── policy ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.heavy
def test_policy_is_changed_and_shown(terminal: Terminal) -> None:
    assert "permissions are network-scoped" in terminal.run("policy", "show", status=1)
    assert "permissions are network-scoped" in terminal.run("policy", "set", "shell", "denied", status=1)
    terminal.network("net-1", "home")
    assert terminal.run("policy", "set", "shell", "denied") == "shell refuses every use now.\n"
    assert "Yet it refuses every use" in terminal.run("policy", "allow", "shell", "ls -l\u202e")
    assert "no absolute path" in terminal.run("policy", "allow", "write_file", "x", status=1)
    assert terminal.run("policy", "show") == (
        'shell: refuses every use\n  never asks for "ls -l\\u202e"\nwrite_file: asks before each use\n'
    )
    assert terminal.json("policy", "set", "shell", "ask")["shell"]["mode"] == "ask"
    assert policy.complete_literal(_Typed({"tool": "shell"}), "ls") == ["ls -l\u202e"]
    assert policy.complete_literal(_Typed({}), "ls") == []
    terminal.run("policy", "forget", "shell", "ls -l\u202e")
    assert "does not allow exactly that" in terminal.run("policy", "forget", "shell", "ls", status=1)
    assert "is not one of" in terminal.run("policy", "set", "browser", "ask", status=2)


class _Typed:
    def __init__(self, params: dict[str, str]) -> None:
        self.params = params


def test_what_waits_is_shown_agreed_to_and_rejected(terminal: Terminal) -> None:
    waiting = HeldGate(Gate("accept_all", ("rm -rf /\n",), 5), PEER, 6)
    terminal.network("net-1", "home", permissions=Permissions(held={"shell": waiting, "write_file": waiting}))
    assert "Waiting for you: shell, write_file" in terminal.run("policy", "show")
    shown = terminal.run("policy", "pending")
    assert "bbbbbbbb asks: shell allows every use; now it asks before each use." in shown
    assert 'would never ask for "rm -rf /\\n"' in shown
    assert f"myownllm policy agree shell {waiting.code}" in shown
    assert terminal.json("policy", "pending")["held"]["shell"]["code"] == waiting.code
    assert "has the code" in terminal.run("policy", "agree", "shell", "000000", status=1)
    assert terminal.run("policy", "agree", "shell", waiting.code) == "shell allows every use now.\n"
    assert terminal.run("policy", "reject", "write_file") == "write_file still asks before each use.\n"
    assert "(you said no)" in terminal.run("policy", "pending")
    terminal.run("policy", "set", "write_file", "denied")
    assert terminal.run("policy", "pending") == "Nothing waits.\n"
    assert "relax gates" in terminal.run("policy", "confirm", "off")
    assert json.loads((terminal.home / "config.json").read_text())["cloud_mesh"]["confirm_relaxing_policy"] is False
    terminal.run("policy", "confirm", "on")
    assert "confirm_relaxing_policy" not in (terminal.home / "config.json").read_text()


# ── prompts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.heavy
def test_prompts_are_made_changed_copied_and_removed(terminal: Terminal, tmp_path: Path) -> None:
    assert "prompts are network-scoped" in terminal.run("prompts", "add", "Short", status=1)
    terminal.network("net-1", "work")
    assert "prompts add" in terminal.run("prompts", "list")
    (tmp_path / "long.txt").write_text("Be brief.\nBe kind.")
    made = terminal.json("prompts", "add", "Short", "--system", f"@{tmp_path / 'long.txt'}", "--tool", "shell")
    assert (made["system_prompt"], made["tools"]) == ("Be brief.\nBe kind.", ["shell"])
    assert "unknown tool" in terminal.run("prompts", "add", "Bad", "--tool", "teleport", status=1)
    assert "not both" in terminal.run("prompts", "add", "Bad", "--tool", "shell", "--no-tools", status=1)
    assert "cannot read" in terminal.run("prompts", "add", "Bad", "--system", "@/nowhere/x", status=1)
    assert "is called 'short' already" in terminal.run("prompts", "add", "short", status=1)
    other = terminal.json("prompts", "add", "Long")
    assert f"is called 'SHORT' already ({made['id']})" in terminal.run(
        "prompts", "edit", "Long", "--name", " SHORT ", status=1
    )
    assert terminal.json("prompts", "edit", "Long", "--name", "long ")["name"] == "long "
    terminal.run("prompts", "remove", other["id"])
    assert "say what to change" in terminal.run("prompts", "edit", "Short", status=1)
    assert terminal.json("prompts", "edit", "Short", "--no-tools")["tools"] == []
    assert "  Be kind." in terminal.run("prompts", "show", "short")
    assert made["id"] in terminal.run("prompts", "list")
    assert prompts.complete_prompt("Sh") == ["Short"]
    assert prompts.complete_tool("sh") == ["shell"]
    terminal.network("net-2", "home")
    assert terminal.json("prompts", "list")["prompts"] == []
    assert "no saved network 'nowhere'" in terminal.run("prompts", "use", "Short", "--network", "nowhere", status=1)
    assert terminal.json("prompts", "use", "Short", "--network", "work")["id"] == made["id"]
    terminal.run("prompts", "remove", "Short")
    taken = terminal.json("prompts", "add", "short")
    assert "is called 'Short' already" in terminal.run("prompts", "use", "Short", "--network", "work", status=1)
    terminal.run("prompts", "edit", "short", "--name", "Mine")
    assert terminal.json("prompts", "use", "Short", "--network", "work")["id"] == made["id"]
    terminal.run("prompts", "remove", taken["id"])
    assert [p["id"] for p in json.loads(terminal.run("prompts", "export", "Short"))["prompts"]] == [made["id"]]
    assert "removed" in terminal.run("prompts", "remove", "Short")
    assert "no prompt 'Short'" in terminal.run("prompts", "show", "Short", status=1)
    assert terminal.file.load().catalog.networks[1].prompts.tombstones[-1].id == made["id"]  # type: ignore[union-attr]  # it was found before


# ── conversations ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_conversations_are_made_moved_removed_and_brought_back(terminal: Terminal, tmp_path: Path) -> None:
    assert "No conversations." in terminal.run("conversations", "list")
    made = terminal.json("conversations", "new", "Plans", "--folder", "Work/../Q4")["conversations"][0]
    assert made["folder"] == "Work/Q4"
    assert terminal.run("conversations", "folders") == "Work\nWork/Q4\n"
    assert "Plans" in terminal.run("conversations", "show", made["id"][:6])
    assert "plans.json now" in terminal.run("conversations", "export", "Plans", "--out", str(tmp_path / "plans.json"))
    assert terminal.json("conversations", "export", "Plans")["title"] == "Plans"
    assert "exists already" in terminal.run(
        "conversations", "export", "Plans", "--out", str(tmp_path / "plans.json"), status=1
    )
    assert "is in 'Home' now" in terminal.run("conversations", "move", "plans", "--to", "Home")
    assert "no conversation 'Nothing'" in terminal.run("conversations", "remove", "Plans", "Nothing", status=1)
    assert [c["id"] for c in terminal.json("conversations", "list", "--here")["conversations"]] == [made["id"]]
    assert "No conversations in 'Work'" in terminal.run("conversations", "list", "--folder", "Work")
    terminal.run("conversations", "move", "plans", "--to", "Work/Q4")
    assert made["id"] in terminal.run("conversations", "list", "--folder", "Work"), "also those of folders in it"
    assert made["id"] not in terminal.run("conversations", "list", "--folder", "")
    terminal.run("conversations", "move", "plans", "--to", "Home")
    assert "restore" in terminal.run("conversations", "remove", "Plans")
    assert [t["id"] for t in terminal.json("conversations", "trash")["trash"]] == [made["id"]]
    assert f"{made['id']}  Plans  Home" in terminal.run("conversations", "trash")
    assert "`myownllm conversations trash` shows" in terminal.run("conversations", "restore", "Nothing", status=1)
    assert terminal.json("conversations", "restore", "plans")["conversations"][0]["folder"] == "Home"
    imported = terminal.json("conversations", "import", str(tmp_path / "plans.json"))["conversations"][0]
    assert (imported["id"], imported["folder"]) == (made["id"], "Home"), "it stays where it is"
    assert terminal.json("conversations", "trash", "--empty") == {"emptied": 1}
    assert terminal.run("conversations", "trash") == "The trash is empty.\n"
    assert conversations.complete_conversation(made["id"][:4]) == [made["id"]]
    assert conversations.complete_folder("H") == ["Home"]


@pytest.mark.parametrize(
    ("content", "why"),
    [("{", "is no JSON"), ("[1]", "holds no conversation"), ('{"id": "../x"}', "invalid conversation id")],
)
def test_what_cannot_be_imported(terminal: Terminal, tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "x.json").write_text(content)
    assert why in terminal.run("conversations", "import", str(tmp_path / "x.json"), status=1)
    assert "cannot read" in terminal.run("conversations", "import", str(tmp_path / "none.json"), status=1)


def test_a_document_without_an_id_gets_one(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"title": "Old", "messages": [{"role": "user", "content": "a\\u001b[2Jb"}]}')
    terminal.run("conversations", "import", str(tmp_path / "x.json"))
    assert "  a[2Jb" in terminal.run("conversations", "show", "Old")


def test_what_needs_a_running_app_says_so(terminal: Terminal) -> None:
    for words in (("push", "x", "Boris"), ("pull", "x", "Boris"), ("open", "x", "Boris")):
        assert "the app is not running" in terminal.run("conversations", *words, status=1)
    failed = terminal.json("conversations", "push", "x", "y", "Boris", status=1)
    assert [f["conversation"] for f in failed["failed"]] == ["x", "y"]
    assert "name at least one conversation" in terminal.run("conversations", "push", "Boris", status=1)


def test_the_folder_can_be_elsewhere(terminal: Terminal, tmp_path: Path) -> None:
    terminal.home.mkdir()
    (terminal.home / "config.json").write_text(json.dumps({"conversation_dir": "~/chats"}))
    made = terminal.json("conversations", "new", "Plans")["conversations"][0]
    assert (tmp_path / "chats" / f"{made['id']}.json").is_file()
