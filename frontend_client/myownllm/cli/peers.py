"""Commands about other devices: see them, decide about them, call them, tell them something."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import msgspec
import typer
from msgspec.structs import asdict

from mesh_common.answers import (
    CallAnswer,
    DeviceApproved,
    IdentityAnswer,
    MessageDispatched,
    MessageSent,
    StreamStarted,
)
from mesh_common.client import blocking
from mesh_common.client.errors import HANDLER_ERROR, ControlError, ErrorKind, refusal, stream_failure
from mesh_common.client.protocol import FAST_TIMEOUT_S
from mesh_common.streams import words
from mesh_common.tables import columns
from mesh_common.views import PeerInfo
from myownllm.cli import context
from myownllm.cli.options import Json
from myownllm.errors import FAILURES, NO_DATA_TEXT, AppError, PeerSelectorError
from myownllm.ids import DEVICE_ID, bare_id, device_suffix
from myownllm.peers import PeerEntry, peer_entry, signaling_word
from myownllm.sightings import moment

OnNetwork = Annotated[str | None, typer.Option("--network", help="Another joined network than the active one.")]
CALL_TIMEOUT_S = 30.0
CALL_TIMEOUT_MAX_S = 600.0
"""The daemon's own limit of a single call."""

WAITING = 3
"""Exit code of a decision that is recorded and waits for somebody, as of `myownmesh ctl`."""

_STATUS_WORDS = {
    "active": "connected",
    "shelved": "connected, shelved",
    "pending_approval": "wants to join",
    "pending_remote": "waits for them",
    "handshaking": "connecting",
    "reconnecting": "reconnecting",
    "offline": "offline",
    "failed": "failed",
}
_NOT_LINKED = {
    "kept_apart_by_shape": "not linked, by the network's shape",
    "silent_network": "not linked, in a silent network",
    "listens_only": "not linked, this device only listens",
}
"""By the daemon's reason (docs/why.md): nothing is being made, and that is as it should be."""


def complete_peer(incomplete: str) -> list[str]:
    """Labels and ids of known peers, for the shell's completion."""
    try:
        known = context.session().peers()
    except FAILURES:
        return []
    names = [p.label for p in known] + [p.device_pubkey for p in known]
    return [n for n in names if n.startswith(incomplete)]


Peer = Annotated[
    str, typer.Argument(help="Id, display id, unique beginning of the id, or label.", autocompletion=complete_peer)
]


def peers(network: OnNetwork = None, as_json: Json = False) -> None:
    """Show the devices of the active network, with the codes to compare before an approval."""
    try:
        here = context.session(network)
        known = here.everyone()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        rows = [{**p.to_json(), "offline_since": since} for p, since in known]
        context.print_answer({"network": here.network, "peers": rows})
    elif not known:
        print(f"No device seen on '{here.handle}' yet.")
    else:
        print(
            columns(
                [_row(p, since) for p, since in known],
                ["device", "label", "state", "their code", "our code", "path", "signaling", "rtt"],
            )
        )


def _row(peer: PeerEntry, since_ms: int | None) -> list[str]:
    rtt = "" if peer.rtt_ms is None else f"{peer.rtt_ms} ms"
    codes = [peer.code_received or "", peer.code_sent or ""]
    why = peer.why[0] if peer.why is not None and peer.status == "handshaking" else ""
    state = _NOT_LINKED.get(why) or _STATUS_WORDS[peer.status]
    state += f" since {moment(since_ms)}" if since_ms is not None else ""
    way = [peer.path or "", signaling_word(peer.sealed)]
    return [peer.display, context.shown(peer.label, 40), state, *codes, *way, rtt]


def approve(
    peer: Peer,
    code: Annotated[str | None, typer.Option(help="Approve only if the device shows this code.")] = None,
    mfa_code: Annotated[
        str | None, typer.Option("--mfa-code", help="Authenticator code, where a lock is on. Default: ask.")
    ] = None,
    network: OnNetwork = None,
    as_json: Json = False,
) -> None:
    """Let a device in. Both sides approve once; compare the codes on both screens first.

    On a closed network an owner or controller signs it in; anybody else proposes it, which ends with 3.
    """
    try:
        here = context.session(network)
        found = _known_or_named(here, peer)
        if code is not None and code not in (found.code_received, found.code_sent):
            raise AppError(f"{found.display} shows another code than '{code}'; not approved")
        done = _approved(here, found, mfa_code)
        words.work_is_done()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        told = {"approved": found.device_pubkey, "label": found.announced_label}
        signed = {"proposal_id": done.proposal_id, "effective": done.effective, "waits_for": [*done.waits_for]}
        context.print_answer(told if done.effective is None else {**told, **signed})
    else:
        who = f"{context.shown(found.label)} ({found.display})"
        other = "" if found.remote_approved else "; it must approve this device as well"
        if done.effective is None:
            print(f"Approved {who}{other}.")
        elif done.effective:
            print(f"Signed {who} in: every device of this network lets it in now{other}.")
        else:
            print(
                f"Proposed {who}: only an owner or controller lets devices in here. {_deciders(here, done.waits_for)}"
            )
    if done.effective is False:
        raise typer.Exit(WAITING)


