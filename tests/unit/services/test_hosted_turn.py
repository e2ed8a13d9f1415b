"""From the blocks of STUN and TURN to what a worker is told, and what peers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from myownmesh.services.hosted_turn import advert_of, certificate_name, stun_job, turn_job
from myownmesh.services.service import CannotServe
from myownmesh.services.worker_process import environment
from myownmesh.store.services_config import ServicesConfig
from myownmesh.turn_worker.messages import TlsFiles
from myownmesh.worker.messages import Listening
from support import vectors
from support.tls import self_signed

if TYPE_CHECKING:
    from pathlib import Path

    from myownmesh.turn_worker.messages import Job

PUBLIC = "203.0.113.9"


def job(**turn: Any) -> Job:
    return turn_job(ServicesConfig.from_json({"turn": turn}).turn, private_peers=False)


REFUSALS: dict[str, dict[str, Any]] = {
    "credentials empty": {"public_ip": PUBLIC, "credentials": []},
    "bind 0.0.0.0 and public_ip empty": {},
    "public_ip not an IP literal": {"public_ip": "turn.example"},
    "public_ip 0.0.0.0": {"public_ip": "0.0.0.0"},
}


@pytest.mark.parametrize(
    "case", vectors.load("signaling", "turn")["start_refusals"], ids=lambda case: str(case["config"])
)
def test_what_the_vectors_refuse_is_refused_with_the_member_that_is_wrong(case: dict[str, str]) -> None:
    with pytest.raises(CannotServe, match=r"services\.turn\.(credentials|public_ip)"):
        job(**REFUSALS[case["config"]])


@pytest.mark.parametrize(
    "turn",
    [
        {"public_ip": "2001:db8::1"},
        {"bind": "localhost"},
        {"public_ip": PUBLIC, "tls": {"cert_file": "a"}},
        {"public_ip": PUBLIC, "tls": {"cert_file": "a", "key_file": "b", "port": 70000}},
        {"public_ip": PUBLIC, "tls": 7},
    ],
)
def test_so_is_what_else_cannot_serve(turn: dict[str, Any]) -> None:
    with pytest.raises(CannotServe, match=r"services\.turn\.(bind|public_ip|tls)"):
        job(**turn)


def test_a_job_holds_what_was_configured() -> None:
    tls = {"cert_file": "/c.pem", "key_file": "/k.pem"}
    made = job(bind="127.0.0.1", port=7, tcp_enabled=True, max_bps_per_connection=9, relay_port_min=50, tls=tls)
    assert made.turn is not None
    assert (made.turn.public_ip, made.turn.passwords) == ("127.0.0.1", {"guest": "theguestpassword"})
    assert (made.port, made.tcp, made.relay_ports, made.turn.bytes_per_s) == (7, True, (50, 0), 9)
    assert made.tls == TlsFiles("/c.pem", "/k.pem", 5349)


def test_a_tls_member_that_a_client_does_not_know_is_kept() -> None:
    stored = ServicesConfig.from_json({"turn": {"tls": {"cert_file": "c", "key_file": "k"}}})
    assert ServicesConfig.from_json({}).keeping_own_members(stored).turn.tls == stored.turn.tls
    assert ServicesConfig.from_json({"turn": {"tls": None}}).keeping_own_members(stored).turn.unknown == {}


CASES = {
    "signaling + turn on, no public_ip": {"turn": {"enabled": True, "bind": "192.0.2.1"}},
    "signaling + turn on, public_ip 203.0.113.9": {"turn": {"enabled": True, "public_ip": PUBLIC}},
    "everything on, public_ip 203.0.113.7": {
        "turn": {"enabled": True, "public_ip": "203.0.113.7"},
        "stun": {"enabled": True},
    },
}


def advert(services: dict[str, Any], listening: Listening, tls_name: str | None = None) -> Any:
    config = ServicesConfig.from_json(services)
    made = turn_job(config.turn, private_peers=False) if config.turn.enabled else stun_job(config.stun)
    return advert_of(made, listening, tls_name, config)


@pytest.mark.parametrize("name", CASES)
def test_adverts_have_the_tags_and_urls_of_the_vectors(name: str) -> None:
    (case,) = [case for case in vectors.load("signaling", "service_advert")["cases"] if case["config"] == name]
    made = advert(CASES[name], Listening("0.0.0.0", 3478))
    others = {"service:relay", "service:signaling"}
    assert list(made.tags) == [tag for tag in case["tags"] if tag not in others]
    expected = {} if case["extra"] is None else case["extra"]["services"]
    assert {key: url for key, url in made.endpoints.items() if key != "turn_urls"} == {
        key: url for key, url in expected.items() if key in ("stun_url", "turn_url")
    }


def test_an_advert_names_every_transport_at_the_port_that_is_in_use() -> None:
    turn = {
        "enabled": True,
        "public_ip": PUBLIC,
        "port": 0,
        "tcp_enabled": True,
        "tls": {"cert_file": "c", "key_file": "k"},
    }
    made = advert({"turn": turn}, Listening("0.0.0.0", 4000, 4001), "turn.example")
    assert made.endpoints == {
        "turn_url": f"turn:{PUBLIC}:4000",
        "turn_urls": [
            f"turn:{PUBLIC}:4000",
            f"turn:{PUBLIC}:4000?transport=tcp",
            "turns:turn.example:4001?transport=tcp",
        ],
    }
    assert msgspec.json.encode(made.endpoints)


def test_stun_alone_is_advertised_with_its_own_port_and_brackets() -> None:
    services = {"stun": {"enabled": True}, "turn": {"public_ip": "2001:db8::1"}}
    made = advert(services, Listening("::", 5000))
    assert (made.tags, made.endpoints) == (("service:stun",), {"stun_url": "stun:[2001:db8::1]:5000"})


def test_what_listens_on_this_machine_alone_has_no_url_for_others() -> None:
    made = advert({"turn": {"enabled": True, "bind": "127.0.0.1", "public_ip": PUBLIC}}, Listening("127.0.0.1", 3478))
    assert (made.tags, made.endpoints) == (("service:turn",), {})


def test_a_certificate_tells_the_name_that_clients_check(tmp_path: Path) -> None:
    assert certificate_name(str(self_signed(tmp_path))) == "localhost"
    assert certificate_name(str(tmp_path / "absent.pem")) is None


def test_a_worker_is_not_told_where_keys_are() -> None:
    environ = {"PATH": "/bin", "HOME": "/root", "MYOWNMESH_HOME": "/x", "NOTIFY_SOCKET": "/n", "LC_ALL": "C"}
    assert environment(environ) == {"PATH": "/bin", "LC_ALL": "C"}
