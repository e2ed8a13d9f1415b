"""`myownllm conversations`: those of this device and of its peers, and how they move between them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mesh_common.streams import words
from mesh_common.tables import columns
from myownllm.catalog.file import wall_ms
from myownllm.cli import context
from myownllm.cli.options import Json
from myownllm.cli.peers import complete_peer
from myownllm.errors import FAILURES, AppError
from myownllm.files import write_durably

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownllm.coerce import JsonObject
    from myownllm.conversations.store import ConversationStore, Entry
    from myownllm.errors import Failure

app = typer.Typer(
    no_args_is_help=True,
    help="Conversations: list, show, move between folders and devices, delete and bring back.",
    rich_markup_mode=None,
)

MOVE_S = 130.0
"""For a move: a fetch and a take have their own limits at the peer."""


def _store() -> ConversationStore:
    from myownllm.conversations.store import ConversationStore, conversation_root  # other commands do without

    app_home = context.home()
    sections = context.catalog_file(app_home).load().sections
    return ConversationStore(conversation_root(app_home.root, sections), wall_ms)


def _of_peers() -> list[JsonObject]:
    """What connected peers have told of; nothing when no app runs."""
    if context.app_pid(context.home()) is None:
        return []
    answer = context.ask_app(context.home(), "conversations_of_peers", context.CHANGE_S)
    peers = answer.get("peers")
    return [p for p in peers if isinstance(p, dict)] if isinstance(peers, list) else []


def complete_conversation(incomplete: str) -> list[str]:
    """Ids of conversations here, for the shell's completion."""
    try:
        return [e.id for e in _store().entries() if e.id.startswith(incomplete)]
    except FAILURES:
        return []


def complete_remote(incomplete: str) -> list[str]:
    """Ids of conversations of peers."""
    try:
        told = [str(c.get("guid")) for p in _of_peers() for c in p["conversations"]]
    except FAILURES:
        return []
    return [guid for guid in told if guid.startswith(incomplete)] + complete_peer(incomplete)


def complete_move(incomplete: str) -> list[str]:
    return complete_conversation(incomplete) + complete_peer(incomplete)


def complete_folder(incomplete: str) -> list[str]:
    try:
        return [folder for folder in _store().folders() if folder.startswith(incomplete)]
    except FAILURES:
        return []


_ID_HELP = "Id, unique beginning of the id, or title."
Which = Annotated[str, typer.Argument(help=_ID_HELP, autocompletion=complete_conversation)]
Several = Annotated[list[str], typer.Argument(help=_ID_HELP, autocompletion=complete_conversation)]
Folder = Annotated[
    str, typer.Option("--folder", help="Folder, parts joined by /; empty for none.", autocompletion=complete_folder)
]
Peer = Annotated[str, typer.Argument(help="Device: id, label.", autocompletion=complete_peer)]
PullThese = Annotated[
    list[str],
    typer.Argument(metavar="ID… PEER", help="Conversations, then the device.", autocompletion=complete_remote),
]
PushThese = Annotated[
    list[str], typer.Argument(metavar="ID… PEER", help="Conversations, then the device.", autocompletion=complete_move)
]

# ── looking ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@app.command("list")
def list_conversations(
    folder: Annotated[
        str | None, typer.Option("--folder", help="Only this folder and those in it.", autocompletion=complete_folder)
    ] = None,
    here: Annotated[bool, typer.Option("--here", help="Only those of this device.")] = False,
    as_json: Json = False,
) -> None:
    """Show the conversations of this device, and those that connected devices have told of."""
    try:
        store = _store()
        entries = [e for e in store.entries() if _is_below(e.folder, folder)]
        peers = [] if here else _of_peers()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    for path in store.damaged():
        print(f"{context.shown(str(path), 400)} holds no conversation; it is left as it is", file=sys.stderr)
    if as_json:
        context.print_answer({"conversations": [_entry_json(e) for e in entries], "peers": peers})
        return
    rows = [[e.id, context.shown(e.title, 60), e.folder, e.updated_at[:16], "here"] for e in entries]
    for peer in peers:
        where = context.shown(str(peer.get("label")), 40)
        told = [c for c in peer["conversations"] if _is_below(str(c.get("path", "")), folder)]
        rows += [
            [
                context.shown(str(c.get("guid")), 64),
                context.shown(str(c.get("title")), 60),
                context.shown(str(c.get("path", "")), 80),
                context.shown(str(c.get("updated_at")), 16),
                where,
            ]
            for c in told
        ]
    if not rows and folder:
        print(f"No conversations in '{context.shown(folder, 200)}'.")
        return
    if not rows:
        print("No conversations. `myownllm conversations new <title>` or `import <file>` makes one.")
        return
    print(columns(rows, ["id", "title", "folder", "changed", "where"]))
    ids = [row[0] for row in rows]
    for each in sorted({i for i in ids if ids.count(i) > 1}):
        print(f"{each} is on more than one device: `myownllm conversations remove` deletes it here.")


