"""Commands about signed governance: what this device itself decided, judged before by `governance.authoring`.

What is decided is on the disk before it comes here; here it acts, and leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from myownmesh.engine import approval, attendance, carrying, firstcontact, gossip, notices, ruling
from myownmesh.engine.government import Seen
from myownmesh.governance.first_contact import FirstContact

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from myownmesh.engine.carrying import TakenIn
    from myownmesh.engine.core import Core
    from myownmesh.governance.authoring import Done
    from myownmesh.governance.book import Book
    from myownmesh.governance.carried import Carried
    from myownmesh.governance.log import Log
    from myownmesh.governance.signatures import Checks
    from myownmesh.protocol.clock import Instant

FEATURE = "network_state_v1"


class Governor:
    """The hand on one engine's book."""

    __slots__ = ("_core",)

    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def book(self) -> Book:
        return self._core.government.book

    @property
    def checks(self) -> Checks:
        """Which signatures were found good already."""
        return self._core.government.checks

    @property
    def is_down(self) -> bool:
        """Whether this device is put out and stands down."""
        return self._core.government.is_down

    @property
    def linked(self) -> frozenset[str]:
        """Devices that this one talks to."""
        return frozenset(peer.device_id for peer in self._core.live_peers())

    @property
    def linked_v038(self) -> frozenset[str]:
        """Those of them that follow the reference's rules."""
        return frozenset(peer.device_id for peer in self._core.live_peers() if not gossip.is_ours(peer))

    @property
    def left_behind(self) -> frozenset[str]:
        """Those of them that hold a branch that does not count, as far as they have shown it."""
        return gossip.left_behind(self._core)

    @property
    def last_heard(self) -> dict[str, int]:
        """When authorities were heard last: bare ids to Unix seconds."""
        return attendance.last_heard(self._core)

    def begin(self, book: Book, inviters: Collection[str], now: Instant) -> None:
        """Take what the files hold, before anybody is linked. `inviters`: whose invitations this device has taken."""
        if book.pin.provisional or (book.pin.is_set and (not book.is_founded or book.lost)):
            self._core.government.contact = FirstContact(min(inviters, default=""))
            book = replace(book, pin=book.pin.awaiting(contact=True))
        ruling.start(self._core, book, now)

    def act(self, done: Done, now: Instant) -> None:
        """Put an own decision into effect: its frames go to every admitted peer, then links and rows follow."""
        core = self._core
        for frame in done.frames:
            for peer in core.live_peers():
                if peer.takes(FEATURE):
                    core.send(peer, frame, now)
        if done.entry is not None:
            tier: Literal["governance", "members"] = "members" if done.book.log is self.book.log else "governance"
            core.government.audit.append(Seen(now.wall_ms // 1000, tier, "", "decided", done.entry))
            notices.decided_here(core, done.entry, now)
            ruling.decided(core, done.book, done.entry, now)
        self.take(done.book, now)

    def take(self, book: Book, now: Instant, about: Collection[str] = ()) -> None:
        """Hold another book: an answer to a question, an imported log."""
        ruling.take(self._core, book, now, about)

    def click(self, device_id: str, now: Instant) -> None:
        """A person lets a device in whatever is known of the network yet."""
        firstcontact.clicked(self._core, device_id, now)
        approval.admit_provisional(self._core, now)

    def ask_everybody(self, on_heard: Callable[[], None], now: Instant) -> None:
        """Ask every admitted peer for its logs; `on_heard` is called once, when all answers are heard."""
        core = self._core
        for peer in core.live_peers():
            gossip.ask(core, peer, now, at_once=True)
        core.government.on_heard.append(on_heard)
        core.government.look_who_is_awaited()

    def take_in(self, carried: Carried, on_done: Callable[[TakenIn], None], now: Instant) -> bool:
        """Judge a file like what a peer sends; `on_done` is called at its end. False when too much waits already."""
        return carrying.take_in(self._core, carried, on_done, now)

    def tell(self, hint: str, text: str, now: Instant, **detail: object) -> None:
        """Say in the diagnostics what was decided here without anybody asking."""
        told = {"hint": hint, "network": self._core.network_id, **detail}
        self._core.diag(now, "info", "governance", text, told)

    def take_audit(self) -> tuple[Seen, ...]:
        """Entries that came since the last call, oldest first."""
        government = self._core.government
        seen = tuple(government.audit)
        government.audit.clear()
        return seen

    def looked_after(self, now: Instant, left: Log) -> None:
        """What a branch that this device left held is merged, or not this device's to merge."""
        book = self.book
        self.take(replace(book, branches=book.branches.looked_after(left)), now)
