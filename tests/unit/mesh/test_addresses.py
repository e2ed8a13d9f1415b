"""Addresses of a record at the daemon's door: refused with the reason, unless the record had them already."""

from __future__ import annotations

from typing import Any

import pytest

from myownmesh.mesh.addresses import address_problems, check_addresses, check_public_url
from myownmesh.mesh.errors import MeshError
from myownmesh.store.network_config import NetworkConfig
from myownmesh.store.services_config import ServicesConfig


def record(**members: Any) -> NetworkConfig:
    return NetworkConfig.from_json({"id": "1", "network_id": "home", **members})


def relays(*servers: str) -> NetworkConfig:
    return record(signaling={"servers": servers})


@pytest.mark.parametrize("url", ["", "http://h", " ws://h", "wss://", "ws://h:0", "relay.example"])
def test_a_record_with_a_relay_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(MeshError, match=r"network '1': .* is no relay address: .*; write ws://host:port or wss://host"):
        check_addresses(relays("wss://ok.example", url))


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"stun_servers": [{"urls": ["stun:ok", "stuns:h"]}]}, "'stuns:h' is no STUN server"),
        ({"turn_servers": [{"urls": ["turn:ok", "turn://h"]}]}, "'turn://h' is no TURN server"),
    ],
)
def test_a_record_with_another_server_that_is_none_is_refused(members: dict[str, Any], words: str) -> None:
    with pytest.raises(MeshError, match=words):
        check_addresses(record(**members))


def test_all_that_can_be_used_passes_in_whatever_spelling() -> None:
    check_addresses(record())
    check_addresses(relays("WSS://bücher.example", "ws://[::1]:4848/x?y"))


def test_what_a_file_brought_in_does_not_keep_anybody_from_changing_the_rest() -> None:
    old = relays(" ws://h")
    assert len(address_problems(old)) == 1
    check_addresses(relays(" ws://h", "ws://new"), old)
    with pytest.raises(MeshError, match="'http://new'"):
        check_addresses(relays(" ws://h", "http://new"), old)


def test_the_address_that_the_hosted_relay_is_advertised_with() -> None:
    def services(url: str) -> ServicesConfig:
        return ServicesConfig.from_json({"signaling": {"public_url": url}})

    check_public_url(services("wss://r.example"), ServicesConfig())
    check_public_url(services("junk"), services("junk"))
    with pytest.raises(MeshError, match="public_url: 'junk' is no relay address"):
        check_public_url(services("junk"), ServicesConfig())
