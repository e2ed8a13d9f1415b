"""The configuration as a value: defaults, migration and refusals (spec 07 §4; vectors ``config``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from myownmesh.protocol.json_words import JsonError
from myownmesh.protocol.modes import FullMesh, Hubs, Ring, Star
from myownmesh.protocol.schema import read
from myownmesh.store.config import ConfigTooNew, MeshConfig
from myownmesh.store.network_config import NetworkConfig
from myownmesh.store.services_config import ServicesConfig

if TYPE_CHECKING:
    from myownmesh.store.config import Problem

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "control-socket.json").read_text("utf-8"))
CASES: list[dict[str, Any]] = VECTORS["config"]["cases"]
LOST_BY_THE_REFERENCE = "unknown keys are ignored on load and lost on save"  # ours keeps them, spec 10 §4


def load(value: object) -> tuple[MeshConfig, tuple[Problem, ...]]:
    return MeshConfig.read(json.dumps(value).encode())


def names(cases: list[dict[str, Any]]) -> list[str]:
    return [case["name"] for case in cases]


GOOD = [case for case in CASES if "input" in case and "expected" in case]


@pytest.mark.parametrize("case", GOOD, ids=names(GOOD))
def test_the_loaded_configuration_is_the_expected_one(case: dict[str, Any]) -> None:
    config, problems = load(case["input"])
    assert problems == ()
    loaded = json.loads(config.text())
    if case["name"] == LOST_BY_THE_REFERENCE:
        assert loaded.pop("future") == {"x": 1}
        assert loaded["networks"][0].pop("note") == "hi"
    assert loaded == case["expected"]


@pytest.mark.parametrize("case", GOOD, ids=names(GOOD))
def test_what_is_saved_loads_as_the_same(case: dict[str, Any]) -> None:
    config, _ = load(case["input"])
    assert MeshConfig.read(config.text().encode()) == (config, ())


def test_a_default_file_is_byte_identical_to_the_reference() -> None:
    assert MeshConfig().text() == VECTORS["config"]["default_pretty_text"]


def test_a_newer_version_is_refused_whatever_else_it_holds() -> None:
    [case] = [case for case in CASES if "error" in case]
    with pytest.raises(ConfigTooNew) as caught:
        load({**case["input"], "services": "of another shape"})
    assert str(caught.value) == case["error"]


CLI_CASES = [case for case in VECTORS["cli_to_request"] if "config" in case["request"]]


@pytest.mark.parametrize("case", CLI_CASES, ids=lambda case: " ".join(case["argv"]))
def test_a_network_record_is_spelled_out_as_the_reference_does(case: dict[str, Any]) -> None:
    record = case["request"]["config"]
    minimal = NetworkConfig.from_json({"id": record["id"], "network_id": record["network_id"]})
    assert json.dumps(minimal.to_json()) == json.dumps(record)


# The wording of shape errors is that of the vectors ``parse_errors``; clients match it.
REFUSED = [
    ({"id": "a"}, "missing field `network_id`"),
    ({"network_id": "abc"}, "missing field `id`"),
    ({"id": "a", "network_id": "b", "label": None}, "invalid type: null, expected a string"),
    ({"id": "a", "network_id": "b", "topology": {"kind": "star"}}, "missing field `hub`"),
    ({"id": "a", "network_id": "b", "topology": {}}, "missing field `kind`"),
    (
        {"id": "a", "network_id": "b", "topology": {"kind": "torus"}},
        "unknown variant `torus`, expected one of `ring`, `star`, `hubs`, `full_mesh`",
    ),
    (
        {"id": "a", "network_id": "b", "topology": "ring"},
        'invalid type: string "ring", expected internally tagged enum TopologyMode',
    ),
    (
        {"id": "a", "network_id": "b", "kind": "secret"},
        "unknown variant `secret`, expected one of `open`, `closed`, `silent`",
    ),
    ({"id": "a", "network_id": "b", "stun_servers": [{}]}, "missing field `urls`"),
    ({"id": "a", "network_id": "b", "auto_approve": None}, "invalid type: null, expected a boolean"),
    (
        {"id": "a", "network_id": "b", "signaling": {"redundancy": -1}},
        "invalid value: integer `-1`, expected u32",
    ),
    ({"id": 5, "network_id": "b"}, "invalid type: integer `5`, expected a string"),
    ({"id": 1.5, "network_id": "b"}, "invalid type: floating point `1.5`, expected a string"),
    ({"id": True, "network_id": "b"}, "invalid type: boolean `true`, expected a string"),
    ({"id": [], "network_id": "b"}, "invalid type: sequence, expected a string"),
    ({"id": {}, "network_id": "b"}, "invalid type: map, expected a string"),
    ({"id": "a", "network_id": "b", "auto_approve": "yes"}, 'invalid type: string "yes", expected a boolean'),
]


@pytest.mark.parametrize(("record", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_a_bad_network_record_is_refused_in_the_references_words(record: dict[str, object], text: str) -> None:
    with pytest.raises(JsonError) as caught:
        NetworkConfig.from_json(record)
    assert str(caught.value) == text


def test_a_repeated_member_of_a_record_is_refused() -> None:
    with pytest.raises(JsonError, match=r"^duplicate field `id`$"):
        read(NetworkConfig, Raw(b'{"id":"a","id":"b","network_id":"abc"}'))


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"stun": {"port": 70000}}, "invalid value: integer `70000`, expected u16"),
        ({"stun": {"port": 1.0}}, "invalid type: floating point `1.0`, expected u16"),
        ({"turn": {"credentials": [{"username": "a"}]}}, "missing field `password`"),
        ({"node": None}, "invalid type: null, expected struct NodeServiceConfig"),
        ([], "invalid type: sequence, expected struct ServicesConfig"),
    ],
)
def test_a_bad_services_block_is_refused(block: object, text: str) -> None:
    with pytest.raises(JsonError) as caught:
        ServicesConfig.from_json(block)
    assert str(caught.value) == text


def test_only_the_bad_network_record_is_skipped() -> None:
    config, problems = load(
        {"networks": [{"id": "n1"}, {"id": "good", "network_id": "abc"}, {"id": "n3", "network_id": 7}]}
    )
    assert [network.id for network in config.networks] == ["good"]
    assert [str(problem) for problem in problems] == [
        "networks[0]: missing field `network_id`",
        "networks[2]: invalid type: integer `7`, expected a string",
    ]


def test_a_bad_services_block_costs_no_network() -> None:
    config, problems = load({"services": {"turn": {"port": "x"}}, "networks": [{"id": "a", "network_id": "abc"}]})
    assert config.services == ServicesConfig()
    assert [network.id for network in config.networks] == ["a"]
    assert [problem.where for problem in problems] == ["services"]


@pytest.mark.parametrize(
    "value", [[], "x", None, {"daemon": None}, {"networks": {}}, {"version": "3"}, {"version": -1}]
)
def test_a_file_of_another_shape_is_unusable_as_a_whole(value: object) -> None:
    with pytest.raises(JsonError):
        load(value)


def test_unknown_members_survive_at_every_level() -> None:
    odd = {"odd": [1, {"x": None}]}
    record = {
        "id": "a",
        "network_id": "abc",
        "topology": {"kind": "star", "hub": "h", **odd},
        "signaling": odd,
        "stun_servers": [{"urls": [], **odd}],
        "turn_servers": [{"urls": [], **odd}],
        **odd,
    }
    services: dict[str, object] = {name: dict(odd) for name in ("node", "relay", "stun")} | {
        "signaling": {"limits": odd, **odd},
        "turn": {"credentials": [{"username": "u", "password": "p", **odd}], **odd},
        **odd,
    }
    source = {
        "auto_update": odd,
        "auto_cleanup": odd,
        "daemon": odd,
        "services": services,
        "networks": [record],
        **odd,
    }

    def count(value: object) -> int:
        if isinstance(value, dict):
            return ("odd" in value) + sum(count(member) for member in value.values())
        return sum(map(count, value)) if isinstance(value, list) else 0

    config, problems = load(source)
    assert problems == ()
    written = json.loads(config.text())
    assert count(written) == count(source) == 17


def test_migration_changes_only_what_nobody_chose() -> None:
    config, _ = load(
        {
            "version": 1,
            "networks": [
                {"id": "r", "network_id": "abc", "topology": {"kind": "ring", "n_preferred": 5}},
                {"id": "s", "network_id": "abd", "topology": {"kind": "star", "hub": "h"}},
                {
                    "id": "t",
                    "network_id": "abe",
                    "turn_servers": [
                        {"urls": ["turn:turn.myownmesh.com:3478"], "username": "guest", "credential": "mine"}
                    ],
                },
            ],
        }
    )
    ring, star, turn = config.networks
    assert ring.topology == FullMesh()
    assert star.topology == Star(hub="h")
    assert turn.turn_servers[0].urls == ("turn:turn.myownmesh.com:3478",)
    assert config.version == 3


def test_topologies_keep_what_was_not_said() -> None:
    def mode(value: object) -> object:
        return NetworkConfig.from_json({"id": "a", "network_id": "b", "topology": value}).topology

    assert mode({"kind": "ring"}) == Ring(n_preferred=None)
    assert mode({"kind": "hubs", "hubs": ["x"], "spoke_redundancy": None}) == Hubs(hubs=("x",), spoke_redundancy=None)


def test_switches_of_a_network_win_over_those_of_the_root() -> None:
    config, _ = load(
        {
            "compat": {"immediate_leave": True, "relay_any_filter": "yes", "made_up": True},
            "networks": [
                {"id": "a", "network_id": "abc", "compat": {"immediate_leave": False}},
                {"id": "b", "network_id": "abd"},
            ],
        }
    )
    first, second = config.networks
    assert config.compat_switch("immediate_leave")
    assert not config.compat_switch("immediate_leave", first)
    assert config.compat_switch("immediate_leave", second)
    assert not config.compat_switch("relay_any_filter")  # only a boolean counts
    assert config.unknown_switches() == ["made_up"]


def test_our_own_members_are_read_and_left_out_when_unset() -> None:
    config, _ = load(
        {
            "daemon": {"socket_group": "mesh", "also_default_socket": True},
            "services": {"signaling": {"public_url": "wss://r.example"}},
        }
    )
    assert config.daemon.socket_group == "mesh"
    assert config.daemon.also_default_socket
    assert config.services.signaling.public_url == "wss://r.example"
    assert "socket_group" not in MeshConfig().text()


@pytest.mark.parametrize(
    ("service", "member", "value"),
    [
        ("signaling", "public_url", "wss://r.example"),
        ("signaling", "bus", "redis://bus.example"),
        ("signaling", "workers", 4),
        ("turn", "tls", {"cert_file": "/c.pem", "key_file": "/k.pem"}),
    ],
)
def test_a_services_block_without_our_member_keeps_the_stored_one(service: str, member: str, value: object) -> None:
    """v0.3.8's `ctl services enable` sends back what it can decode."""
    stored = ServicesConfig.from_json({service: {member: value}})
    kept = ServicesConfig.from_json({service: {"enabled": True}}).keeping_own_members(stored)
    assert kept == ServicesConfig.from_json({service: {"enabled": True, member: value}})
    another = ServicesConfig.from_json({service: {member: "another"}})
    assert another.keeping_own_members(stored) == another
    cleared = ServicesConfig.from_json({service: {member: None}}).keeping_own_members(stored)
    assert cleared == ServicesConfig()  # an unset member is left out of the file


def test_a_redacted_services_block_has_no_password() -> None:
    block = {"turn": {"credentials": [{"username": "u", "password": "hunter2", "note": 1}]}, "later": True}
    services = ServicesConfig.from_json(block)
    shown = services.redacted().to_json()
    assert "hunter2" not in json.dumps(shown)
    wanted = services.to_json()
    wanted["turn"]["credentials"][0]["password"] = ""  # type: ignore[index]  # it is JSON
    assert shown == wanted


def test_secrets_do_not_show_in_a_representation() -> None:
    config, _ = load(
        {
            "services": {"turn": {"credentials": [{"username": "u", "password": "hunter2"}]}},
            "networks": [
                {"id": "a", "network_id": "b", "turn_servers": [{"urls": [], "username": "u", "credential": "hunter2"}]}
            ],
        }
    )
    assert "hunter2" not in repr(config)
    assert "hunter2" in config.text()
    assert replace(config) == config
