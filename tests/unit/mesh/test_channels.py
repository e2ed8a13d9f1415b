"""Local fan-out of channels."""

from __future__ import annotations

import msgspec

from myownmesh.mesh.channels import Channels

PAYLOAD = msgspec.Raw(b"1")


def test_only_exact_names_hear_a_frame() -> None:
    channels = Channels()
    heard: list[tuple[str, str]] = []
    channels.listen("chat", lambda peer, _: heard.append(("chat", peer)))
    channels.listen("Chat", lambda peer, _: heard.append(("Chat", peer)))
    channels.deliver("p", "chat", PAYLOAD)
    channels.deliver("p", "other", PAYLOAD)
    assert heard == [("chat", "p")]


def test_a_listener_that_left_hears_nothing_and_the_others_still_do() -> None:
    channels = Channels()
    first: list[str] = []
    second: list[str] = []
    unlisten = channels.listen("chat", lambda peer, _: first.append(peer))
    channels.listen("chat", lambda peer, _: second.append(peer))
    unlisten()
    unlisten()
    channels.deliver("p", "chat", PAYLOAD)
    assert (first, second) == ([], ["p"])


def test_a_listener_may_leave_while_it_is_called() -> None:
    channels = Channels()
    heard: list[str] = []

    def once(peer: str, _: msgspec.Raw) -> None:
        heard.append(peer)
        unlisten()

    unlisten = channels.listen("chat", once)
    channels.deliver("p", "chat", PAYLOAD)
    channels.deliver("p", "chat", PAYLOAD)
    assert heard == ["p"]
