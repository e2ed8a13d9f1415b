"""The roster of one network as a value (spec 01 §15). Every change returns another roster; nothing here does I/O.

On an open network any member vouches for anyone: what gossip brings is added, never removed. So a removal by hand is
remembered (`removed_devices`), or the next exchange would undo it.
"""

from __future__ import annotations

from bisect import insort
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Self, cast

from attrs import evolve, field, frozen
from msgspec.structs import replace

from mesh_common.labels import clean_label
from mesh_common.views import RosterRow
from myownmesh.protocol import base32
from myownmesh.protocol.frames import RosterEntry, RosterSummary
from myownmesh.protocol.ids import is_device_id, pubkey_part
from myownmesh.roster.entry import Entry
from myownmesh.roster.id_text import BEFORE_IDS, IdText
from myownmesh.roster.rows import NO_ROWS, Rows, rows_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence, Set

    from myownmesh.protocol.frames import Role

VERSION: Final = 1
MAX_ENTRIES: Final = 8192
"""Members that gossip and `auto_approve` may fill a roster up to; far beyond any real network, far below what a hostile
one could send."""
MAX_REMOVED: Final = 1024
"""Removals that are remembered; the oldest go first."""

_ROLES: Final = ("member", "controller", "owner")
_U64: Final = 2**64
_FEW: Final = 8
"""Of more changes at once the text is made anew."""