def _approved(here: context.Session, found: PeerEntry, code: str | None) -> DeviceApproved:
    """Ask for it; who sits at a terminal is asked for the code that a lock wants."""
    members: dict[str, Any] = {
        "network": here.network,
        "device_id": found.device_pubkey,
        "label": found.announced_label,
    }
    if code is not None:
        members["mfa_code"] = code
    try:
        return here.daemon.answer(DeviceApproved, "roster_approve", **members)
    except ControlError as error:
        if error.kind is not ErrorKind.NEEDS_CODE or sys.stdin is None or not sys.stdin.isatty():
            raise
    from mesh_common.passed_secrets import NoSecret, passed_secret

    try:
        members["mfa_code"] = passed_secret(None, "Authenticator code (not shown): ")
    except NoSecret as error:
        raise AppError(str(error)) from error
    return here.daemon.answer(DeviceApproved, "roster_approve", **members)


def _deciders(here: context.Session, devices: tuple[str, ...]) -> str:
    """Who could decide, as a person knows them."""
    labels = {peer.device_pubkey: peer.label for peer in here.peers()}
    named = []
    for device in devices:
        display = f"{device}-{device_suffix(device)}"
        label = context.shown(labels.get(device) or "")
        named.append(f"{label} ({display})" if label else display)
    return f"It waits for one of: {', '.join(named)}." if named else "Nobody who could sign it is left."


def _known_or_named(here: context.Session, text: str) -> PeerEntry:
    """A device that knocked, or one that is named by its whole id before it does."""
    try:
        return here.peer(text)
    except PeerSelectorError:
        key = bare_id(text)
        if DEVICE_ID.match(key) is None:
            raise
        return peer_entry(PeerInfo(device_id=key, device_suffix=device_suffix(key), status="sighted"))


def deny(peer: Peer, network: OnNetwork = None, as_json: Json = False) -> None:
    """Turn a device away, or take an approval back. It may knock again."""
    try:
        here = context.session(network)
        found = here.peer(peer, rostered=True)
        here.daemon.ask("roster_remove", network=here.network, device_id=found.device_pubkey)
        words.work_is_done()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer({"removed": found.device_pubkey})
    else:
        print(f"Removed {context.shown(found.label)} ({found.display}).")


