"""What an engine keeps of its network's signed governance: the book, and what is under way around it.

A book is one value (`myownmesh.governance`), replaced whole by `ruling.take`. Checking signatures is the only thing
that takes long; it is done in slices, between which the network goes on.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from msgspec import Struct, field

from mesh_common.values import Value
from myownmesh.governance.holdouts import Looks
from myownmesh.governance.signatures import FAILED_CHECKS, Checks
from myownmesh.governance.sync import Advert
from myownmesh.governance.words import SAID_SECONDS, Saying
from myownmesh.protocol.clock import Instant
from myownmesh.protocol.tokens import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from myownmesh.governance.book import Book
    from myownmesh.governance.first_contact import FirstContact
    from myownmesh.governance.log import Log
    from myownmesh.governance.signatures import Slices
    from myownmesh.governance.verdicts import Verdict
    from myownmesh.protocol.frames import NetworkStatePropose
    from myownmesh.protocol.transitions import Transition

T = TypeVar("T")

MAX_JOBS: Final = 192
MAX_JOBS_OF_ONE: Final = 64
"""Frames that wait for their signatures to be checked: ten thousand entries of a joiner are fifty. What finds no room
is asked for again."""
MAX_REMEMBERED: Final = 1024
"""Devices whose failed signatures, or denials, are remembered."""
MAX_UNANSWERED: Final = 64
"""Proposals whose author has been asked for its logs and has not answered yet."""
MAX_AUDIT: Final = 2048
"""Lines that wait for the next save; of more the oldest are not written down."""
MAX_SAID: Final = 32
"""Signatures of its own that a peer says within a minute; honest ones say a few."""
MAX_SAYINGS: Final = 8
"""How often it says the same one meanwhile: v0.3.8 signs alike whenever it lets in and puts out again."""


class Unanswered(Value, frozen=True):
    """A proposal that its author decided; without an answer its frame alone stands for the entry."""

    frame: NetworkStatePropose
    due: float
    """Monotonic second."""


class Seen(Value, frozen=True):
    """An entry as it came to this device: one line of the audit."""

    at: int
    """Unix seconds by this device's clock."""
    log: Literal["governance", "members"]
    through: str
    """Bare id of the device whose link brought it; empty for what was decided here."""
    outcome: str
    """What became of it: of an adoption or of a judgement."""
    entry: Transition


class Correspondence(Struct, eq=False):
    """What is under way with one peer; it ends with the link."""

    asked_at: float | None = None
    """When it was asked for its logs last, in monotonic seconds."""
    ask_again: bool = False
    awaits_answer: bool = False
    unheard: int = 0
    """Frames of it whose signatures are not checked yet."""
    advert: Advert | None = None
    """The counts of its last state."""
    log_digest: str = ""
    """Which governance log it says that it holds; v0.3.8 does not say."""
    fruitless: Advert | None = None
    """The counts behind which nothing new was."""
    shown: tuple[int, bytes] | None = None
    """Length and digest of the governance log that it showed last."""
    said: dict[str, tuple[float, tuple[Saying, ...]]] = field(default_factory=dict)
    """Signatures of its own that it has just said, until when they are its word, and what it said with each."""

    def say(self, signature: str, saying: Saying, mono: float) -> None:
        """The peer says on its own link that it signed this."""
        before = self.words(mono).get(signature, ())
        others = [each for each in self.said.items() if each[0] != signature]
        self.said = dict(others[-MAX_SAID + 1 :])
        self.said[signature] = mono + SAID_SECONDS, (*before, saying)[-MAX_SAYINGS:]

    def words(self, mono: float) -> dict[str, tuple[Saying, ...]]:
        return {signature: sayings for signature, (until, sayings) in self.said.items() if mono < until}


