"""What every screen says first: the headline, its reason and the next step, from what was seen (spec 08 §10). Pure.

`up`, `status`, `health` and whatever comes later show this one verdict, so that they cannot disagree. It is `good`
exactly when devices can meet; everything else has a reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from mesh_common.views import RelayRow, TwinRow
from myownllm import phases
from myownllm.peers import CONNECTED
from myownllm.relays import told, troubled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from myownllm.peers import PeerEntry

Level = Literal["good", "waiting", "bad"]
DaemonState = Literal["up", "silent", "absent", "failed"]
START_STEP: Final = "`myownllm up` starts it"
PUT_OUT_STEP: Final = "ask who decides there; `myownllm networks remove` forgets the network here"
NO_NETWORK_STEP: Final = (
    "`myownllm networks add <name>` makes one, `myownllm networks use <name>` picks one that is saved"
)


class Known(Struct, frozen=True):
    """A peer, as far as the headline minds it."""

    status: str
    label: str
    needs_turn: bool = False


class Sight(Struct, frozen=True, kw_only=True):
    """What one screen has seen of the mesh."""

    handle: str | None
    """label or wire id of the active network"""
    phase: phases.Phase = "off"
    error: str = ""
    """why the app could not start on this network, or what a start waits for"""
    app_running: bool = True
    silent_app: int | None = None
    """process of a running app that says nothing"""
    daemon: DaemonState = "up"
    """`failed`: none can be started until somebody does something"""
    daemon_reason: str = ""
    """what is wrong with the daemon, or what is waited for"""
    is_shared: bool = False
    """the daemon belongs to another app"""
    joined: bool = True
    """the daemon is in the active network"""
    relays: tuple[RelayRow, ...] | None = None
    """None from a daemon that does not tell of them"""
    joining: bool = False
    """our daemon has heard from no relay since it joined"""
    has_turn: bool = False
    """the network has a TURN server"""
    peers: tuple[Known, ...] = ()
    twin: TwinRow | None = None
    put_out: bool = False
    """whoever decides in the network has put this device out"""
    lan: bool = False
    """devices in the local network find each other without a relay"""
    identity_home: str | None = None
    """home of the daemon whose identity is in dispute"""


class Headline(Struct, frozen=True):
    level: Level
    text: str
    reason: str = ""
    next_step: str = ""

    @property
    def line(self) -> str:
        """All of it, for a screen that has one line."""
        reason = f" ({self.reason})" if self.reason and self.reason not in self.text else ""
        return f"{self.text}{reason}"


def known(peers: Sequence[PeerEntry]) -> tuple[Known, ...]:
    """The peers of a screen, for its headline."""
    return tuple(Known(p.status, p.label, p.needs_turn) for p in peers)


def verdict(sight: Sight) -> Headline:
    """The one place that decides what stands on top."""
    handle = sight.handle
    if sight.daemon == "failed" and sight.app_running:
        step = "`myownllm daemon retry` tries again at once, `myownllm daemon log` shows what the daemon said"
        return Headline("bad", f"Mesh error: {sight.daemon_reason}", "", step)
    if handle is None:
        return Headline("bad", phases.pill_text(None, "off"), "", NO_NETWORK_STEP)
    if sight.silent_app is not None:
        return Headline("bad", "The app does not answer", "", wake(sight.silent_app))
    if sight.daemon != "up" and not sight.app_running:
        return _not_running(handle, sight.daemon_reason)
    if sight.daemon != "up":
        return _waiting_for_daemon(handle, sight)
    if not sight.app_running and sight.joined:
        connected = sum(p.status in CONNECTED for p in sight.peers)
        text = f"The app is not running — its daemon is on {handle}, {_devices(connected)} connected"
        return Headline("bad", text, "", START_STEP)
    if not sight.app_running:
        return _not_running(handle, "")
    if sight.phase == "error":
        step = "`myownllm networks edit` corrects its settings, `myownllm networks use` picks another one"
        return Headline("bad", f"Mesh error: {sight.error}", "", step)
    if not sight.joined or sight.phase in ("off", "starting"):
        return Headline("waiting", phases.pill_text(handle, "starting"), sight.error or "the app is about to join it")
    if sight.twin is not None:
        text = f"Another device uses this device's identity on {handle}"
        return Headline("bad", text, in_use(sight.twin, sight.identity_home))
    if sight.put_out:
        return Headline("bad", put_out(handle), "nobody there links with it until it is let in again", PUT_OUT_STEP)
    return _met(handle, sight)


def put_out(handle: str) -> str:
    return f"This device was put out of {handle}"


def _devices(count: int) -> str:
    return f"{count} {'device' if count == 1 else 'devices'}"


def _not_running(handle: str, reason: str) -> Headline:
    text = f"Not running — '{handle}' is joined as soon as `myownllm up` runs"
    return Headline("bad", text, reason, START_STEP)


def _waiting_for_daemon(handle: str, sight: Sight) -> Headline:
    reason = sight.daemon_reason or "the mesh daemon is being looked for"
    if sight.daemon == "silent":
        step = "restart the app that it belongs to" if sight.is_shared else "the app replaces it within seconds"
        return Headline("waiting", f"Waiting for the mesh daemon on {handle}…", reason, step)
    return Headline("waiting", phases.pill_text(handle, "starting"), reason)


def _met(handle: str, sight: Sight) -> Headline:
    """Joined, with a daemon that answers: who is there, and who can be found?"""
    connected = sum(p.status in CONNECTED for p in sight.peers)
    silent = troubled(sight.relays)
    if sight.joining or is_unheard(sight.relays, lan=sight.lan):
        return _unheard(handle, connected, told(silent) or "no relay of this network has answered yet", sight)
    if connected:
        return Headline("good", phases.pill_text(handle, "peer-active", connected))
    if any(p.needs_turn for p in sight.peers):
        phase: phases.Phase = "ice-failed-turn-unreachable" if sight.has_turn else "ice-failed-no-turn"
        return Headline("bad", phases.pill_text(handle, phase), "", f"`myownllm networks edit {handle} --turn …`")
    if (asked := _approval(handle, sight.peers)) is not None:
        return asked
    on_the_way = any(p.status != "offline" for p in sight.peers)
    return Headline("good", phases.pill_text(handle, "peer-discovered" if on_the_way else "signaling-up"))


def is_unheard(relays: Sequence[RelayRow] | None, *, lan: bool) -> bool:
    """Whether the network has relays and none serves, or is met nowhere at all."""
    return relays is not None and len(troubled(relays)) == len(relays) and not (lan and not relays)


def _unheard(handle: str, connected: int, reason: str, sight: Sight) -> Headline:
    if sight.relays == ():
        return _unmet(handle, connected)
    step = "check this device's connection and the network's relays (`myownllm networks list`)"
    found = "only devices in this local network" if sight.lan else "nobody new"
    if connected:
        text = phases.pill_text(handle, "peer-active", connected)
        return Headline("bad", f"{text} — {found} can be found", reason, step)
    if sight.lan and (asked := _approval(handle, sight.peers)) is not None:
        return Headline("bad", f"{asked.text} — {found} can be found", reason, asked.next_step)
    if sight.joining and not any(row.reason is not None for row in sight.relays or ()):
        return Headline("waiting", phases.pill_text(handle, "signaling-connecting"), reason, step)
    who = "Only devices in this local network" if sight.lan else "Nobody"
    return Headline("bad", f"{who} can be found on {handle} — no relay serves", reason, step)


UNMET: Final = "it is met in the local network alone, and nothing is said or heard there"


def _unmet(handle: str, connected: int) -> Headline:
    """Of a network without a relay, on a device that no local network is heard on."""
    step = "connect this device to the local network of the others, or `myownllm networks edit --no-only-lan`"
    if connected:
        return Headline(
            "bad", f"{phases.pill_text(handle, 'peer-active', connected)} — nobody new can be found", UNMET, step
        )
    return Headline("bad", f"Nobody can be found on {handle}", UNMET, step)


def _approval(handle: str, peers: Sequence[Known]) -> Headline | None:
    """Only a person's decision is missing: nothing else is on its way."""
    if any(p.status not in ("pending_approval", "pending_remote", "offline") for p in peers):
        return None
    here = [p.label for p in peers if p.status == "pending_approval"]
    there = [p.label for p in peers if p.status == "pending_remote"]
    if here:
        who = here[0] if len(here) == 1 else _devices(len(here))
        text = f"{who} {'wants' if len(here) == 1 else 'want'} to join {handle} — waiting for your approval"
        return Headline("good", text, "", "compare the codes in `myownllm peers`, then `myownllm approve`")
    if there:
        who = there[0] if len(there) == 1 else _devices(len(there))
        text = f"Waiting for the approval of this device on {who} ({handle})"
        return Headline("good", text, "", f"approve this device there, on {who}")
    return None


def wake(pid: int) -> str:
    """What helps with an app that runs and says nothing."""
    return (
        f"it may have been stopped (Ctrl-Z): `kill -CONT {pid}` lets it go on; "
        f"if that does not help, end it with `kill -KILL {pid}` and start it again with `myownllm up`"
    )


def in_use(twin: TwinRow, home: str | None) -> str:
    """That another device uses the identity, and what to do."""
    where = f"{home}/.secrets/identity.json" if home else "`.secrets/identity.json` in the daemon's home"
    way_out = (
        "end the app there, or give this device an identity of its own: end the app here, move "
        f"{where} away and start again"
    )
    if twin.stands_aside:
        return (
            "another device uses this device's identity (a copied home?) and was here first, "
            f"so this one stands aside: {way_out}"
        )
    if twin.proved:
        return f"another device uses this device's identity (a copied home?): {way_out}"
    return f"another device announces itself with this device's identity, or somebody pretends to be it: {way_out}"