def _payload(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise AppError(
            f"the payload is not JSON ({error}); quote it for the shell, a text is written '\"like this\"'"
        ) from None


def _seconds(value: float) -> float:
    if not 0 < value <= CALL_TIMEOUT_MAX_S:  # not-a-number fails this, too
        raise typer.BadParameter(f"more than 0 and at most {CALL_TIMEOUT_MAX_S:.0f} seconds")
    return value


def call(
    peer: Peer,
    method: Annotated[str, typer.Argument(help="What to call: `myownllm up` answers echo, about and count.")],
    payload: Annotated[str, typer.Argument(help="The request as JSON.")] = "null",
    stream: Annotated[bool, typer.Option("--stream", help="The method answers in pieces.")] = False,
    timeout: Annotated[
        float, typer.Option(help="Seconds without an answer before giving up.", callback=_seconds)
    ] = CALL_TIMEOUT_S,
    network: OnNetwork = None,
    as_json: Json = False,
) -> None:
    """Call a method of a connected device and print its answer."""
    try:
        request = _payload(payload)
        here = context.session(network)
        found = here.peer(peer)
        if stream:
            for piece in _stream(here, found, method, request, timeout):
                context.print_json({"chunk": piece} if as_json else piece)
            if as_json:
                context.print_answer({"end": True})
            return
        answer = here.ask_peer(
            CallAnswer,
            found,
            "rpc_call",
            method=method,
            payload=request,
            timeout_ms=int(timeout * 1000),
            timeout_s=timeout + 1,
        )
    except FAILURES as error:
        text = str(error)
        if isinstance(error, ControlError) and error.kind is ErrorKind.TIMEOUT:
            text = f"timed out waiting for {peer}"
        context.fail(
            AppError(text) if not isinstance(error, ControlError) else ControlError(error.kind, text), as_json=as_json
        )
    context.print_json(answer if as_json else answer.response)


def _stream(here: context.Session, peer: PeerEntry, method: str, request: Any, timeout: float) -> Any:
    """Pieces of a streamed answer, also those that overtake the answer to the call itself. Raises ControlError."""
    from mesh_common.client.frames import StreamChunk, StreamEnd, read_frame  # `call --stream` alone needs them

    with blocking.Connection(here.daemon.socket, FAST_TIMEOUT_S) as events:
        client_id = events.subscribe()
        members = {"client_id": client_id, "method": method, "payload": request}
        request_id = here.ask_peer(StreamStarted, peer, "rpc_call_stream", **members).request_id
        events.timeout = timeout
        pieces = 0
        while True:
            match read_frame(events.receive()):
                case StreamChunk(request_id=rid, payload=piece) if rid == request_id:
                    if isinstance(piece, dict) and set(piece) == {"error"}:
                        raise refusal(f"{HANDLER_ERROR}{piece['error']}")
                    pieces += 1
                    yield piece
                case StreamEnd(request_id=rid, error=error) if rid == request_id:
                    if error is not None:
                        raise stream_failure(error)
                    if not pieces:
                        raise ControlError(ErrorKind.CLOSED, NO_DATA_TEXT, refused=True)
                    return
                case _:
                    continue


def broadcast(
    channel: Annotated[str, typer.Argument(help="Channel; `myownllm up` shows what comes on `notice`.")],
    payload: Annotated[str, typer.Argument(help="The message as JSON.")],
    to: Annotated[
        str | None, typer.Option("--to", help="One device instead of all.", autocompletion=complete_peer)
    ] = None,
    network: OnNetwork = None,
    as_json: Json = False,
) -> None:
    """Send a message to every connected device, or to one."""
    try:
        message = _payload(payload)
        here = context.session(network)
        if to is None:
            members = {"network": here.network, "channel": channel, "payload": message}
            count = here.daemon.answer(MessageDispatched, "channel_send_all", **members).dispatched_to
        else:
            here.ask_peer(MessageSent, here.peer(to), "channel_send_to", channel=channel, payload=message)
            count = 1
        words.work_is_done()
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer({"dispatched_to": count})
    else:
        print(f"Sent to {count} {'device' if count == 1 else 'devices'}.")


def label(
    name: Annotated[str | None, typer.Argument(help="The new name of this device; left out: show it.")] = None,
    as_json: Json = False,
) -> None:
    """Show or change the name of this device. Others see a new name at once, older apps when they connect next."""
    try:
        app_home = context.home()
        daemon = context.need_daemon(app_home)
        if name is None:
            identity = daemon.answer(IdentityAnswer, "identity_show")
        else:
            if len(name) > 64:
                raise AppError(f"the name has {len(name)} characters; 64 is the most")
            identity = daemon.answer(IdentityAnswer, "identity_set_label", label=name)
            words.work_is_done()
            context.tell_peers_the_name(app_home)
    except FAILURES as error:
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer(asdict(identity))
    else:
        print(f"{context.shown(identity.label) or '(no name)'}  {identity.device_id}")


REDISCOVER_S = 60.0
"""An older daemon leaves the network and joins it again."""


def reconnect(
    peer: Annotated[str | None, typer.Argument(help="One device; left out: all.", autocompletion=complete_peer)] = None,
    network: OnNetwork = None,
    as_json: Json = False,
) -> None:
    """Renew the connections to peers, and to the relays."""
    try:
        here = context.session(network)
        found = None if peer is None else here.peer(peer)
        target = None if found is None else found.device_pubkey
        if target is None and network is None and context.app_pid(context.home()) is not None:
            context.ask_app(context.home(), "rediscover", REDISCOVER_S)  # it has a way for older daemons, too
        else:
            members: dict[str, Any] = {} if target is None else {"peer": target}
            here.daemon.ask("network_reconnect", network=here.network, **members)
        words.work_is_done()
    except FAILURES as error:
        if isinstance(error, ControlError) and error.kind is ErrorKind.UNSUPPORTED:
            error = ControlError(ErrorKind.UNSUPPORTED, "not supported by this daemon")
        context.fail(error, as_json=as_json)
    if as_json:
        context.print_answer({"reconnecting": here.network, "peer": target})
    else:
        print(f"Reconnecting {'everything' if found is None else context.shown(found.label)} on '{here.handle}'.")
