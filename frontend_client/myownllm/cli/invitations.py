"""`myownllm invite`, `join`, `invites`, `uninvite`: a device is let in by a link (spec 11 §1)."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mesh_common import passed_secrets
from mesh_common.answers import InvitationTaken, InviteCreated, InviteRow, InvitesAnswer, RosterAnswer
from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.durations import whole_seconds
from mesh_common.streams import words
from mesh_common.tables import columns
from myownllm.catalog.envelope import invited_settings
from myownllm.cli import context, networks
from myownllm.cli.options import Json
from myownllm.cli.peers import OnNetwork
from myownllm.cli.pictures import print_picture
from myownllm.errors import FAILURES, UNSUPPORTED_TEXT, AppError
from myownllm.ids import bare_id, device_suffix
from myownllm.network_changes import joined
from myownllm.sightings import moment

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_S: Final = 0.5
CLOCKS_S: Final = 60.0
"""The inviter's clock decides, and ours may be ahead of it: a link is waited for so long at least."""
_MAX_TTL_S: Final = 30 * 86_400


def invite(
    span: Annotated[str, typer.Option("--for", metavar="TIME", help="How long it works: 15m, 2h, 7d.")] = "15m",
    uses: Annotated[int, typer.Option(min=1, max=100, help="How many devices it lets in.")] = 1,
    note: Annotated[str, typer.Option(help="For your own list.")] = "",
    qr: Annotated[bool | None, typer.Option("--qr/--no-qr", help="Show it as a picture, too.")] = None,
    turn_passwords: Annotated[
        bool, typer.Option("--turn-passwords", help="Also hand over the passwords of TURN servers.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay and show who uses it.")] = True,
    network: OnNetwork = None,
    as_json: Json = False,
) -> None:
    """Let a device in by a link: whoever has it needs no other approval, so hand it over as you would a key."""
    try:
        here = context.session(network)
        made = here.daemon.answer(
            InviteCreated,
            "invite_create",
            network=here.network,
            ttl_s=_seconds(span),
            uses=uses,
            note=note,
            turn_credentials=turn_passwords,
        )
        words.work_is_done()
        alone = not here.daemon.answer(RosterAnswer, "roster_list", network=here.network).roster
    except FAILURES as error:
        context.fail(_plain(error), as_json=as_json)
    if as_json:
        context.print_answer({"text": made.text, "id": made.id, "exp": made.exp, "uses": uses, "network": here.network})
        return
    shown = qr if qr is not None else sys.stdout.isatty()
    if shown and not print_picture(made.text) and qr:
        typer.echo("note: this terminal is too narrow for the picture", err=True)
    print(made.text)
    devices = "one device" if uses == 1 else f"{uses} devices"
    print(f"\nLets {devices} into '{here.handle}' until {_until(made.exp)}. Take it back: myownllm uninvite {made.id}")
    if alone:
        print("No device is approved here yet: the link leads to this device only.")
    if wait and sys.stdout.isatty():
        print("Waiting for it to be used; Ctrl-C leaves it valid.")
        _show_uses(here, made)


def join(
    link: Annotated[
        str | None, typer.Argument(metavar="LINK", help="The link, a file, or - for standard input. Default: ask.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve the inviter in a network that is saved already.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until the device is in.")] = True,
    as_json: Json = False,
) -> None:
    """Use a link of `myownllm invite`: save its network, approve the device that made it, and be let in."""
    try:
        text = passed_secrets.passed_secret(link, "Invitation (not shown): ")
        app_home = context.home()
        daemon = context.need_daemon(app_home)
        leads = daemon.answer(InvitationTaken, "network_join_invite", text=text, dry_run=True)
        _agree(daemon, leads, yes=yes, as_json=as_json)
        # Before the app has the daemon join: the first meeting already shows the link, and asks nobody.
        daemon.answer(InvitationTaken, "network_join_invite", text=text, approve_inviter=True, ahead=True)
        file = context.catalog_file(app_home)
        settings = invited_settings(leads.settings)
        if settings is None:
            raise AppError("this invitation holds no network settings")
        catalog = file.mutate(lambda catalog: joined(catalog, settings, file.mint_id()))
        words.work_is_done()
        if leads.exp <= time.time():
            typer.echo(
                "note: by this device's clock the link is over; it is tried all the same, clocks differ", err=True
            )
        saved = catalog.by_wire_id(leads.network_id)
        assert saved is not None
        networks.follow(saved)
        daemon.answer(InvitationTaken, "network_join_invite", text=text, approve_inviter=True)
    except (passed_secrets.NoSecret, *FAILURES) as error:
        context.fail(_plain(error), as_json=as_json)
    here = context.Session(daemon, leads.network_id, saved.handle)
    inviter = bare_id(leads.sender)
    if as_json:
        connected = wait and comes_true(partial(_is_let_in, here, inviter), leads.exp)
        context.print_answer({"network": leads.network_id, "from": inviter, "connected": connected})
        return
    name = context.shown(leads.sender_label, 40) or "the device that invited"
    print(f"Joined '{saved.handle}'; {name} ({leads.sender}) is approved here.")
    if not wait:
        return
    if not _is_let_in(here, inviter):
        print(f"Waiting for {name}, until {_until(leads.exp)}; Ctrl-C leaves it to the running app.")
    if comes_true(partial(_is_let_in, here, inviter), leads.exp):
        print(f"Connected with {name}.")
    else:
        print(f"{name} has not let this device in; `myownllm peers` shows whether it waits for an approval.")
        raise SystemExit(context.EXIT_FAILED)


