"""Invitations as far as the engine knows of them (spec 11 §1.3, §1.4): it shows ours in a hello, and says who knocks
with one. What an invitation opens is decided outside, where its secret is; the answer is a person's approve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myownmesh.engine import approval
from myownmesh.engine.actions import Knock
from myownmesh.engine.peer import Handshaking, OurApprove, Pending
from myownmesh.protocol.introduction import introduced, introduction_in

if TYPE_CHECKING:
    from myownmesh.engine.core import Core
    from myownmesh.engine.peer import OpenLink
    from myownmesh.protocol.clock import Instant


def with_ours(core: Core, device_id: str, binding: str, hello: bytes) -> bytes:
    """The hello for a peer, with the invitation that it gave us if there is one."""
    ours = core.introduce(device_id, binding)
    return hello if ours is None else introduced(hello, ours)


def show_again(core: Core, device_id: str, now: Instant) -> None:
    """We took an invitation of a peer that we are linked to: it hears of it on the open channel."""
    peer = core.link_to(device_id)
    if isinstance(peer, Handshaking | Pending):
        opening = peer.opening
        opening.hello = with_ours(core, device_id, peer.channel.local_binding, opening.hello)
        core.send_encoded(peer, "hello", opening.hello)


def seen(peer: OpenLink, hello: bytes) -> None:
    """Keep what a hello shows; a later one of the same handshake may show what the first did not yet."""
    if isinstance(peer, Handshaking | Pending) and peer.opening.introduction is None:
        peer.opening.introduction = introduction_in(hello)


def consider(core: Core, peer: OpenLink, now: Instant) -> None:
    """Ask once for each transport what the invitation of a proved device opens, if the rule does not let it in."""
    if not isinstance(peer, Pending):
        return
    channel, opening = peer.channel, peer.opening
    if opening.introduction is None or channel.greeting is None or opening.knocked:
        return
    if peer.our_approve is OurApprove.MISSING and not approval.rule_admits(core, peer.device_id):
        opening.knocked = True
        label = channel.greeting.label
        core.out.append(Knock(peer.device_id, peer.epoch, opening.introduction, channel.remote_binding, label))
