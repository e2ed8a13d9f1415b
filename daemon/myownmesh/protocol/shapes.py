"""The catalogue of frame kinds, member by member, as the specification tabulates it (spec 01 §6.1 to §6.5).

This is the exact reader: it accepts every frame that the reference accepts, in any order and with anything unknown, and
refuses the rest. It works on texts that `strict_json.decode_object` has proved and raises `JsonError`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from myownmesh.protocol import frames, transitions
from myownmesh.protocol.capabilities import read_capabilities
from myownmesh.protocol.modes import read_mode
from myownmesh.protocol.strict_json import (
    JsonError,
    elements,
    is_null,
    members,
    missing_field,
    read_bool,
    read_integer,
    read_text,
    read_texts,
    read_variant,
    typed_members,
)

if TYPE_CHECKING:
    from msgspec import Raw

    from myownmesh.protocol.frames import Frame
    from myownmesh.protocol.strict_json import Members

Reader = Callable[["Raw"], Any]

_ROLES: Final = ("member", "controller", "owner")
_NETWORK_KINDS: Final = ("open", "closed", "silent")
_DECISIONS: Final = ("sign", "deny")
_REQUIRED: Final = object()


@frozen
class _Member:
    """How one member is read, and what stands for it when it is missing."""

    read: Reader
    default: object = _REQUIRED
    nullable: bool = False


_Shape = dict[str, _Member]


def _required(read: Reader) -> _Member:
    return _Member(read)


def _defaulted(read: Reader, default: object) -> _Member:
    return _Member(read, default)


def _nullable(read: Reader) -> _Member:
    return _Member(read, None, nullable=True)


def read_frame(found: Members) -> Frame:
    """The frame that these members make. Raises `JsonError`."""
    kind = _tag(found)
    known = _FRAMES.get(kind)
    if known is None:
        return frames.UnknownFrame(kind)
    frame: Frame = _build(*known, found)
    return frame


def read_transition(value: Raw) -> transitions.Transition:
    """One entry of a signed log. Raises `JsonError`."""
    entry: transitions.Transition = _build(transitions.Transition, _TRANSITION, members(value, "struct Transition"))
    return entry


def read_transition_variant(value: Raw) -> transitions.Variant:
    """What an entry changes; an unknown kind is kept as text. Raises `JsonError`."""
    found = members(value, "internally tagged enum TransitionVariant")
    kind = _tag(found)
    known = _VARIANTS.get(kind)
    if known is None:
        return transitions.UnknownVariant(kind, bytes(value))
    variant: transitions.Variant = _build(*known, found)
    return variant


def _tag(found: Members) -> str:
    tag = typed_members(found, ("kind",)).get("kind")
    if tag is None:
        raise JsonError(missing_field("kind"))
    return read_text(tag)


def _build(cls: Callable[..., Any], shape: _Shape, found: Members) -> Any:
    fields = typed_members(found, shape)
    values: dict[str, object] = {}
    for name, member in shape.items():
        value = fields.get(name)
        if value is None:
            if member.default is _REQUIRED:
                raise JsonError(missing_field(name))
            values[name] = member.default
        else:
            values[name] = None if member.nullable and is_null(value) else member.read(value)
    return cls(**values)


def _free(value: Raw) -> Raw:
    return value


def _u32(value: Raw) -> int:
    return read_integer(value, "u32")


def _u64(value: Raw) -> int:
    return read_integer(value, "u64")


def _i64(value: Raw) -> int:
    return read_integer(value, "i64")


def _role(value: Raw) -> str:
    return read_variant(value, _ROLES)


def _network_kind(value: Raw) -> str:
    return read_variant(value, _NETWORK_KINDS)


def _decision(value: Raw) -> str:
    return read_variant(value, _DECISIONS)


def _log(value: Raw) -> tuple[transitions.Transition, ...]:
    return tuple(read_transition(element) for element in elements(value))


def _entries(value: Raw) -> tuple[frames.RosterEntry, ...]:
    return tuple(
        _build(frames.RosterEntry, _ROSTER_ENTRY, members(element, "struct RosterEntry")) for element in elements(value)
    )


_TRANSITION: Final[_Shape] = {
    "at": _required(_u64),
    "variant": _required(read_transition_variant),
    "signers": _required(read_texts),
    "signatures": _required(read_texts),
}

_ROSTER_ENTRY: Final[_Shape] = {
    "device_id": _required(read_text),
    "label": _required(read_text),
    "approved_at": _required(_u64),
    "role": _required(_role),
    "granted_by": _defaulted(read_text, ""),
}

_VARIANTS: Final[dict[str, tuple[Callable[..., transitions.Variant], _Shape]]] = {
    "kind_change": (transitions.KindChange, {"to": _required(_network_kind)}),
    "role_grant": (transitions.RoleGrant, {"target": _required(read_text), "role": _required(_role)}),
    "role_revoke": (transitions.RoleRevoke, {"target": _required(read_text)}),
    "evict": (transitions.Evict, {"target": _required(read_text)}),
    "split": (transitions.Split, {"new_network_id": _required(read_text), "members": _required(read_texts)}),
    "topology_change": (transitions.TopologyChange, {"to": _required(read_mode)}),
}

_FRAMES: Final[dict[str, tuple[Callable[..., Frame], _Shape]]] = {
    "hello": (
        frames.Hello,
        {
            "protocol": _required(_u32),
            "device_id": _required(read_text),
            "label": _defaulted(read_text, ""),
            "nonce": _required(read_text),
            "verification_code": _required(read_text),
            "capabilities": _nullable(read_capabilities),
            "max_connections": _nullable(_u32),
            "features": _defaulted(read_texts, ()),
            "app_version": _nullable(read_text),
        },
    ),
    "auth_response": (frames.AuthResponse, {"signature": _required(read_text)}),
    "approve": (frames.Approve, {}),
    "deny": (
        frames.Deny,
        {"reason": _nullable(read_text), "transitions": _defaulted(_log, ()), "member_log": _defaulted(_log, ())},
    ),
    "ping": (frames.Ping, {"t": _required(_i64)}),
    "pong": (frames.Pong, {"t": _required(_i64)}),
    "shelve": (frames.Shelve, {"reason": _nullable(read_text)}),
    "unshelve": (frames.Unshelve, {}),
    "capabilities_update": (frames.CapabilitiesUpdate, {"capabilities": _required(read_capabilities)}),
    "rpc_request": (
        frames.RpcRequest,
        {
            "request_id": _required(read_text),
            "method": _required(read_text),
            "payload": _required(_free),
            "streaming": _defaulted(read_bool, default=False),
        },
    ),
    "rpc_response": (
        frames.RpcResponse,
        {"request_id": _required(read_text), "ok": _nullable(_free), "error": _nullable(read_text)},
    ),
    "rpc_stream_chunk": (
        frames.RpcStreamChunk,
        {"request_id": _required(read_text), "seq": _required(_u64), "payload": _required(_free)},
    ),
    "rpc_stream_end": (
        frames.RpcStreamEnd,
        {"request_id": _required(read_text), "error": _nullable(read_text)},
    ),
    "channel": (frames.Channel, {"channel": _required(read_text), "payload": _required(_free)}),
    "channel_seq": (
        frames.ChannelSeq,
        {
            "stream": _required(_u64),
            "seq": _required(_u64),
            "channel": _required(read_text),
            "payload": _required(_free),
        },
    ),
    "channel_ack": (frames.ChannelAck, {"stream": _required(_u64), "up_to": _required(_u64)}),
    "roster_summary": (
        frames.RosterSummary,
        {"root": _required(read_text), "count": _required(_u32), "last_edit_ts": _required(_u64)},
    ),
    "roster_request": (
        frames.RosterRequest,
        {"include_all": _defaulted(read_bool, default=False), "subtree_hashes": _defaulted(read_texts, ())},
    ),
    "roster_entries": (
        frames.RosterEntries,
        {"entries": _required(_entries), "transitions": _defaulted(_log, ()), "member_log": _defaulted(_log, ())},
    ),
    "network_state": (
        frames.NetworkState,
        {
            "network_kind": _required(_network_kind),
            "transitions_count": _required(_u32),
            "member_log_count": _defaulted(_u32, 0),
            "roster_root": _required(read_text),
        },
    ),
    "network_state_propose": (
        frames.NetworkStatePropose,
        {
            "proposal_id": _required(read_text),
            "variant": _required(read_transition_variant),
            "proposer": _required(read_text),
            "created_at": _required(_u64),
            "signature": _required(read_text),
        },
    ),
    "network_state_ack": (
        frames.NetworkStateAck,
        {
            "proposal_id": _required(read_text),
            "signer": _required(read_text),
            "decision": _required(_decision),
            "at": _required(_u64),
            "signature": _required(read_text),
        },
    ),
    "network_state_split": (
        frames.NetworkStateSplit,
        {
            "parent_proposal_id": _required(read_text),
            "new_network_id": _required(read_text),
            "members": _required(read_texts),
            "proposer": _required(read_text),
            "at": _required(_u64),
            "signature": _required(read_text),
        },
    ),
}