def _is_below(path: str, folder: str | None) -> bool:
    """In that folder or one in it; the empty one holds what is in no folder, None everything."""
    return folder is None or path == folder or (folder != "" and path.startswith(f"{folder}/"))


def _entry_json(entry: Entry) -> JsonObject:
    return {name: getattr(entry, name) for name in ("id", "title", "mode", "updated_at", "folder", "size")}


@app.command("folders")
def folders(as_json: Json = False) -> None:
    """Show the folders of this device."""
    try:
        known = _store().folders()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer({"folders": list(known)})
    else:
        print("\n".join(known) or "No folders.")


@app.command("show")
def show(conversation: Which, as_json: Json = False) -> None:
    """Show a conversation of this device."""
    try:
        store = _store()
        document = store.load(store.select(conversation)).document
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    _show(document, as_json=as_json)


def _show(document: JsonObject, *, as_json: bool) -> None:
    if as_json:
        context.print_answer(document)
        return
    print(f"{document.get('id')}  {context.shown(str(document.get('title') or ''))}")
    messages: Any = document.get("messages")
    for message in messages if isinstance(messages, list) else ():
        print(f"\n{context.shown(str(message.get('role')), 20)}:")
        for line in str(message.get("content") or "").splitlines():
            print(f"  {context.shown(line, len(line))}")


@app.command("export")
def export(
    conversation: Which,
    out: Annotated[Path | None, typer.Option("--out", help="A new file; left out: standard output.")] = None,
    as_json: Json = False,
) -> None:
    """Write a conversation as JSON."""
    try:
        store = _store()
        document = store.load(store.select(conversation)).document
        _write(document, out)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if out is not None:
        _tell_file(document, out, as_json=as_json)


def _tell_file(document: JsonObject, out: Path, *, as_json: bool) -> None:
    if as_json:
        context.print_answer({"id": document.get("id"), "out": str(out)})
    else:
        print(f"{document.get('id')}  {context.shown(str(document.get('title') or ''), 60)}  is in {out} now")


