"""What goes into an engine, of the last minutes: always on, bounded, and cheap enough for the hot path.

A piece of tape begins with the state of the engine; behind it stand the inputs and what the engine drew or was told
meanwhile (random bytes, whether a proof verified). Two pieces are kept, so that the older one reaches back by at least
the length of a piece. All but the newest entries are packed: as objects they take ten times as much, and a daemon
that has many networks, or whose links are restarted often, would grow by megabytes in these minutes.
"""

from __future__ import annotations

import pickle
import zlib
from collections import deque
from collections.abc import Sequence
from copy import copy
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from myownmesh.engine import Engine
from myownmesh.flight.governed import Governed, Hand
from myownmesh.flight.graph import Encoder
from myownmesh.protocol.envelopes import RELAY_CHANNEL
from myownmesh.topology.choices import BY_IDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from myownmesh.engine import EngineConfig
    from myownmesh.governance.member_log import MemberLog
    from myownmesh.identity import Identity
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.introduction import Introduction
    from myownmesh.roster import Roster

PIECE_S: Final = 300.0
PIECE_ENTRIES: Final = 20_000
PIECE_BYTES: Final = 4 * 2**20
"""As noted, before they are packed."""
COMMAND_BYTES: Final = 20_000
"""Counted for a command about what is signed, whose arguments are not packed."""
GOVERN: Final = "govern"
"""Such a command."""
MEMBERS: Final = "members"
"""The member log is another one from here on."""
BLOCK_ENTRIES: Final = 128
BLOCK_BYTES: Final = 64 * 1024
"""What is packed at once: some milliseconds at most."""
MAX_PEERS: Final = 64
"""Of an engine that knows more, no state is taken unasked: it would stand still for too long."""
MAX_ROWS: Final = 1000
"""The same of an engine whose roster is longer."""
LEFT_OUT: Final = ("identity", "rng", "verify", "introduce", "out", "choices", "shape", "government")
"""Of the state: the key, where chance comes from, what is on its way, what follows from the rest, and what is signed,
which is kept apart (`governed`)."""

_APPLICATION: Final = (b'{"kind":"rpc_', b'{"kind":"channel",')
_RELAY: Final = RELAY_CHANNEL.encode()
_receive_frame: Final = Engine.receive_frame
_HEAD_BYTES: Final = 96

Entry = tuple[str, Sequence[Any], dict[str, Any]]
"""The name of an input, with its arguments. `random`, `verdict`, `homes`, `nearest` and `members` are what
came of one, `application` is for many."""

NOTHING: Final[dict[str, Any]] = {}


def _packed(value: object) -> bytes:
    return zlib.compress(pickle.dumps(value, pickle.HIGHEST_PROTOCOL), 1)


def _unpacked(packed: bytes) -> Any:
    return pickle.loads(zlib.decompress(packed))  # this process has packed it a moment ago


class Piece:
    """A stretch of tape: the state of an engine, and what went in from then on."""

    def __init__(self, state: object, began: float, governed: Governed | None = None) -> None:
        self.began = began
        self.governed = governed
        """Of a network that is not governed there is none."""
        self.count = 0
        """Entries."""
        self.nbytes = 0
        self.rosters: list[Roster] = []
        """Each that there was. They have most in common, which packing would undo."""
        self._members: list[MemberLog] = []
        self._commands: list[tuple[object, ...]] = []
        """Arguments of commands about what is signed, which have most in common, too."""
        self._state = _packed(state)
        self._blocks: list[bytes] = []
        self._newest: list[Entry] = []
        self._newest_bytes = 0

    @property
    def state(self) -> Any:
        """A graph."""
        return _unpacked(self._state)

    def still(self) -> Piece:
        """What it holds now, for a thread that reads it while this one goes on."""
        made = copy(self)
        made.rosters, made._members, made._commands = [*self.rosters], [*self._members], [*self._commands]
        made._blocks, made._newest = [*self._blocks], [*self._newest]
        return made

    def entries(self) -> list[Entry]:
        """Oldest first. They are unpacked for it: ask once."""
        entries = [*chain.from_iterable(map(_unpacked, self._blocks)), *self._newest]
        return [self._whole(*entry) for entry in entries]

    def _whole(self, name: str, args: Any, more: dict[str, Any]) -> Entry:
        if name == GOVERN:
            return name, (args[0], self._commands[args[1]], args[2]), more
        return name, (self._members[args[0]],) if name == MEMBERS else args, more

    @property
    def is_full(self) -> bool:
        return self.count >= PIECE_ENTRIES or self.nbytes >= PIECE_BYTES

    def note(self, entry: Entry, nbytes: int) -> None:
        """Those before it do not change any more; it may, until the next one."""
        if len(self._newest) >= BLOCK_ENTRIES or self._newest_bytes >= BLOCK_BYTES:
            self._blocks.append(_packed(self._newest))
            self._newest, self._newest_bytes = [], 0
        self._newest.append(entry)
        self._newest_bytes += nbytes
        self.count += 1
        self.nbytes += nbytes

    def note_command(self, name: str, args: tuple[object, ...], now: Instant) -> None:
        self.note((GOVERN, (name, len(self._commands), now), NOTHING), COMMAND_BYTES)
        self._commands.append(args)

    def note_roster(self, roster: Roster) -> None:
        self.rosters.append(roster)
        self.count += 1

    def note_members(self, members: MemberLog) -> None:
        self.note((MEMBERS, (len(self._members),), NOTHING), 0)
        self._members.append(members)


