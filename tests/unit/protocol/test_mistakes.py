"""Every frame in every way that it can be wrong, against a literal table of what its members are (spec 01 §6)."""

from __future__ import annotations

from random import Random

import pytest

from myownmesh.protocol.codec import MalformedFrame, decode_frame
from myownmesh.protocol.frames import KINDS
from support import mistakes

STRING, TEXTS, LOG = "a string", "a sequence", "a sequence="
ADVERT: dict[str, object] = {"tags": ["a"], "app_version": "1", "max_connections": 3, "extra": [1]}
EXAMPLES: dict[str, tuple[dict[str, object], dict[str, str]]] = {
    "hello": (
        {
            "protocol": 1,
            "device_id": "d",
            "label": "l",
            "nonce": "n",
            "verification_code": "v",
            "capabilities": ADVERT,
            "max_connections": 3,
            "features": ["f"],
            "app_version": "1",
        },
        {
            "protocol": "u32",
            "device_id": STRING,
            "label": "a string=",
            "nonce": STRING,
            "verification_code": STRING,
            "capabilities": "struct CapabilityAdvert?=",
            "max_connections": "u32?=",
            "features": "a sequence=",
            "app_version": "a string?=",
        },
    ),
    "auth_response": ({"signature": "s"}, {"signature": STRING}),
    "approve": ({}, {}),
    "deny": (
        {"reason": "r", "transitions": [], "member_log": []},
        {"reason": "a string?=", "transitions": LOG, "member_log": LOG},
    ),
    "ping": ({"t": 1}, {"t": "i64"}),
    "pong": ({"t": 1}, {"t": "i64"}),
    "shelve": ({"reason": "r"}, {"reason": "a string?="}),
    "unshelve": ({}, {}),
    "capabilities_update": ({"capabilities": ADVERT}, {"capabilities": "struct CapabilityAdvert"}),
    "rpc_request": (
        {"request_id": "r", "method": "m", "payload": 1, "streaming": True},
        {"request_id": STRING, "method": STRING, "payload": "*", "streaming": "a boolean="},
    ),
    "rpc_response": (
        {"request_id": "r", "ok": 1, "error": "e"},
        {"request_id": STRING, "ok": "*=", "error": "a string?="},
    ),
    "rpc_stream_chunk": (
        {"request_id": "r", "seq": 1, "payload": 1},
        {"request_id": STRING, "seq": "u64", "payload": "*"},
    ),
    "rpc_stream_end": ({"request_id": "r", "error": "e"}, {"request_id": STRING, "error": "a string?="}),
    "channel": ({"channel": "c", "payload": 1}, {"channel": STRING, "payload": "*"}),
    "channel_seq": (
        {"stream": 1, "seq": 2, "channel": "c", "payload": 1},
        {"stream": "u64", "seq": "u64", "channel": STRING, "payload": "*"},
    ),
    "channel_ack": ({"stream": 1, "up_to": 2}, {"stream": "u64", "up_to": "u64"}),
    "roster_summary": (
        {"root": "r", "count": 1, "last_edit_ts": 2},
        {"root": STRING, "count": "u32", "last_edit_ts": "u64"},
    ),
    "roster_request": (
        {"include_all": True, "subtree_hashes": ["h"]},
        {"include_all": "a boolean=", "subtree_hashes": "a sequence="},
    ),
    "roster_entries": (
        {
            "entries": [{"device_id": "d", "label": "l", "approved_at": 1, "role": "owner"}],
            "transitions": [],
            "member_log": [],
        },
        {"entries": TEXTS, "transitions": LOG, "member_log": LOG},
    ),
    "network_state": (
        {"network_kind": "open", "transitions_count": 1, "member_log_count": 2, "roster_root": "r"},
        {
            "network_kind": "string or map",
            "transitions_count": "u32",
            "member_log_count": "u32=",
            "roster_root": STRING,
        },
    ),
    "network_state_propose": (
        {
            "proposal_id": "p",
            "variant": {"kind": "evict", "target": "t"},
            "proposer": "a",
            "created_at": 1,
            "signature": "s",
        },
        {
            "proposal_id": STRING,
            "variant": "internally tagged enum TransitionVariant",
            "proposer": STRING,
            "created_at": "u64",
            "signature": STRING,
        },
    ),
    "network_state_ack": (
        {"proposal_id": "p", "signer": "a", "decision": "sign", "at": 1, "signature": "s"},
        {"proposal_id": STRING, "signer": STRING, "decision": "string or map", "at": "u64", "signature": STRING},
    ),
    "network_state_split": (
        {
            "parent_proposal_id": "p",
            "new_network_id": "n",
            "members": ["m"],
            "proposer": "a",
            "at": 1,
            "signature": "s",
        },
        {
            "parent_proposal_id": STRING,
            "new_network_id": STRING,
            "members": TEXTS,
            "proposer": STRING,
            "at": "u64",
            "signature": STRING,
        },
    ),
}


def test_every_kind_has_its_table() -> None:
    assert set(EXAMPLES) == set(KINDS)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_mistake_has_its_words(kind: str) -> None:
    example, types = EXAMPLES[kind]
    table = {"kind": "variant identifier", **types}
    for text, words in mistakes.texts({"kind": kind, **example}, table, Random(kind)):
        if words is None:
            assert isinstance(decode_frame(text.encode()), KINDS[kind])
        else:
            with pytest.raises(MalformedFrame) as refused:
                decode_frame(text.encode())
            assert str(refused.value) == f"malformed frame: {words}", text
