"""What goes into the client's machine and what comes out of it (spec 08 §5): small values, and nothing that acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from mesh_common.values import Value

if TYPE_CHECKING:
    from pathlib import Path

    from mesh_common.client import frames
    from myownllm.catalog.model import Catalog
    from myownllm.client.registry import Claim, Method
    from myownllm.client.state import DaemonUpdate
    from myownllm.coerce import JsonObject
    from myownllm.effects import Level
    from myownllm.errors import Failure
    from myownllm.membership import DaemonMode
    from myownllm.peers import CatalogEntry, PeerEntry

# ── events: what happened ─────────────────────────────────────────────────────────────────────────────────────────────


class Link(Value, frozen=True):
    """A daemon's event connection. `generation` grows with every new one and fences all work that hangs on it."""

    generation: int
    client_id: str
    mode: DaemonMode
    socket: Path
    daemon_version: str
    device_id: str


class Start(Value, frozen=True):
    """Somebody wants the active network online; `Done(ticket)` tells the outcome, as for the two below."""

    ticket: int


class Stop(Value, frozen=True):
    ticket: int


class Reconcile(Value, frozen=True):
    """The saved networks may have changed: follow them."""

    ticket: int
    may_disrupt: bool = False
    """a person has said that what runs on the network may be cut off"""


class Preview(Value, frozen=True):
    """Show which network is active, before any daemon is there."""

    catalog: Catalog


class Connected(Value, frozen=True):
    link: Link


class Disconnected(Value, frozen=True):
    generation: int


class NotSubscribed(Value, frozen=True):
    """A daemon answers, but gives no events."""

    reason: str


@attrs.frozen
class Answered:
    """What a `Carry` brought: an answer, or the error that stands for it."""

    number: int
    answer: object = attrs.field(default=None, repr=False)
    error: Failure | None = None


class Arrived(Value, frozen=True):
    """A pushed frame of the connection of that generation."""

    generation: int
    frame: frames.Frame


class Served(Value, frozen=True):
    """A `Serve` has come to its end; with a `refusal` its caller has still to be told that."""

    order: Serve
    refusal: str = ""


class ClaimsChanged(Value, frozen=True):
    """The registry has other methods or channels now."""


class Confirm(Value, frozen=True):
    """`Done(ticket)` when the daemon has taken that claim, or with the error with which it refused."""

    ticket: int
    claim: Claim


class Converge(Value, frozen=True):
    """The daemon says that it does not know the network: look at once; `Done(ticket)` when that is over."""

    ticket: int


class Rediscover(Value, frozen=True):
    """Somebody misses peers: look for them anew."""

    ticket: int


class WorkChanged(Value, frozen=True):
    """Work under way is different; what is not `urgent` is shown within 100 ms."""

    urgent: bool


class CapabilitiesChanged(Value, frozen=True):
    """What this device can do is different: peers are told soon."""


class PeersChanged(Value, frozen=True):
    """This app itself did something to a peer: look at the list."""


@attrs.frozen
class CatalogHeard:
    """A peer has said which conversations it has."""

    peer: str
    entries: tuple[CatalogEntry, ...] = attrs.field(repr=False)


class UpdateShown(Value, frozen=True):
    """How far the update of an old daemon is (FE-3.21)."""

    update: DaemonUpdate


class Woke(Value, frozen=True):
    """The time that `next_timer` named has come."""


Event = (
    Start
    | Stop
    | Reconcile
    | Preview
    | Connected
    | Disconnected
    | NotSubscribed
    | Answered
    | Arrived
    | Served
    | ClaimsChanged
    | Confirm
    | Converge
    | Rediscover
    | WorkChanged
    | CapabilitiesChanged
    | PeersChanged
    | CatalogHeard
    | UpdateShown
    | Woke
)

# ── requests: what a procedure waits for ──────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class Ask:
    """One operation of the daemon. The limit is the operation's own unless `timeout_s` says another."""

    operation: str
    members: JsonObject = attrs.field(factory=dict)
    timeout_s: float | None = None


class ReadCatalog(Value, frozen=True):
    """The saved networks as they are now."""


class ReadOwned(Value, frozen=True):
    """Wire ids that this app added to the (shared) daemon of that device id."""

    device_id: str


Request = Ask | ReadCatalog | ReadOwned

# ── commands: what is to be done ──────────────────────────────────────────────────────────────────────────────────────


class Carry(Value, frozen=True):
    """Carry a request out and bring `Answered(number)`; it may be given up at `EndWork(life)`."""

    number: int
    life: int
    request: Request


class Note(Value, frozen=True):
    """A line for the activity log; `ts` in milliseconds is the daemon's own time, None means now."""

    level: Level
    message: str
    ts: int | None = None


class Bind(Value, frozen=True):
    """From now on users' operations go to this network, by this life; an empty one means that there is none."""

    life: int
    wire_id: str


class Up(Value, frozen=True):
    """The life is up and on a network: features may work."""

    life: int


class EndWork(Value, frozen=True):
    """Nothing of this life may go on: give up what it carries, end what it serves, fail what users ask through it."""

    life: int


class Serve(Value, frozen=True):
    """Let the method answer an approved peer; `Served` when that is over."""

    life: int
    call: frames.RpcInbound
    peer: PeerEntry
    method: Method


@attrs.frozen
class Deliver:
    """Hand a message of an approved peer to its channel's handlers."""

    life: int
    peer: PeerEntry
    channel: str
    payload: Any = attrs.field(repr=False)
    size: int
    """bytes that the message took on its way"""


class PeerGone(Value, frozen=True):
    """A peer has been away for longer than its grace window: work with it is over (FE-9.8)."""

    life: int
    peer: str


class Woken(Value, frozen=True):
    """This machine has slept, or this program stood still: the life goes on, what it waited for begins anew."""

    life: int


class PassStream(Value, frozen=True):
    """A piece, or the end, of an answer that a user of this life streams."""

    life: int
    frame: frames.StreamChunk | frames.StreamEnd


class Own(Value, frozen=True):
    """Remember that this app added a network to a shared daemon."""

    device_id: str
    config_id: str
    network_id: str


class Disown(Value, frozen=True):
    device_id: str
    network_id: str


class DaemonStuck(Value, frozen=True):
    """The daemon of that generation answers but will never finish an operation; only a restart helps."""

    generation: int


class Done(Value, frozen=True):
    """An intent has come to its end; `error` says how it failed."""

    ticket: int
    error: Failure | None = None


Notice = (
    Note | Bind | Up | EndWork | Serve | Deliver | PeerGone | Woken | PassStream | Own | Disown | DaemonStuck | Done
)
Command = Carry | Notice
