"""The text of an invitation: what is written is read back, and everything else is one sentence (spec 11 §1.1)."""

from __future__ import annotations

import contextlib
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myownmesh.identity import Identity
from myownmesh.invitations.link import (
    KIND,
    MAX_CHARACTERS,
    NETWORK_KIND,
    PREFIX,
    BadInvitation,
    Invitation,
    Network,
    Signaling,
    TurnServer,
    link_of,
    read_link,
)
from myownmesh.invitations.tokens import token_text
from myownmesh.protocol import base64url
from myownmesh.protocol.modes import Ring

INVITER, ME, FOUNDER = (Identity.from_seed(bytes([each]) * 32).device_id for each in (1, 2, 3))
TOKEN = token_text(bytes(range(16)))
NETWORK = Network(NETWORK_KIND, 1, "fleet-1", "Fleet", topology=Ring(3), signaling_servers=("wss://relay.example",))
INVITATION = Invitation(KIND, 1, NETWORK, INVITER, TOKEN, 1_800_000_000, label="Laptop")


def raw(**changes: Any) -> str:
    """The link of an invitation with other members; None takes one away."""
    value = json.loads(base64url.decode(link_of(INVITATION).removeprefix(PREFIX)))
    for name, change in changes.items():
        target = value["network"] if name.startswith("network_") and name != "network_" else value
        key = name.removeprefix("network_") if target is not value else name.rstrip("_")
        if change is None:
            target.pop(key, None)
        else:
            target[key] = change
    return PREFIX + base64url.encode(json.dumps(value).encode())


def test_a_link_is_read_back() -> None:
    assert read_link(link_of(INVITATION), me=ME) == INVITATION


def test_a_full_link_is_read_back() -> None:
    network = Network(
        NETWORK_KIND,
        1,
        "fleet-1",
        network_kind="closed",
        stun_servers=("stun:stun.example:3478",),
        turn_servers=(TurnServer("turn:turn.example:3478", "u", "p"),),
    )
    signaling = Signaling(mdns=False, denylist=(), sealed="require")
    full = Invitation(KIND, 1, network, INVITER, TOKEN, 1, signaling, "Laptop", FOUNDER)
    assert read_link(link_of(full), me=ME) == full


def test_what_is_usual_takes_no_room_in_the_code() -> None:
    short = Invitation(KIND, 1, Network(NETWORK_KIND, 1, "fleet-1"), INVITER, TOKEN, 1_800_000_000)
    assert len(link_of(short)) <= 440
    members = json.loads(base64url.decode(link_of(short).removeprefix(PREFIX)))
    assert set(members) == {"kind", "version", "network", "from", "token", "exp"}
    assert set(members["network"]) == {"kind", "version", "network_id"}


@given(st.lists(st.tuples(st.integers(0, 600), st.sampled_from(" \n\t\r\u00a0\u2028")), max_size=20))
def test_wrapping_and_the_case_of_the_prefix_do_not_matter(breaks: list[tuple[int, str]]) -> None:
    text = link_of(INVITATION).replace(PREFIX, PREFIX.upper())
    for at, space in breaks:
        text = text[:at] + space + text[at:]
    assert read_link(text, me=ME) == INVITATION
    assert read_link(link_of(INVITATION).removeprefix(PREFIX), me=ME) == INVITATION


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the text is empty"),
        (PREFIX, "the text is empty"),
        ("https://evil.example/#" + link_of(INVITATION).removeprefix(PREFIX), "for another program"),
        ("hello", "copy the whole link"),
        (link_of(INVITATION)[:-3], "copy the whole link"),
        (link_of(INVITATION) + "=", "copy the whole link"),
        (PREFIX + "A" * 2049, "more than 2048 characters"),
        (PREFIX + base64url.encode(b"[" * 1000), "copy the whole link"),
        (PREFIX + base64url.encode(b'{"kind":"myownllm.invite","version":1,"version":1}'), "copy the whole link"),
        (PREFIX + base64url.encode(b"\xff\xfe"), "copy the whole link"),
        (raw(kind="myownllm.network-settings"), "no invitation but a myownllm.network-settings"),
        (raw(version=2), "made by a newer version"),
        (raw(version=0), "none that ever was"),
        (raw(network_version=2), "none that ever was"),
        (raw(network_kind="x"), "none that ever was"),
        (raw(token=None), "missing field `token`"),
        (raw(token=TOKEN.upper()), "its token is none"),
        (raw(token="a"), "its token is none"),
        (raw(exp="soon"), "damaged"),
        (raw(exp=-1), "damaged"),
        (raw(from_="x"), "no device that invites"),
        (raw(from_=INVITER.upper()), "no device that invites"),
        (raw(from_=ME), "leads to this very device"),
        (raw(network_network_id="a b"), "network id contains ' '"),
        (raw(network_network_id="Fleet-1"), "not written in its normal form"),
        (raw(network_network_kind="closed"), "does not name the founder"),
        (raw(network_network_kind="closed", founder="x"), "its founder is no device"),
        (raw(network_network_kind="secret"), "damaged"),
        (raw(network_signaling_servers=["http://relay.example"]), "refused"),
        (raw(network_signaling_servers=["wss://relay.example"] * 17), "more than 16 servers"),
        (raw(network_stun_servers=["stun:" + "a" * 300]), "more than 256 characters"),
        (raw(network_stun_servers=["file:///etc/passwd"]), "refused"),
        (raw(network_turn_servers=[{"url": "http://x"}]), "refused"),
        (raw(signaling={"sealed": "maybe"}), "a sealing that does not exist"),
    ],
    ids=lambda value: value[-40:],
)
def test_what_is_no_invitation_is_one_sentence(text: str, why: str) -> None:
    with pytest.raises(BadInvitation) as refused:
        read_link(text, me=ME)
    message = str(refused.value)
    assert why in message
    assert message.startswith("this ")
    assert message.isprintable()
    assert TOKEN not in message


def test_one_that_is_too_long_is_not_written() -> None:
    network = Network(NETWORK_KIND, 1, "fleet-1", signaling_servers=tuple("wss://" + "r" * 200 for _ in range(16)))
    with pytest.raises(BadInvitation, match=f"{MAX_CHARACTERS} are the most"):
        link_of(Invitation(KIND, 1, network, INVITER, TOKEN, 1))


def test_no_secret_is_shown_by_accident() -> None:
    turn = TurnServer("turn:turn.example:3478", "u", "secret-password")
    invitation = Invitation(KIND, 1, Network(NETWORK_KIND, 1, "fleet-1", turn_servers=(turn,)), INVITER, TOKEN, 1)
    for each in (invitation, turn):
        assert TOKEN not in repr(each)
        assert "secret-password" not in repr(each)


def test_an_invitation_expires_two_hours_later_where_it_is_used() -> None:
    assert not INVITATION.is_expired(INVITATION.exp + 7200)
    assert INVITATION.is_expired(INVITATION.exp + 7201)


@given(st.binary(max_size=200), st.integers(0, 2**32))
def test_reading_is_total(data: bytes, drawn: int) -> None:
    text = bytearray(link_of(INVITATION).encode())
    rng = Random(drawn)
    for byte in data:
        text[rng.randrange(len(text))] = byte
    for each in (text.decode("latin-1"), PREFIX + base64url.encode(data)):
        with contextlib.suppress(BadInvitation):
            assert isinstance(read_link(each, me=ME), Invitation)