class Tape:
    """The last pieces of one engine's inputs."""

    def __init__(self, state: Callable[[], Any], governed: Callable[[], Governed | None] = lambda: None) -> None:
        self._state = state
        self._governed = governed
        self.pieces: deque[Piece] = deque(maxlen=2)
        self._mono = 0.0
        self._asked = 0
        """So many recordings are under way: then nothing is forgotten but by size."""
        self._piece: Piece | None = None
        self.newest: list[Any] | None = None
        """Arguments of the newest entry, if it is for frames of an application."""

    @property
    def is_running(self) -> bool:
        return self._piece is not None

    def note(self, entry: Entry, nbytes: int = 0) -> None:
        self.newest = None
        if self._piece is not None:
            self._piece.note(entry, nbytes)

    def note_roster(self, roster: Roster) -> None:
        """The roster is another one now."""
        if self._piece is not None:
            self._piece.note_roster(roster)

    def note_command(self, name: str, args: tuple[object, ...], now: Instant) -> None:
        """A command about what is signed."""
        self.newest = None
        if self._piece is not None:
            self._piece.note_command(name, args, now)

    def note_members(self, members: MemberLog) -> None:
        """The member log is another one now."""
        if self._piece is not None:
            self._piece.note_members(members)

    def note_application(self, args: list[Any]) -> None:
        """Something of an application came; as long as nothing else does, `args` may be changed."""
        self.note(("application", args, NOTHING))
        if self._piece is not None:
            self.newest = args

    def turn(self, mono: float, *, is_light: bool, may_begin: bool = True) -> None:
        """Begin another piece if it is time, called between two inputs; of what is not light only if somebody asks.

        A piece cannot begin in the midst of work on signatures: it waits, and of a flood nothing is kept meanwhile.
        """
        self._mono = mono
        piece = self._piece
        is_old = piece is not None and not self._asked and mono - piece.began >= PIECE_S
        if piece is None or piece.is_full or is_old:
            is_flood = piece is not None and piece.is_full and not may_begin
            if not self._asked and (is_flood or not is_light):
                self._piece = self.newest = None
                self.pieces.clear()
            elif may_begin or self._asked:
                self.newest = None
                self._piece = Piece(self._state(), mono, self._governed())
                self.pieces.append(self._piece)

    def turn_if_full(self, *, is_light: bool, may_begin: bool = True) -> None:
        """Between two inputs, of which a peer may send thousands before the next timer."""
        if self._piece is not None and self._piece.is_full:
            self.turn(self._mono, is_light=is_light, may_begin=may_begin)

    def rest(self) -> None:
        """Keep nothing of what nobody asks for."""
        if self._piece is not None and not self._asked:
            self._piece = self.newest = None
            self.pieces.clear()

    def ask(self, mono: float) -> Callable[[], list[Piece]]:
        """Begin a recording now; the callable that is returned ends it and gives its pieces."""
        self._asked += 1
        self.newest = None
        first = self._piece = Piece(self._state(), mono, self._governed())
        self.pieces.append(first)

        def end() -> list[Piece]:
            self._asked -= 1
            there = list(self.pieces)
            return there[there.index(first) :] if first in there else there

        return end


