"""What goes into an engine, of the last minutes: always on, bounded, and cheap enough for the hot path.

A piece of tape begins with the state of the engine; behind it stand the inputs and what the engine drew or was told
meanwhile (random bytes, whether a proof verified). Two pieces are kept, so that the older one reaches back by at least
the length of a piece.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from myownmesh.engine import Engine
from myownmesh.flight.graph import Encoder
from myownmesh.protocol.envelopes import RELAY_CHANNEL
from myownmesh.topology.choices import BY_IDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.engine import EngineConfig
    from myownmesh.identity import Identity
    from myownmesh.protocol.clock import Instant
    from myownmesh.protocol.ids import Rng
    from myownmesh.protocol.introduction import Introduction
    from myownmesh.roster import Roster

PIECE_S: Final = 300.0
PIECE_ENTRIES: Final = 20_000
PIECE_BYTES: Final = 4 * 2**20
MAX_PEERS: Final = 64
"""Of an engine that knows more, no state is taken unasked: it would stand still for too long."""
LEFT_OUT: Final = ("identity", "rng", "verify", "introduce", "out", "choices", "shape", "government")
"""Of the state: the key, where chance comes from, what is on its way, what follows from the rest, what is signed."""

_APPLICATION: Final = (b'{"kind":"rpc_', b'{"kind":"channel",')
_RELAY: Final = RELAY_CHANNEL.encode()
_receive_frame: Final = Engine.receive_frame
_HEAD_BYTES: Final = 96

Entry = tuple[str, Sequence[Any], dict[str, Any]]
"""The name of an input, with its arguments. `random`, `verdict`, `homes` and `nearest` are what came of one,
`application` is for many."""

NOTHING: Final[dict[str, Any]] = {}


@define(eq=False)
class Piece:
    """A stretch of tape."""

    state: Any
    began: float
    entries: deque[Entry] = field(factory=deque)
    nbytes: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.entries) >= PIECE_ENTRIES or self.nbytes >= PIECE_BYTES


class Tape:
    """The last pieces of one engine's inputs."""

    def __init__(self, state: Callable[[], Any]) -> None:
        self._state = state
        self.pieces: deque[Piece] = deque(maxlen=2)
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
        piece = self._piece
        if piece is not None:
            piece.entries.append(entry)
            piece.nbytes += nbytes

    def note_application(self, args: list[Any]) -> None:
        """Something of an application came; as long as nothing else does, `args` may be changed."""
        self.note(("application", args, NOTHING))
        if self._piece is not None:
            self.newest = args

    def turn(self, mono: float, peers: int) -> None:
        """Begin another piece if it is time; called between two inputs."""
        piece = self._piece
        is_old = piece is not None and not self._asked and mono - piece.began >= PIECE_S
        if piece is None or piece.is_full or is_old:
            if peers > MAX_PEERS and not self._asked:
                self._piece = None
                self.pieces.clear()
            else:
                self.newest = None
                self._piece = Piece(self._state(), mono)
                self.pieces.append(self._piece)

    def ask(self, mono: float) -> Callable[[], list[Piece]]:
        """Begin a recording now; the callable that is returned ends it and gives its pieces."""
        self._asked += 1
        self.newest = None
        first = self._piece = Piece(self._state(), mono)
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
        self.tape = Tape(self._state)
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

    def _state(self) -> Any:
        """As it is now. Shapes remember what they chose; from here on it is chosen anew, and kept."""
        self.core.set_topology(self.core.topology)
        return Encoder(LEFT_OUT).encode(self.core)

    def introduce_by(self, introduce: Callable[[str, str], Introduction | None]) -> None:
        # Whether there was one is kept, and not its proof.
        def introduced(peer: str, binding: str) -> Introduction | None:
            introduction = introduce(peer, binding)
            self.tape.note(("verdict", (introduction is not None,), NOTHING))
            return introduction

        super().introduce_by(introduced)

    # Each input is kept before it acts: what it draws stands behind it.

    def start(self, now: Instant) -> None:
        self.tape.turn(now.mono, 0)
        self.tape.note(("start", (now,), NOTHING))
        super().start(now)

    def handle_timer(self, now: Instant) -> None:
        self.tape.turn(now.mono, len(self.core.peers))
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
        self.tape.note(("receive_frame", (peer, epoch, data, now), NOTHING), len(data))
        _receive_frame(self, peer, epoch, data, now)
        self.note_roster()

    def note_roster(self) -> None:
        """Hashes of rosters travel; whoever replaces the ids in them has to know each that there was."""
        if (roster := self.core.roster) is not self._roster:
            self._roster = roster
            self.tape.note(("roster", (roster,), NOTHING))


def _taped(name: str) -> Callable[..., Any]:
    """The same for an input whose arguments are kept as they are."""
    act = getattr(Engine, name)

    def enter(self: TapedEngine, *args: Any, **options: Any) -> None:
        self.tape.note((name, args, options), 200)
        act(self, *args, **options)
        self.note_roster()

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
