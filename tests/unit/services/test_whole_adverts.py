"""What a device says of all that it hosts, role by role as v0.3.8 says it (vector `service_advert`)."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio

from mesh_common.views import CapabilityAdvert
from myownmesh.mesh.adverts import merge
from myownmesh.mesh.offers import hosts_anything
from myownmesh.protocol.capabilities import Capabilities
from myownmesh.protocol.codec import encode_frame
from myownmesh.protocol.frames import Hello
from myownmesh.services import hosted_relay, hosted_turn
from myownmesh.services.host import Services
from myownmesh.services.roles import hosted_roles
from myownmesh.store.services_config import ServicesConfig
from myownmesh.worker.messages import Listening
from support.vectors import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VECTORS: dict[str, Any] = load("signaling", "service_advert")
ON = {"enabled": True}
CONFIGS: dict[str, dict[str, Any]] = {
    "signaling + turn on, no public_ip": {"signaling": ON, "turn": ON | {"bind": "192.0.2.1"}},
    "signaling + turn on, public_ip 203.0.113.9": {"signaling": ON, "turn": ON | {"public_ip": "203.0.113.9"}},
    "relay only": {"relay": ON},
    "everything on, public_ip 203.0.113.7": {
        "relay": ON,
        "signaling": ON,
        "stun": ON,
        "turn": ON | {"public_ip": "203.0.113.7"},
    },
    "nothing on": {},
}
OURS = "turn_urls"
"""What v0.3.8 does not say beside these members (spec 06 L)."""


class _Process:
    """A worker that listens where it is told to, and says nothing else."""

    def __init__(self, job: Any) -> None:
        self._job = job

    async def listens(self) -> Listening:
        return Listening(self._job.bind, self._job.port)

    async def listen(self, _take: object) -> Exception:
        await trio.sleep_forever()

    async def tell(self, _message: object) -> None:
        """Nobody listens."""


@asynccontextmanager
async def _worker(_name: str, job: Any, _read: object) -> AsyncIterator[_Process]:
    yield _Process(job)


async def advert_of(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Capabilities:
    for module in (hosted_relay, hosted_turn):
        monkeypatch.setattr(module, "worker", _worker)
    services = Services(version="0.3.8", roles=hosted_roles(compat=dict))
    async with trio.open_nursery() as nursery:
        await nursery.start(services.run)
        await services.apply(ServicesConfig.from_json(config))
        advert = services.advert()
        nursery.cancel_scope.cancel()
    return advert


def said_by_v038(advert: Capabilities) -> dict[str, Any]:
    """The advert as a hello carries it, without what is ours."""
    hello = Hello(1, "a" * 52, "", "nonce", "1234", advert)
    told: dict[str, Any] = msgspec.json.decode(encode_frame(hello))["capabilities"]
    if told["extra"] is not None:
        told["extra"]["services"].pop(OURS, None)
    return told


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["config"])
async def test_adverts_are_those_of_the_vectors(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    advert = await advert_of(CONFIGS[case["config"]], monkeypatch)
    assert list(advert.tags) == case["tags"]
    assert said_by_v038(advert)["extra"] == case["extra"]


@pytest.mark.parametrize("case", VECTORS["role_tags"], ids=lambda case: case["role"])
async def test_each_role_has_its_tag(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    members = ON | ({"bind": "192.0.2.1"} if case["role"] == "turn" else {})
    advert = await advert_of({case["role"]: members}, monkeypatch)
    assert advert.tags == (case["tag"],)


@pytest.mark.parametrize("case", VECTORS["not_roles"], ids=lambda case: case["tag"])
def test_other_tags_are_no_roles(case: dict[str, str]) -> None:
    assert case["tag"] not in {role["tag"] for role in VECTORS["role_tags"]}
    assert not hosts_anything(CapabilityAdvert((case["tag"],), None, None, None))


def test_what_is_hosted_stands_beside_what_an_app_says() -> None:
    case = VECTORS["merge"]
    hosted, said = (msgspec.Raw(json.dumps(each).encode()) for each in ({"services": case["advert"]}, case["into"]))
    merged = merge(Capabilities(extra=hosted), Capabilities(extra=said)).extra
    assert merged is not None
    assert msgspec.json.decode(merged) == case["result"]


async def test_a_hello_carries_it_with_every_member(monkeypatch: pytest.MonkeyPatch) -> None:
    advert = await advert_of({"turn": ON | {"public_ip": "203.0.113.9"}}, monkeypatch)
    assert said_by_v038(advert) == VECTORS["hello_fragment_example"]["capabilities"]