@frozen
class Roster:
    """Who is let in without asking again, in the order of approval."""

    network_id: str
    _rows: Rows = field(default=NO_ROWS, converter=rows_of, alias="entries")
    removed_devices: tuple[str, ...] = ()
    """Bare ids, oldest first."""
    unknown: Mapping[str, Any] = field(factory=dict)
    _id_text: IdText | None = field(default=None, repr=False, eq=False)
    """What `membership_root` is the hash of, once it was asked for."""
    _newest: int | None = field(default=None, repr=False, eq=False)
    """`last_edit_ts`, once it was asked for."""

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """All of them; of a large roster they are gathered when they are asked for first, which takes a while."""
        return self._rows.entries()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._rows)

    def get(self, device_id: str) -> Entry | None:
        """The entry of a device, whichever form its id has."""
        return self._rows.find(pubkey_part(device_id))

    @property
    def ids(self) -> Set[str]:
        """The bare ids of all entries."""
        return self._rows.keys()

    def __contains__(self, bare: str) -> bool:
        """Whether there is an entry of this bare id."""
        return bare in self._rows

    def is_authorized(self, device_id: str) -> bool:
        """True when the device's next connection needs nobody's consent."""
        return device_id in self._rows or pubkey_part(device_id) in self._rows

    # ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def approve(self, device_id: str, label: str, now: int) -> Self:
        """A person lets a device in, or names it anew. `now` is in Unix seconds; an earlier approval keeps its time.

        An empty label takes an earlier name back. An earlier removal is forgotten.
        """
        bare = pubkey_part(device_id)
        label = clean_label(label)
        known = self._rows.find(bare) or Entry(bare, label, now)
        kept = tuple(removed for removed in self.removed_devices if removed != bare)
        let_in = replace(known, label=label, user_label=label or None, by_hand=True)
        return evolve(self._with(let_in), removed_devices=kept)

    def meet(self, device_id: str, label: str, now: int) -> Self:
        """A device became active under the label that it gives itself; the user's name for it stays.

        The same object when nothing changes, and when `auto_approve` let in more than `MAX_ENTRIES` devices.
        """
        bare = pubkey_part(device_id)
        label = clean_label(label)
        known = self._rows.find(bare)
        if known is None and self.count >= MAX_ENTRIES:
            return self
        return self._with(Entry(bare, label, now) if known is None else replace(known, label=label))

    def merge(self, rows: Iterable[RosterEntry], now: int, *, me: str) -> Self:
        """Add the devices that a member of an open network vouches for (spec 01 §15.4).

        Left out: this device, whom we hold, whom we have removed, what is no id, and everybody above `MAX_ENTRIES`. The
        same object when nobody is left.
        """
        known = self._rows
        # Nearly every id is bare: what it is without a suffix is asked of the others alone.
        new = [row for row in rows if row.device_id not in known and pubkey_part(row.device_id) not in known]
        if not new:
            return self  # as nearly always: members tell each other the whole roster
        out = {me, *self.removed_devices}
        came: dict[str, Entry] = {}
        for row in new:
            bare = pubkey_part(row.device_id)
            if len(known) + len(came) >= MAX_ENTRIES:
                break
            if bare not in came and bare not in out and is_device_id(bare):
                came[bare] = Entry(bare, clean_label(row.label), now, row.role)
        return self._after([*came.values()], came=came) if came else self

    def mirror(self, roles: Mapping[str, Role], removed: Collection[str], now: int, *, me: str) -> Self:
        """What signed governance says of members: rows for those it lists, with their roles; none for whom it put out.

        Nobody goes for mere absence, this device never, and a seat outweighs an old removal (spec 02 §9, FIX 19). `now`
        in Unix seconds. The same object when nothing changes.
        """
        return self.mirror_of({*self.ids, *roles}, roles, removed, now, me=me)

    def mirror_of(
        self, devices: Collection[str], roles: Mapping[str, Role], removed: Collection[str], now: int, *, me: str
    ) -> Self:
        """`mirror` for these devices alone; new rows stand in their order in `roles`."""
        rows = self._rows
        put: list[Entry] = []
        gone: list[str] = []
        for device_id in devices:
            entry = rows.find(device_id)
            role = roles.get(device_id, "member")
            if entry is None:
                continue
            if device_id in removed and role == "member" and device_id != me:
                gone.append(device_id)
            elif entry.role != role:
                put.append(replace(entry, role=role))
        came = [device_id for device_id in roles if device_id not in rows or device_id in gone]
        put += [Entry(device_id, "", now, roles[device_id]) for device_id in came]
        return self._after(put, came, gone) if put or gone else self

    def remove(self, device_id: str) -> Self:
        """A person takes a device out. Gossip does not bring it back until it is approved again."""
        bare = pubkey_part(device_id)
        removed = self.removed_devices
        if is_device_id(bare):
            removed = (*(known for known in removed if known != bare), bare)[-MAX_REMOVED:]
        gone = [bare] if bare in self._rows else []
        return evolve(self._after((), gone=gone), removed_devices=removed)

    def set_seals(self, device_id: str, seals: bool) -> Self:
        """Note whether a known device seals; the same object when that changes nothing."""
        known = self.get(device_id)
        return self if known is None else self._with(replace(known, seals=seals))

    def _with(self, entry: Entry) -> Self:
        known = self._rows.find(entry.device_id)
        if known == entry:
            return self
        return self._after([entry], came=[entry.device_id] if known is None else [])

    def _after(self, put: Collection[Entry], came: Collection[str] = (), gone: Collection[str] = ()) -> Self:
        """The roster after some entries came or were replaced, and some went."""
        newest, text = self._newest, self._id_text
        if text is not None and (came or gone):
            text = text.changed(came, gone) if len(came) + len(gone) <= _FEW else None
        if newest is not None:
            newest = None if gone else max([newest, *(entry.approved_at for entry in put)])
        return evolve(self, entries=self._rows.changed(put, gone), id_text=text, newest=newest)

    # ── what others see ───────────────────────────────────────────────────────────────────────────────────────────────

    def membership_root(self) -> str:
        """Hash over the ids alone: what members compare. Labels, times and roles differ from node to node."""
        return self._membership_root

    def root_held_by(self, member: str, me: str) -> str:
        """`membership_root` of a member that holds just whom we hold: it has us in its place."""
        text = self._ids_as_text
        changed = None if text is None else text.changed([me], [member] if member in self._rows else [])
        if changed is not None:
            return base32.encode(changed.digest())
        ids = sorted(device_id.encode() for device_id in self._rows if device_id != member)
        insort(ids, me.encode())
        return _hash(ids)

    @cached_property
    def _membership_root(self) -> str:
        text = self._ids_as_text
        if text is not None:
            return base32.encode(text.digest())
        return _hash(sorted(entry.device_id.encode() for entry in self.entries))

    @property
    def _ids_as_text(self) -> IdText | None:
        if self._id_text is None:
            object.__setattr__(self, "_id_text", IdText.of(self._rows))
        return self._id_text

    @property
    def last_edit_ts(self) -> int:
        """Unix seconds of the newest approval; 0 for an empty roster."""
        if self._newest is None:
            object.__setattr__(self, "_newest", max((entry.approved_at for entry in self.entries), default=0))
        return self._newest or 0

    def summary(self) -> RosterSummary:
        """The frame that tells members what we hold."""
        return RosterSummary(self.membership_root(), self.count, self.last_edit_ts)

    def wire_entries(self) -> tuple[RosterEntry, ...]:
        """All entries as gossip carries them; the user's own names stay here."""
        return tuple(RosterEntry(entry.device_id, entry.label, entry.approved_at, entry.role) for entry in self.entries)

    def rows(self) -> tuple[RosterRow, ...]:
        """What local clients see (spec 05 §7.5)."""
        return tuple(
            RosterRow(entry.device_id, entry.shown_label, entry.approved_at, entry.role) for entry in self.entries
        )

    # ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def to_json(self) -> dict[str, Any]:
        """The object that the roster file holds."""
        value: dict[str, Any] = {
            "version": VERSION,
            "network_id": self.network_id,
            "authorized_devices": [_entry_json(entry) for entry in self.entries],
        }
        if self.removed_devices:
            value["removed_devices"] = list(self.removed_devices)
        return value | dict(self.unknown)

    @classmethod
    def of_rows(cls, network_id: str, rows: Iterable[Entry], removed: Sequence[str]) -> Self:
        """A roster as its file lists it: of several rows of one device the first counts."""
        entries: dict[str, Entry] = {}
        for row in rows:
            entries.setdefault(row.device_id, row)
        return cls(network_id, Rows(entries), tuple(dict.fromkeys(removed))[-MAX_REMOVED:])

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read the object of a roster file. Raises `ValueError`, also for a version other than 1."""
        members = _object(value, "roster")
        version = members.pop("version", None)
        if version != VERSION or isinstance(version, bool):
            raise ValueError(f"roster version {version!r} is not {VERSION}")
        network_id = _text(members, "network_id", "roster")
        rows = _list(members.pop("authorized_devices", None), "authorized_devices")
        removed = _list(members.pop("removed_devices", []), "removed_devices")
        entries: dict[str, Entry] = {}
        for row in rows:
            entry = _entry(row)
            entries.setdefault(entry.device_id, entry)
        ids = tuple(dict.fromkeys(device_id for device_id in removed if isinstance(device_id, str)))
        return cls(network_id, Rows(entries), ids[-MAX_REMOVED:], members)


def _hash(ids: list[bytes]) -> str:
    """The root over ids of any length."""
    return base32.encode(sha256(BEFORE_IDS + b"|".join([*ids, b""])).digest())


def _entry_json(entry: Entry) -> dict[str, Any]:
    value: dict[str, Any] = {
        "device_id": entry.device_id,
        "label": entry.label,
        "approved_at": entry.approved_at,
        "role": entry.role,
    }
    if entry.user_label is not None:
        value["user_label"] = entry.user_label
    if entry.seals:
        value["seals"] = True
    if entry.by_hand:
        value["by_hand"] = True
    return value | dict(entry.unknown)


def _entry(value: object) -> Entry:
    members = _object(value, "authorized device")
    device_id = pubkey_part(_text(members, "device_id", "authorized device"))
    label = _text(members, "label", "authorized device")
    approved_at = members.pop("approved_at", None)
    if not isinstance(approved_at, int) or isinstance(approved_at, bool) or not 0 <= approved_at < _U64:
        raise ValueError(f"approved_at of an authorized device is {approved_at!r}, not a time in Unix seconds")
    role = members.pop("role", "member")
    if role not in _ROLES:
        raise ValueError(f"role of an authorized device is {role!r}, not one of {', '.join(_ROLES)}")
    user_label = members.pop("user_label", None)
    if user_label is not None and not isinstance(user_label, str):
        raise ValueError(f"user_label of an authorized device is {user_label!r}, not a text")
    flags: dict[str, bool] = {}
    for name in ("seals", "by_hand"):
        flags[name] = members.pop(name, False)
        if not isinstance(flags[name], bool):
            raise ValueError(f"{name} of an authorized device is {flags[name]!r}, not true or false")
    seals, by_hand = flags["seals"], flags["by_hand"]
    return Entry(device_id, label, approved_at, cast("Role", role), user_label, seals, by_hand, members)


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {type(value).__name__}, not an object")
    return dict(value)


def _list(value: object, what: str) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"{what} is {type(value).__name__}, not a list")
    return value


def _text(members: dict[str, Any], name: str, what: str) -> str:
    value = members.pop(name, None)
    if not isinstance(value, str):
        raise ValueError(f"{name} of the {what} is {value!r}, not a text")
    return value