class TapedEngine(Engine):
    """An engine whose inputs are kept."""

    def __init__(self, identity: Identity, network_id: str, config: EngineConfig, roster: Roster, rng: Rng) -> None:
        super().__init__(identity, network_id, config, roster, rng)
        core = self.core
        self.tape = Tape(self._state, self._governed)
        verify, note = core.verify, self.tape.note

        def verified(nonce: str, signer: str, verifier: str, binding: str, signature: str) -> bool:
            verdict = verify(nonce, signer, verifier, binding, signature)
            note(("verdict", (verdict,), NOTHING))
            return verdict

        core.verify = verified
        self.introduce_by(core.introduce)
        core.rng = _TapedRng(rng, self.tape)
        core.choices = _TapedChoices(self.tape)
        core.set_topology(core.topology)
        self._roster = roster
        self._members = core.government.book.members

    def _state(self) -> Any:
        """As it is now. Shapes remember what they chose; from here on it is chosen anew, and kept."""
        self.core.set_topology(self.core.topology)
        return Encoder(LEFT_OUT).encode(self.core)

    def _governed(self) -> Governed:
        government = self.core.government
        self._members = government.book.members
        return Governed.of(government)

    @property
    def governor(self) -> Hand:
        return Hand(self.core, self._note_command)

    def _note_command(self, name: str, args: tuple[object, ...], now: Instant) -> None:
        self.note_roster()
        self.tape.note_command(name, args, now)

    def introduce_by(self, introduce: Callable[[str, str], Introduction | None]) -> None:
        # Whether there was one is kept, and not its proof.
        def introduced(peer: str, binding: str) -> Introduction | None:
            introduction = introduce(peer, binding)
            self.tape.note(("verdict", (introduction is not None,), NOTHING))
            return introduction

        super().introduce_by(introduced)

    def _turn(self, now: Instant) -> None:
        """The state of a network with thousands of rows takes too long to keep."""
        core = self.core
        is_left_out = core.roster.count > MAX_ROWS or core.government.book.members.count > MAX_ROWS
        if is_left_out:
            self.tape.rest()
        self.tape.turn(
            now.mono, is_light=not is_left_out and self._is_light, may_begin=not self.core.government.has_jobs
        )

    @property
    def _is_light(self) -> bool:
        return len(self.core.peers) <= MAX_PEERS

    # Each input is kept before it acts: what it draws stands behind it.

    def start(self, now: Instant) -> None:
        self._turn(now)
        self.tape.note(("start", (now,), NOTHING))
        super().start(now)

    def handle_timer(self, now: Instant) -> None:
        self._turn(now)
        self.note_roster()
        self.tape.note(("handle_timer", (now,), NOTHING), 50)
        super().handle_timer(now)

    def receive_frame(self, peer: str, epoch: int, data: bytes, now: Instant) -> None:
        if data.startswith(_APPLICATION) and _RELAY not in data[:_HEAD_BYTES]:
            # The hot path: of many in a row the last one stands for all, which only say that the peer lives.
            newest = self.tape.newest
            if newest is not None and newest[1] == epoch and newest[0] == peer:
                newest[2] = now
            else:
                self.tape.note_application([peer, epoch, now])
            _receive_frame(self, peer, epoch, data, now)
            return
        self.tape.turn_if_full(is_light=self._is_light, may_begin=not self.core.government.has_jobs)
        self.note_roster()
        self.tape.note(("receive_frame", (peer, epoch, data, now), NOTHING), len(data))
        _receive_frame(self, peer, epoch, data, now)

    def note_roster(self) -> None:
        """Hashes of rosters and member logs travel; whoever replaces ids in them has to know each that there was."""
        if (roster := self.core.roster) is not self._roster:
            self._roster = roster
            self.tape.note_roster(roster)
        if (members := self.core.government.book.members) is not self._members:
            self._members = members
            self.tape.note_members(members)


def _little(_args: object) -> int:
    return 0


_SIZES: Final[Mapping[str, Callable[[Any], int]]] = {
    "receive_signal": lambda args: len(getattr(args[0], "sdp", "")),
    "reliable_left": lambda args: len(args[0].data),
    "send_reliable": lambda args: memoryview(args[1].payload).nbytes,
}
"""Of what peers and clients make as long as they like."""


def _taped(name: str) -> Callable[..., Any]:
    """The same for an input whose arguments are kept as they are."""
    act = getattr(Engine, name)
    size = _SIZES.get(name, _little)

    def enter(self: TapedEngine, *args: Any, **options: Any) -> None:
        self.tape.turn_if_full(is_light=self._is_light, may_begin=not self.core.government.has_jobs)
        self.note_roster()
        self.tape.note((name, args, options), 200 + size(args))
        act(self, *args, **options)

    return enter


INPUTS: Final = (
    "signaling_is_up", "receive_signal", "receive_link_event", "frame_lost", "reliable_left", "send_reliable",
    "has_no_relays", "network_moved", "woken", "be_watched", "approve", "remove", "connect", "abandon_waiter",
    "reconnect", "set_topology", "set_capabilities", "set_label", "configure", "leave", "stop",
    "call_goes_out", "show_invitation", "note_sealing",
)  # fmt: skip
"""Those that are kept as they are."""

for _input in INPUTS:
    setattr(TapedEngine, _input, _taped(_input))


class _TapedRng:
    def __init__(self, rng: Rng, tape: Tape) -> None:
        self._rng = rng
        self._tape = tape

    def randbytes(self, n: int, /) -> bytes:
        drawn = self._rng.randbytes(n)
        self._tape.note(("random", (drawn,), NOTHING))
        return drawn


class _TapedChoices:
    """What shapes choose by the ids that a recording does not tell."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def homes(self, spoke: str, hubs: Sequence[str], count: int, /) -> frozenset[str]:
        chosen = BY_IDS.homes(spoke, hubs, count)
        self._tape.note(("homes", (spoke, *sorted(chosen)), NOTHING), 60 * (1 + len(chosen)))
        return chosen

    def serves(self, hub: str, spoke: str, hubs: Sequence[str], count: int, /) -> bool:
        if self._tape.is_running:
            return hub in self.homes(spoke, hubs, count)
        return BY_IDS.serves(hub, spoke, hubs, count)

    def nearest(self, dest: str, peers: Sequence[str], /) -> str:
        chosen = BY_IDS.nearest(dest, peers)
        self._tape.note(("nearest", (chosen,), NOTHING), 60)
        return chosen