def _write(document: JsonObject, out: Path | None) -> None:
    """Raises AppError."""
    if out is None:
        context.print_json(document)
        return
    if out.exists():
        raise AppError(f"{out} exists already; name a new file")
    try:
        write_durably(out, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    except OSError as error:
        raise AppError(f"cannot write {out}: {error.strerror}") from None


# ── changing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _change(request: JsonObject, done: Callable[[list[JsonObject]], str], *, as_json: bool) -> None:
    """Have it made, and say so."""
    from myownllm.changes import change_conversations

    answer = context.have_changed(
        "conversations", request, lambda asked: change_conversations(_store(), asked), as_json=as_json
    )
    if not as_json:
        print(done(answer.get("conversations") or [answer]))


def _said(done: str) -> Callable[[list[JsonObject]], str]:
    def say(entries: list[JsonObject]) -> str:
        return "\n".join(
            f"{e['id']}  {context.shown(str(e['title']), 60)}  {done.format(**e)}".rstrip() for e in entries
        )

    return say


@app.command("new")
def new(
    title: Annotated[str, typer.Argument(help="What to call it.")],
    folder: Folder = "",
    as_json: Json = False,
) -> None:
    """Begin a conversation in which nothing is said yet."""
    _change({"action": "new", "title": title, "folder": folder}, _said("made"), as_json=as_json)


@app.command("import")
def import_conversation(
    file: Annotated[Path, typer.Argument(help="What `conversations export` wrote.")],
    folder: Folder = "",
    as_json: Json = False,
) -> None:
    """Take a conversation over from a file. One of the same id is replaced; what it was goes into the trash."""
    request = {"action": "import", "path": str(file.absolute()), "folder": folder}
    _change(request, _said("imported"), as_json=as_json)


@app.command("move")
def move(
    conversations: Several,
    to: Annotated[str, typer.Option("--to", help="Folder; empty for none.", autocompletion=complete_folder)],
    as_json: Json = False,
) -> None:
    """Put conversations into another folder of this device."""
    request = {"action": "move", "ids": conversations, "folder": to}
    _change(request, _said("is in '{folder}' now"), as_json=as_json)


@app.command("remove")
def remove(conversations: Several, as_json: Json = False) -> None:
    """Delete conversations of this device. They stay in the trash for thirty days."""
    request = {"action": "remove", "ids": conversations}
    _change(request, _said("removed; `myownllm conversations restore {id}` brings it back"), as_json=as_json)


@app.command("restore")
def restore(
    conversations: Annotated[list[str], typer.Argument(help="Ids or titles, as `trash` shows them.")],
    as_json: Json = False,
) -> None:
    """Bring the newest trashed version of conversations back."""
    _change({"action": "restore", "ids": conversations}, _said("restored"), as_json=as_json)


@app.command("trash")
def trash(
    empty: Annotated[bool, typer.Option("--empty", help="Delete for good what is in it.")] = False,
    as_json: Json = False,
) -> None:
    """Show what was deleted or replaced in the last thirty days."""
    if empty:
        _change({"action": "empty_trash"}, lambda answer: f"{answer[0]['emptied']} deleted for good.", as_json=as_json)
        return
    try:
        store = _store()
        versions, titles = store.trashed(), store.trashed_titles()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        members = ("id", "folder", "trashed_at", "size")
        rows = [{name: getattr(v, name) for name in members} | {"title": titles.get(v.path)} for v in versions]
        context.print_answer({"trash": rows})
    elif not versions:
        print("The trash is empty.")
    else:
        lines = [[v.id, context.shown(titles.get(v.path, ""), 60), v.folder, f"{v.size}"] for v in versions]
        print(columns(lines, ["id", "title", "folder", "bytes"]))


# ── other devices ─────────────────────────────────────────────────────────────────────────────────────────────────────


@app.command("push")
def push(conversations: PushThese, as_json: Json = False) -> None:
    """Move conversations to another device, into the same folder there."""
    _move("conversation_push", conversations, "is on {label} now", as_json=as_json)


@app.command("pull")
def pull(conversations: PullThese, as_json: Json = False) -> None:
    """Move conversations of another device to this one."""
    _move("conversation_pull", conversations, "is here now", as_json=as_json)


def _move(operation: str, arguments: list[str], done: str, *, as_json: bool) -> None:
    """One after another; each that fails is told, and the others move all the same."""
    *conversations, peer = arguments
    moved: list[JsonObject] = []
    failed: list[tuple[str, Failure]] = []
    if not conversations:
        context.fail(AppError("name at least one conversation, and then the device"), as_json=as_json)
    for each in conversations:
        try:
            answer = context.ask_app(context.home(), operation, MOVE_S, peer=peer, conversation=each)
        except FAILURES as error:
            failed.append((each, error))
            continue
        words.work_is_done()
        moved.append(answer)
        if not as_json:
            print(f"{answer['guid']} {done.format(label=context.shown(str(answer['label']), 40))}.")
            if "warning" in answer:
                print(f"  warning: {context.shown(str(answer['warning']), 300)}")
    if len(conversations) == 1 and failed:
        context.fail(failed[0][1], as_json=as_json)
    if as_json:
        said = [{"conversation": each, "message": str(why)} for each, why in failed]
        context.print_answer({"moved": moved, "failed": said})
    for each, why in failed if not as_json else ():
        typer.echo(f"error: {each}: {why}", err=True)
    if failed:
        raise SystemExit(context.EXIT_FAILED)


@app.command("open")
def open_remote(
    conversation: Annotated[str, typer.Argument(help=_ID_HELP, autocompletion=complete_remote)],
    peer: Peer,
    out: Annotated[Path | None, typer.Option("--out", help="Write it to a new file, for `save`.")] = None,
    as_json: Json = False,
) -> None:
    """Look at a conversation where it is, on another device. Nothing of it is kept here."""
    try:
        answer = context.ask_app(context.home(), "conversation_open", MOVE_S, peer=peer, conversation=conversation)
        document = answer["conversation"]
        if out is not None:
            _write(document, out)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if out is None:
        _show(document, as_json=as_json)
    elif as_json:
        context.print_answer({"guid": document["id"], "out": str(out)})
    else:
        print(f"{document['id']} is in {out}.")


@app.command("save")
def save_remote(
    file: Annotated[Path, typer.Argument(help="What `open --out` wrote, edited.")],
    peer: Peer,
    force: Annotated[bool, typer.Option("--force", help="Also when it was changed there since.")] = False,
    as_json: Json = False,
) -> None:
    """Save a conversation where it is, on another device."""
    try:
        answer = context.ask_app(
            context.home(), "conversation_save", MOVE_S, peer=peer, path=str(file.absolute()), force=force
        )
        words.work_is_done()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer(answer)
    else:
        print(f"{answer['guid']} saved on {context.shown(str(answer['label']), 40)}.")
