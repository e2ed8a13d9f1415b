"""Every block of the configuration in every way that it can be wrong, against a literal table (spec 07 §4)."""

from __future__ import annotations

from random import Random

import pytest
from msgspec import Raw

from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.schema import read
from myownmesh.protocol.strict_json import loads, proven
from myownmesh.store.config import AutoCleanup, AutoUpdate, DaemonConfig
from myownmesh.store.identity_file import Anchor
from myownmesh.store.network_config import NetworkConfig, SignalingConfig, StunEntry, TurnEntry
from myownmesh.store.record import Record
from myownmesh.store.services_config import (
    NodeService,
    RelayService,
    ServicesConfig,
    SignalingLimits,
    SignalingService,
    StunService,
    TurnCredential,
    TurnService,
)
from support import mistakes

BOOL, TEXT, TEXTS, NULLABLE = "a boolean=", "a string=", "a sequence=", "a string?="
TABLES: dict[type[Record], dict[str, str]] = {
    AutoUpdate: {
        "enabled": BOOL,
        "channel": TEXT,
        "auto_apply": TEXT,
        "check_interval_hours": "u32=",
        "stable_url": NULLABLE,
        "beta_url": NULLABLE,
    },
    AutoCleanup: {"updates": BOOL},
    DaemonConfig: {"enabled": BOOL, "control_socket": NULLABLE, "log_level": TEXT},
    NodeService: {"enabled": BOOL},
    RelayService: {"enabled": BOOL, "max_fanout": "u32="},
    SignalingLimits: {
        "max_event_rate": "u32=",
        "max_req_rate": "u32=",
        "max_subscriptions": "u32=",
        "max_filters_per_req": "u32=",
        "max_message_bytes": "u32=",
        "max_connections_per_ip": "u32=",
    },
    SignalingService: {"enabled": BOOL, "bind": TEXT, "port": "u16=", "limits": "struct SignalingLimits="},
    StunService: {"enabled": BOOL, "bind": TEXT, "port": "u16="},
    TurnCredential: {"username": "a string", "password": "a string"},
    TurnService: {
        "enabled": BOOL,
        "tcp_enabled": BOOL,
        "bind": TEXT,
        "port": "u16=",
        "public_ip": TEXT,
        "realm": TEXT,
        "credentials": TEXTS,
        "max_bps_per_connection": "u64=",
        "relay_port_min": "u16=",
        "relay_port_max": "u16=",
    },
    ServicesConfig: {
        "node": "struct NodeServiceConfig=",
        "relay": "struct RelayServiceConfig=",
        "signaling": "struct SignalingServiceConfig=",
        "stun": "struct StunServiceConfig=",
        "turn": "struct TurnServiceConfig=",
    },
    StunEntry: {"urls": "a sequence"},
    TurnEntry: {"urls": "a sequence", "username": NULLABLE, "credential": NULLABLE},
    SignalingConfig: {
        "strategy": TEXT,
        "mdns": BOOL,
        "servers": TEXTS,
        "redundancy": "u32=",
        "denylist": TEXTS,
        "public_fallback": BOOL,
        "listen_only": BOOL,
    },
    NetworkConfig: {
        "id": "a string",
        "network_id": "a string",
        "label": TEXT,
        "kind": "string or map=",
        "topology": "internally tagged enum TopologyMode=",
        "signaling": "struct SignalingConfig=",
        "stun_servers": TEXTS,
        "turn_servers": TEXTS,
        "roster_path": NULLABLE,
        "pinned_peers": TEXTS,
        "auto_approve": BOOL,
    },
    Anchor: {
        "version": "u32",
        "created_at": "a string",
        "secret_key": "a string",
        "public_key": "a string",
        "label": "a string",
    },
}
REQUIRED = {
    NetworkConfig: {"id": "a", "network_id": "b"},
    StunEntry: {"urls": ["stun:a"]},
    TurnEntry: {"urls": ["turn:a"]},
    TurnCredential: {"username": "u", "password": "p"},
    Anchor: {"version": 1, "created_at": "@1", "secret_key": "s", "public_key": "p", "label": "l"},
}


@pytest.mark.parametrize("block", TABLES, ids=lambda block: block.__name__)
def test_every_mistake_has_its_words(block: type[Record]) -> None:
    example = block.from_json(REQUIRED.get(block, {})).to_json()
    assert list(example) == list(TABLES[block]), "what is written is the table, in its order"
    for text, words in mistakes.texts(example, TABLES[block], Random(block.__name__)):
        value = proven(text.encode())
        if words is None:
            written = read(block, value).to_json()
            found = loads(text.encode())
            assert isinstance(found, dict)
            assert written == {**example, **found}
            assert list(written)[: len(example)] == list(example)
        else:
            with pytest.raises(JsonError) as refused:
                read(block, value)
            assert str(refused.value) == words, text


def test_every_level_keeps_what_it_does_not_know_behind_the_rest() -> None:
    text = b'{"zz":[1.5,18446744073709551616],"node":{"later":null,"enabled":false},"a":-5}'
    written = read(ServicesConfig, Raw(text)).to_json()
    assert list(written)[-2:] == ["zz", "a"]
    assert written["node"] == {"enabled": False, "later": None}
    assert written["zz"] == [1.5, 18446744073709551616.0]


# ── a new block is one class ──────────────────────────────────────────────────────────────────────────────────────────


class LaterService(Record, frozen=True, kw_only=True):
    enabled: bool = False
    limits: tuple[SignalingLimits, ...] = ()
    note: str | None = None


def test_a_block_class_alone_is_read_and_written() -> None:
    block = LaterService.from_json({"x": 1, "limits": [{"max_req_rate": 7}]})
    assert block == LaterService(limits=(SignalingLimits(max_req_rate=7),), unknown={"x": 1})
    assert list(block.to_json()) == ["enabled", "limits", "note", "x"]
    assert LaterService.from_json(block.to_json()) == block
    with pytest.raises(JsonError, match=r"^invalid type: null, expected a boolean$"):
        LaterService.from_json({"enabled": None})
    with pytest.raises(JsonError, match=r"^invalid type: sequence, expected struct LaterService$"):
        LaterService.from_json([])