def invites(network: OnNetwork = None, as_json: Json = False) -> None:
    """Show the invitations of this device: how long they work, and whom they let in."""
    try:
        here = context.session(network)
        rows = here.daemon.answer(InvitesAnswer, "invite_list", network=here.network).invites
    except FAILURES as error:
        context.fail(_plain(error), as_json=as_json)
    if as_json:
        context.print_answer({"network": here.network, "invites": list(rows)})
    elif not rows:
        print(f"No invitations to '{here.handle}'. `myownllm invite` makes one.")
    else:
        print(columns([_row(row) for row in rows], ["id", "until", "used", "by", "note"]))


def uninvite(
    invite_id: Annotated[str, typer.Argument(metavar="ID", help="As `myownllm invites` shows it.")],
    network: OnNetwork = None,
    as_json: Json = False,
) -> None:
    """Take an invitation back. Devices that it let in stay; `myownllm deny` takes them out."""
    try:
        here = context.session(network)
        here.daemon.ask("invite_revoke", network=here.network, id=invite_id)
        words.work_is_done()
    except FAILURES as error:
        context.fail(_plain(error), as_json=as_json)
    if as_json:
        context.print_answer({"revoked": invite_id})
    else:
        print(f"Invitation {invite_id} is taken back.")


def _agree(daemon: context.Daemon, leads: InvitationTaken, *, yes: bool, as_json: bool) -> None:
    """In a network that is here already, a link approves a device that nobody may have looked at. Raises `AppError`."""
    if yes or not leads.present:
        return
    roster = daemon.answer(RosterAnswer, "roster_list", network=leads.network).roster
    if any(bare_id(row.device_id) == bare_id(leads.sender) for row in roster):
        return
    question = f"This link approves {leads.sender} in '{leads.network_id}', where this device already is."
    if as_json or not sys.stdin.isatty():
        raise AppError(f"{question} Say --yes to go on.")
    if not typer.confirm(f"{question} Go on?"):
        raise AppError("nothing was changed")


def _show_uses(here: context.Session, made: InviteCreated) -> None:
    seen: tuple[str, ...] = ()
    while time.time() < made.exp:
        try:
            rows = here.daemon.answer(InvitesAnswer, "invite_list", network=here.network).invites
            row = next((each for each in rows if each.id == made.id), None)
            names = {peer.device_pubkey: peer.label for peer in here.peers()}
        except ControlError as error:
            context.fail(error)
        if row is None:
            print("It was taken back.")
            return
        for device in row.by[len(seen) :]:
            label = context.shown(names.get(device, ""), 40)
            print(f"Used by {label or 'a device'} ({_display(device)}); `myownllm deny` takes it out again.")
        seen = row.by
        if len(seen) >= row.uses:
            return
        time.sleep(POLL_S)
    print("It has expired.")


def comes_true(is_let_in: Callable[[], bool], exp: float) -> bool:
    """Wait until the inviter has let this device in. False: the invitation, valid until `exp` (Unix), is over first."""
    until = max(exp, time.time() + CLOCKS_S)
    while not is_let_in():
        if time.time() >= until:
            return False
        time.sleep(POLL_S)
    return True


def _is_let_in(here: context.Session, inviter: str) -> bool:
    try:
        return any(peer.device_pubkey == inviter and peer.status == "active" for peer in here.peers())
    except ControlError as error:
        context.fail(error)


def _row(row: InviteRow) -> list[str]:
    by = ", ".join(_display(device) for device in row.by)
    return [row.id, _until(row.exp), f"{len(row.by)} of {row.uses}", by, context.shown(row.note, 40)]


def _display(device: str) -> str:
    return f"{device}-{device_suffix(device)}"


def _until(exp: int) -> str:
    return moment(exp * 1000)


def _seconds(text: str) -> int:
    span_s = whole_seconds(text, _MAX_TTL_S)
    if span_s is None:
        raise AppError(f"{text!r} is no time; say 15m, 2h or 7d, 30 days at most")
    return span_s


def _plain(error: Exception) -> Exception:
    """The daemon's class of error is nothing that a person needs to read."""
    if isinstance(error, passed_secrets.NoSecret):
        return AppError(str(error))
    text = str(error)
    if isinstance(error, ControlError) and error.kind is ErrorKind.UNSUPPORTED:
        return ControlError(error.kind, f"{UNSUPPORTED_TEXT}; compare the codes instead")
    if isinstance(error, ControlError) and text.startswith("invite: "):
        return ControlError(error.kind, text.removeprefix("invite: "), refused=error.refused)
    return error
