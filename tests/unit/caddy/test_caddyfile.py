"""The Caddyfile that is made for a host, and the operator's text around it (spec 06 §10)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.caddy.caddyfile import managed, merged, merged_for_relay, normalised, without
from support.vectors import load

VECTORS: dict[str, Any] = load("signaling", "caddy_installer")
MARKS = ("# >>> myownmesh-managed: example.org", "# <<< myownmesh-managed: example.org")
MARKS += ("# >>> myownmesh-turn-layer4", "# <<< myownmesh-turn-layer4")
OPERATORS = [
    "",
    "other.example {\n\trespond 200\n}\n",
    "other.example {\n\trespond 200\n}",
    "{\n\temail me@example.org\n}\n\nother.example {\n\tfile_server\n}\n",
    "# mine\n\n  # and this\n{ # global\n\tadmin off\n}\n",
    "(snippet) {\n\tencode gzip\n}\n",
]


@pytest.mark.parametrize("case", VECTORS["domain_normalisation"], ids=lambda case: case["in"])
def test_domains_are_read_as_in_the_vectors(case: dict[str, str]) -> None:
    assert normalised(case["in"]) == case["out"]


@pytest.mark.parametrize("text", ["", " ", "wss://", "a b", "a{", "a\nb", "-a", "a.example {", "#", "a:port"])
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no domain"):
        normalised(text)


@given(st.text(max_size=20))
def test_no_text_of_a_person_breaks_out_of_its_line(text: str) -> None:
    try:
        name = normalised(text)
    except ValueError:
        return
    assert not set(name) & set(" \t\r\n{}#\"'`")


@pytest.mark.parametrize("before", OPERATORS)
def test_twice_is_as_once_and_the_operators_text_stays(before: str) -> None:
    """The property of the vectors."""
    assert len(VECTORS["properties"]) == 1
    once = merged(before, "wss://example.org/", 4848)
    assert merged(once, "example.org", 4848) == once
    moved = merged(once, "example.org", 5000)
    assert moved == once.replace("127.0.0.1:4848", "127.0.0.1:5000")
    assert all(once.count(mark) == moved.count(mark) == 1 for mark in MARKS)
    assert once.count("layer4 {") == 1
    lines = iter(once.splitlines())
    assert all(line in lines for line in before.splitlines()), "every line of the operator's, in its order"


@pytest.mark.parametrize("before", OPERATORS[3:5])
def test_a_global_block_is_used_again(before: str) -> None:
    text = merged(before, "example.org", 4848)
    assert text.index("{") < text.index("layer4") < text.index("email" if "email" in text else "admin")


def test_two_domains_have_a_block_each_and_one_listener() -> None:
    both = merged(merged("", "example.org", 4848), "example.net", 4848, "relay.example.net")
    assert both.count("# >>> myownmesh-managed: ") == 2
    assert both.count("@turn tls sni") == 1
    assert "@turn tls sni relay.example.net" in both


def test_a_fence_without_an_end_is_the_operators_to_mend() -> None:
    broken = merged("", "example.org", 4848).replace(MARKS[1], "")
    with pytest.raises(ValueError, match="mend the Caddyfile"):
        merged(broken, "example.org", 4848)


@pytest.mark.parametrize("before", OPERATORS)
def test_what_is_removed_leaves_the_operators_text(before: str) -> None:
    both = merged(merged(before, "example.org", 4848), "example.net", 4848)
    assert managed(both) == ("example.org", "example.net")
    one = without(both, "https://example.org/")
    assert managed(one) == ("example.net",)
    assert "layer4 {" in one, "the other domain still has its listener"
    none = without(one, "example.net")
    assert none == without(none, "example.net")
    assert "myownmesh" not in none
    lines = iter(none.splitlines())
    assert all(line in lines for line in before.splitlines())
    if before.endswith("\n"):
        assert none == before
    assert none.strip(), "Caddy takes no empty file"


def test_a_block_that_a_person_moved_is_removed_where_it_is() -> None:
    text = "a.example {\n}\n" + merged("", "example.org", 4848).split("}\n\n", 1)[1] + "b.example {\n}\n"
    assert without(text, "example.org") == "a.example {\n}\nb.example {\n}\n"
    assert without(text, "else.example") == text
    assert without(text.rstrip("\n").removesuffix("b.example {\n}"), "example.org") == "a.example {\n}\n"


def test_for_the_relay_alone_no_module_is_asked_for() -> None:
    text = merged_for_relay("", "example.org", 4848)
    assert "layer4" not in text
    assert "turn" not in text
    assert merged_for_relay(text, "example.org", 4848) == text
    assert merged_for_relay(merged("", "example.org", 4848), "example.org", 4848).count("layer4 {") == 1


def test_a_port_is_no_part_of_what_tls_knows() -> None:
    text = merged("", "host.example:4848", 5000)
    assert "host.example:4848 {" in text
    assert "\nturn.host.example {" in text
    assert "sni turn.host.example\n" in text
