"""The governance state of a network as its file holds it (spec 02 §16): v0.3.8 reads it, and we read v0.3.8's.

What only this implementation knows stands in the member `ours`, which the reference drops when it saves; everything
in there may be lost without widening anybody's rights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from myownmesh.governance.entries import is_member_grant, is_removal, target_of
from myownmesh.governance.memory import Spent
from myownmesh.governance.records import Proposal, SplitRecord
from myownmesh.protocol.frames import NetworkKind, Role
from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.modes import TopologyMode
from myownmesh.protocol.schema import U32, U64, ReadBy, Unknown, reader, shape, written
from myownmesh.protocol.strict_json import decode_object, members, python_value
from myownmesh.protocol.transitions import KindChange, RoleGrant, Transition, Variant, raw_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from myownmesh.protocol.schema import Reader
    from myownmesh.protocol.strict_json import Members

VERSION: Final = 2
_SHOWN: Final = (
    "version", "network_id", "kind", "roles", "transitions", "member_log", "pending", "splits", "topology"
)  # fmt: skip
_USUAL_BEGINNING: Final = b'{\n  "version": %d,\n' % VERSION
_ENTRIES_PER_CHUNK: Final = 100
_ROLES_PER_CHUNK: Final = 500

_role: Final[Reader[Role]] = reader(Role)
_texts: Final[Reader[tuple[str, ...]]] = reader(tuple[str, ...])


def _read_roles(value: msgspec.Raw) -> dict[str, Role]:
    return {device: _role(role) for device, role in members(value)}


class SeenRow(msgspec.Struct, frozen=True):
    """One signature of governance that was seen (`memory.Seen`)."""

    digest: str
    signer: str
    variant: Variant
    by_authority: bool
    spent: Spent | None = None


class BranchRow(msgspec.Struct, frozen=True):
    """A branch that is not held."""

    entries: tuple[Transition, ...]
    since: tuple[U64, ...]


class ContentRow(msgspec.Struct, frozen=True):
    """What the id of a proposal stands for."""

    id: str
    digest: str
    proposer: str
    since: U64


class OwedRow(msgspec.Struct, frozen=True):
    """A signature that waits for a person and a code (`questions.Owed`)."""

    variant: Variant
    at: U64 | None = None


_time: Final[Reader[int]] = reader(U64)


def _read_times(value: msgspec.Raw) -> dict[str, int]:
    return {device: _time(at) for device, at in members(value)}


def _read_words(value: msgspec.Raw) -> dict[str, tuple[str, ...]]:
    return {word: _texts(digests) for word, digests in members(value)}


class Ours(msgspec.Struct, frozen=True):
    """What v0.3.8 has no place for. Without it nobody has more rights: what was sure is only heard again."""

    sure: Annotated[Mapping[str, tuple[str, ...]], ReadBy(_read_words)] = {}
    """Who vouched, and for which copies: the beginning of the SHA-256 of their keys."""
    sure_but: Annotated[Mapping[str, tuple[str, ...]], ReadBy(_read_words)] = {}
    """Who vouched for all copies but these, while the member log is the one of `sure_but_of`."""
    sure_but_of: str = ""
    since: tuple[U64, ...] = ()
    """When this device first held each entry of the governance log, Unix seconds."""
    seen: tuple[SeenRow, ...] = ()
    branches: tuple[BranchRow, ...] = ()
    switches: tuple[U64, ...] = ()
    stayed: tuple[str, ...] = ()
    unmerged: tuple[str, ...] = ()
    """Branches that were left and not merged yet."""
    contents: tuple[ContentRow, ...] = ()
    dismissed: tuple[str, ...] = ()
    splits: tuple[SplitRecord, ...] = ()
    owed: tuple[OwedRow, ...] = ()
    heard: Annotated[Mapping[str, U64], ReadBy(_read_times)] = {}
    """When authorities were heard last, Unix seconds."""
    unknown: Unknown = {}


class StateFile(msgspec.Struct, frozen=True):
    """One state file, its members in order."""

    SHAPE = "struct NetworkState"

    version: U32
    network_id: str
    kind: NetworkKind
    roles: Annotated[Mapping[str, Role], ReadBy(_read_roles)]
    """Owners, controllers and members together: a projection, never trusted on load (FIX 21)."""
    transitions: tuple[Transition, ...]
    """The governance log."""
    pending: tuple[Proposal, ...]
    splits: tuple[SplitRecord, ...]
    member_log: tuple[Transition, ...] = ()
    topology: TopologyMode | None = None
    ours: Ours | None = None
    unknown: Unknown = {}


class UnsupportedState(ValueError):
    """The file is of a release that nobody here knows; it is left alone and the network is not joined."""

    def __init__(self, version: int) -> None:
        super().__init__(f"network_state version {version} unsupported (this build expects v{VERSION})")


def read_state(data: bytes) -> StateFile:
    """The state that a file holds, migrated from version 1 if need be.

    Raises `UnsupportedState`, and `JsonError` for what is no state file: that one is set aside. `network_id` has still
    to be compared with the file's name.
    """
    state = _read_in_parts(data) or shape(StateFile).build(_members(data))
    return state if state.version == VERSION else migrated(state)


def check_version(data: bytes) -> None:
    """Raise like `read_state` for a text of another version, or that is no object; nothing else is looked into."""
    if not data.startswith(_USUAL_BEGINNING):
        _members(data)


def _read_in_parts(data: bytes) -> StateFile | None:
    """The state of a file in its usual form; None for another form, or if anything is wrong with it."""
    from myownmesh.governance import long_lists  # its readers take 9 ms, and most starts have no such file to read

    try:
        taken = long_lists.take_out(data)
        if taken is None:
            return None
        found = _members(taken.rest)
        state = shape(StateFile).build(found)
    except (msgspec.DecodeError, JsonError, RecursionError):
        return None  # what is wrong, the exact reader says
    values = dict(found)
    lists = [bytes(values.get(name, b"")) for name in ("roles", "member_log")]
    if lists != [long_lists.NO_ROLES, long_lists.NO_ENTRIES]:
        return None  # they were lists inside something else
    whole: StateFile = msgspec.structs.replace(state, roles=taken.roles, member_log=taken.entries)
    return whole


def _members(data: bytes) -> Members:
    """The members of a state file, which are not looked into but for the version. Raises like `read_state`."""
    found = decode_object(data, "struct NetworkState")
    for name, value in found:
        version = python_value(value) if name == "version" else VERSION
        if isinstance(version, int) and not isinstance(version, bool) and version not in (1, VERSION):
            raise UnsupportedState(version)
    return found


def migrated(state: StateFile) -> StateFile:
    """A state of version 1 as version 2: member entries get a log of their own, before what is there already."""
    governance, member = split_tiers(state.transitions)
    return msgspec.structs.replace(
        state, version=VERSION, transitions=governance, member_log=(*member, *state.member_log)
    )


def split_tiers(log: Iterable[Transition]) -> tuple[tuple[Transition, ...], tuple[Transition, ...]]:
    """The governance entries and the member entries of a single log of old; each in order."""
    governance: list[Transition] = []
    member: list[Transition] = []
    roles: dict[str, Role] = {}
    for entry in log:
        variant, target = entry.variant, target_of(entry.variant)
        is_member_tier = is_member_grant(variant) or (
            is_removal(variant) and roles.get(target or "", "member") == "member"
        )
        (member if is_member_tier else governance).append(entry)
        if isinstance(variant, RoleGrant):
            roles[variant.target] = variant.role
        elif target is not None:
            roles.pop(target, None)
        elif variant == KindChange("closed") and entry.signers:
            roles[entry.signers[0]] = "owner"
    return tuple(governance), tuple(member)


def write_state(state: StateFile) -> Iterator[bytes]:
    """The text of the file, in chunks that take well under a millisecond each, so that no thread holds the loop.

    Raises `ValueError` for lone surrogates.
    """
    yield _head({"version": VERSION, "network_id": state.network_id, "kind": state.kind})
    yield from _roles(state.roles)
    yield from _list("transitions", state.transitions)
    yield from _list("member_log", state.member_log)
    yield from _list("pending", state.pending)
    yield from _list("splits", state.splits)
    ours = {} if state.ours is None else {"ours": written(state.ours)}
    tail = _pretty({"topology": state.topology, **ours, **state.unknown})
    yield b"," + tail[1:]


def shown(state: StateFile) -> bytes:
    """A state as clients see it, as compact JSON."""
    return _encode({name: getattr(state, name) for name in _SHOWN})


def line(value: Mapping[str, object]) -> bytes:
    """An object, which may hold entries, as compact JSON."""
    return _encode(value)


def _head(value: Mapping[str, Any]) -> bytes:
    return _pretty(value).removesuffix(b"\n}")


def _roles(roles: Mapping[str, Role]) -> Iterator[bytes]:
    devices = sorted(roles)
    yield b',\n  "roles": {'
    for start in range(0, len(devices), _ROLES_PER_CHUNK):
        text = _pretty({"": {device: roles[device] for device in devices[start : start + _ROLES_PER_CHUNK]}})
        yield (b"," if start else b"") + text.removeprefix(b'{\n  "": {').removesuffix(b"\n  }\n}")
    yield b"\n  }" if devices else b"}"


def _list(name: str, values: Sequence[msgspec.Struct]) -> Iterator[bytes]:
    yield b',\n  "%b": [' % name.encode()
    for start in range(0, len(values), _ENTRIES_PER_CHUNK):
        # One list inside a list is indented as one inside an object is.
        text = _pretty([values[start : start + _ENTRIES_PER_CHUNK]])
        yield (b"," if start else b"") + text.removeprefix(b"[\n  [").removesuffix(b"\n  ]\n]")
    yield b"\n  ]" if values else b"]"


def _pretty(value: object) -> bytes:
    return msgspec.json.format(_encode(value), indent=2)


_encode: Final = msgspec.json.Encoder(enc_hook=raw_text).encode
