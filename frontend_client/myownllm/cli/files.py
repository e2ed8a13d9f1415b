"""Commands about files: send them, take or decline what is offered, and see what is under way."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh_common.tables import columns
from myownllm.cli import context
from myownllm.cli.options import Json
from myownllm.cli.peers import complete_peer
from myownllm.cli.texts import size_text
from myownllm.errors import FAILURES, AppError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from myownllm.coerce import JsonObject

ASK_S = 10.0
"""The app answers at once; only a stopped one does not."""
INTERRUPTED = 130
_ENDED = ("sent", "received", "aborted", "failed", "broken")

inbox = typer.Typer(help="Files that other devices offer: show, accept, decline.", invoke_without_command=True)
transfers = typer.Typer(help="Files that come and go: show, cancel.", invoke_without_command=True)


def send(
    files: Annotated[list[Path], typer.Argument(help="Files; a folder is packed into an archive first.")],
    peer: Annotated[
        str, typer.Argument(help="Id, display id, beginning of the id, or label.", autocompletion=complete_peer)
    ],
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; `transfers` shows how it goes.")] = False,
    as_json: Json = False,
) -> None:
    """Send files to a connected device, whose person has five minutes to accept them. Ctrl-C cancels."""
    paths = [str(path.absolute()) for path in files]
    last: dict[str, JsonObject] = {}
    shown = _Progress(len(paths))
    try:
        with context.asking_app(context.home(), "files_send", None, paths=paths, peer=peer, detach=detach) as answer:
            for item in answer:
                last[item["id"]] = item
                if as_json:
                    context.print_json(item)
                else:
                    shown.tell(item)
    except KeyboardInterrupt:
        shown.done()
        sys.stderr.write("Cancelled.\n")
        raise SystemExit(INTERRUPTED) from None
    except FAILURES as error:
        shown.done()
        context.fail(error, as_json=as_json)
    if detach and not as_json:
        for item in (item for item in last.values() if item["status"] not in _ENDED):
            name, who = context.shown(item["filename"]), context.shown(item["peer_label"], 40)
            print(f"{name}: on its way to {who}; `myownllm transfers` shows how it goes")
    if any(item["status"] in ("failed", "aborted") for item in last.values()):
        raise SystemExit(context.EXIT_FAILED)


class _Progress:
    """What a person sees of several files: a line for each step, and on a terminal one that moves."""

    def __init__(self, files: int) -> None:
        self._moves = sys.stdout.isatty()
        self._files = files
        self._items: dict[str, JsonObject] = {}
        self._open = False
        self._began = 0.0
        self._before = 0

    def tell(self, item: JsonObject) -> None:
        before = self._items.get(item["id"], {})
        self._items[item["id"]] = item
        if (item["status"], item["detail"]) != (before.get("status"), before.get("detail")):
            self._line(item)
        if self._moves and item["status"] == "sending":
            self._moving()

    def done(self) -> None:
        """Nothing moves any more."""
        if self._open:
            sys.stdout.write("\r\x1b[K")
            self._open = False
        sys.stdout.flush()

    def _line(self, item: JsonObject) -> None:
        name, peer = context.shown(item["filename"]), context.shown(item["peer_label"], 40)
        detail = context.shown(item["detail"], 400)
        text = {
            "hashing": "",
            "offered": f"{name}: offered to {peer}; its person has five minutes to accept it",
            "sending": f"{name}: accepted" if not item["bytes_sent"] else f"{name}: goes on",
            "waiting": f"{name}: waits ({detail})",
            "sent": f"{name}: sent, {size_text(item['bytes_total'])}",
            "aborted": f"{name}: cancelled",
            "failed": f"{name}: not sent: {detail}",
        }[item["status"]]
        if text:
            self.done()
            print(text, flush=True)

    def _moving(self) -> None:
        items = self._items.values()
        sent, total = sum(i["bytes_sent"] for i in items), sum(i["bytes_total"] for i in items)
        now = time.monotonic()
        if not self._began:
            self._began, self._before = now, sent
        rate = (sent - self._before) / max(now - self._began, 0.1)
        left = f", {(total - sent) / rate:.0f} s left" if rate > 0 else ""
        what = next(iter(items))["filename"] if self._files == 1 else f"{self._files} files"
        share = 100 * sent // total if total else 0
        sys.stdout.write(f"\r\x1b[K{context.shown(what, 40)}: {share} %, {size_text(int(rate))}/s{left}")
        sys.stdout.flush()
        self._open = True


# ── offers ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@inbox.callback()
def list_inbox(ctx: typer.Context, as_json: Json = False) -> None:
    """Show what other devices offer, and for how long."""
    if ctx.invoked_subcommand is not None:
        return
    offers = _asked("inbox_list", as_json=as_json)
    if as_json:
        context.print_answer({"offers": offers})
    elif not offers:
        print("Nobody offers a file.")
    else:
        print(columns([_offer_row(o) for o in offers], ["id", "from", "file", "size", "seconds left"]))
        print("`myownllm inbox accept ID` takes one, `myownllm inbox decline ID` does not.")


def _offer_row(offer: JsonObject) -> list[str]:
    left = max(0, offer["expires_at_ms"] // 1000 - int(time.time()))
    return [
        offer["id"],
        context.shown(offer["peer_label"], 40),
        context.shown(offer["filename"], 60),
        size_text(offer["size_bytes"]),
        str(left),
    ]


def complete_offer(incomplete: str) -> list[str]:
    """Ids of offers that wait, for the shell's completion."""
    return _ids("inbox_list", incomplete)