class Government:
    """One network's; made anew with each engine."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.checks = Checks(book.network_id)
        self.contact: FirstContact | None = None
        """Who has answered since this device joined or lost its state; None when there is nothing to wait for."""
        self.clicked: set[str] = set()
        """Devices that a person let in since, whatever is known of the network."""
        self.missing_since: float | None = None
        """Monotonic second since when nobody linked has the entries that this device has lost."""
        self.heard: dict[str, int] = {}
        """Authorities that were heard since the start, and when last, Unix seconds; the book has it to the hour."""
        self.is_down = False
        """This device is put out, and stands down."""
        self.kind_is_stored = False
        """The state file of an unfounded network names another kind than the record, and wins."""
        self.logs_told = 0
        """Grows with each change of what peers may want to hear."""
        self.letters: dict[str, Correspondence] = {}
        self.unanswered: deque[Unanswered] = deque(maxlen=MAX_UNANSWERED)
        self.let_in_again: OrderedDict[str, None] = OrderedDict()
        """Who was put out and is welcome again: dialled whatever its id, until it is linked."""
        self.wanted_words: frozenset[Transition] = frozenset()
        """Grants that were heard and would end a removal of this device's own on somebody's word."""
        self.behind: frozenset[str] = frozenset()
        """Devices that run v0.3.8 of which was said that they hold a branch that does not count."""
        self.kept_out: tuple[Log, ...] | None = None
        """Branches that would count but for a third that does not; None: not looked at since they changed."""
        self.looks = Looks()
        """What the last looks at them found."""
        self.refused_at: int | None = None
        """What time it was here, Unix seconds, when an entry was last refused for being far ahead of it."""
        self.audit: deque[Seen] = deque(maxlen=MAX_AUDIT)
        """Entries since the last save, for whoever writes them down."""
        self.on_heard: list[Callable[[], None]] = []
        self.is_working = False
        self.now = Instant(0.0, 0)
        """Of the slice that is being done."""
        self._jobs: OrderedDict[str, deque[Slices[None]]] = OrderedDict()
        self._count = 0
        self.failed: OrderedDict[str, TokenBucket] = OrderedDict()
        self.denied: OrderedDict[str, tuple[float, Verdict]] = OrderedDict()

    # ── work in slices ────────────────────────────────────────────────────────────────────────────────────────────────

    def put_job(self, sender: str, job: Slices[None]) -> bool:
        """Queue work on what a device sent, behind its other; False when there is no room for it."""
        waiting = self._jobs.setdefault(sender, deque())
        if self._count >= MAX_JOBS or len(waiting) >= MAX_JOBS_OF_ONE:
            if not waiting:
                del self._jobs[sender]
            return False
        waiting.append(job)
        self._count += 1
        return True

    @property
    def has_jobs(self) -> bool:
        return self._count > 0

    def work(self) -> None:
        """Do one slice of somebody's work; everybody has its turn."""
        sender, waiting = next(iter(self._jobs.items()))
        try:
            next(waiting[0])
        except StopIteration:
            waiting.popleft()
            self._count -= 1
        if waiting:
            self._jobs.move_to_end(sender)
        else:
            del self._jobs[sender]

    def look_who_is_awaited(self) -> None:
        """Tell whoever wants to know when no answer is awaited any more, or not heard to its end."""
        if self.on_heard and not any(letter.awaits_answer or letter.unheard for letter in self.letters.values()):
            waiting, self.on_heard = self.on_heard, []
            for heard in waiting:
                heard()

    def note_heard(self, device: str, at: int) -> None:
        """A device was heard, `at` in Unix seconds; authorities are remembered."""
        if self.book.standing.is_authority(device):
            self.heard[device] = at

    def answered(self, device: str) -> None:
        """A device has told what it has: its proposals stand for nothing beside that."""
        waiting = [each for each in self.unanswered if each.frame.proposer != device]
        if len(waiting) != len(self.unanswered):
            self.unanswered = deque(waiting, MAX_UNANSWERED)

    # ── what peers may do to us ───────────────────────────────────────────────────────────────────────────────────────

    def charge(self, device: str, mono: float, failed: int) -> None:
        """A device showed signatures that are none."""
        if failed:
            self._bucket(device, mono).force(mono, failed)

    def may_check(self, device: str, mono: float) -> bool:
        """Whether signatures that a device shows are looked at now (02 §24.3 no. 58)."""
        bucket = self.failed.get(device)
        return bucket is None or bucket.has_one(mono)

    def may_prove(self, device: str, mono: float, gap_s: float) -> bool:
        """Whether a device that is denied gets the whole proof, which can be sixty kilobytes: once within `gap_s`, and
        again when it is another removal, or it would never hear of that."""
        verdict = self.book.bench.verdict(device)
        last = self.denied.get(device)
        if last is not None and mono - last[0] < gap_s and last[1] == verdict:
            return False
        _remember(self.denied, device, lambda: (mono, verdict))
        self.denied[device] = (mono, verdict)
        return True

    def letter(self, device: str) -> Correspondence:
        """What is under way with a linked peer."""
        return self.letters.setdefault(device, Correspondence())

    def _bucket(self, device: str, mono: float) -> TokenBucket:
        return _remember(self.failed, device, lambda: TokenBucket(1.0, FAILED_CHECKS, mono))


def _remember(known: OrderedDict[str, T], device: str, make: Callable[[], T]) -> T:
    found = known.get(device)
    if found is None:
        found = known[device] = make()
        if len(known) > MAX_REMEMBERED:
            known.popitem(last=False)
    known.move_to_end(device)
    return found