Offer = Annotated[
    str,
    typer.Argument(help="Id, its beginning, or the file's name where only one has it.", autocompletion=complete_offer),
]


@inbox.command()
def accept(
    offer: Offer,
    to: Annotated[Path | None, typer.Option("--to", help="Another folder than the usual one.")] = None,
    as_json: Json = False,
) -> None:
    """Take a file that is offered."""
    members = {} if to is None else {"to": str(to.absolute())}
    taken = _asked("inbox_accept", as_json=as_json, id=offer, **members)
    if as_json:
        context.print_answer(taken)
    else:
        what = f"{context.shown(taken['filename'])} from {context.shown(taken['peer_label'], 40)}"
        print(f"Receiving {what} into {taken['folder']}; `myownllm transfers` shows it.")


@inbox.command()
def decline(offer: Offer, as_json: Json = False) -> None:
    """Turn a file away."""
    declined = _asked("inbox_decline", as_json=as_json, id=offer)
    if as_json:
        context.print_answer(declined)
    else:
        print(f"Declined {context.shown(declined['filename'])}.")


# ── transfers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@transfers.callback()
def list_transfers(
    ctx: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing them until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show files under way, and the latest that have ended."""
    if ctx.invoked_subcommand is not None:
        return
    if not watch:
        _show(_asked("files_list", as_json=as_json), as_json=as_json)
        return
    try:
        with context.asking_app(context.home(), "files_watch", None) as answer:
            for listed in answer:
                if not as_json and sys.stdout.isatty():
                    sys.stdout.write("\x1b[H\x1b[2J")
                _show(listed, as_json=as_json)
    except KeyboardInterrupt:
        return
    except FAILURES as error:
        context.fail(error, as_json=as_json)


def _show(listed: list[JsonObject], *, as_json: bool) -> None:
    if as_json:
        context.print_answer({"transfers": listed})
    elif not listed:
        print("No file is under way.")
    else:
        print(columns([_transfer_row(t) for t in listed], ["id", "device", "file", "size", "state"]), flush=True)


def _transfer_row(transfer: JsonObject) -> list[str]:
    done: int = transfer["bytes_sent" if transfer["direction"] == "outbound" else "bytes_received"]
    share = f" {100 * done // transfer['bytes_total']} %" if transfer["bytes_total"] else ""
    state = transfer["status"] + ("" if transfer["status"] in _ENDED else share)
    arrow = "to" if transfer["direction"] == "outbound" else "from"
    detail = context.shown(transfer["detail"], 200)
    return [
        transfer["id"],
        f"{arrow} {context.shown(transfer['peer_label'], 40)}",
        context.shown(transfer["filename"], 60),
        size_text(transfer["bytes_total"]),
        f"{state}: {detail}" if detail else state,
    ]


def complete_transfer(incomplete: str) -> list[str]:
    """Ids of transfers, for the shell's completion."""
    return _ids("files_list", incomplete)


@transfers.command()
def cancel(
    transfer: Annotated[str, typer.Argument(help="Id, or its beginning.", autocompletion=complete_transfer)],
    as_json: Json = False,
) -> None:
    """End a transfer, in either direction; the other device is told."""
    ended = _asked("files_cancel", as_json=as_json, id=transfer)
    if as_json:
        context.print_answer(ended)
    else:
        print(f"Cancelled {context.shown(ended['filename'])}.")


def _asked(operation: str, *, as_json: bool, **members: Any) -> Any:
    try:
        return context.ask_app(context.home(), operation, ASK_S, **members)
    except FAILURES as error:
        context.fail(error, as_json=as_json)


def _ids(operation: str, incomplete: str) -> list[str]:
    try:
        listed: Iterable[JsonObject] = context.ask_app(context.home(), operation, 1.0)
    except AppError:
        return []
    return [entry["id"] for entry in listed if entry["id"].startswith(incomplete)]
