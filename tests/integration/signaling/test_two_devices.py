"""Two devices and our own relay, over real sockets."""

from __future__ import annotations

from myownmesh.protocol.signals import (
    AnswerReceived,
    Candidate,
    CandidateReceived,
    Leave,
    OfferReceived,
    PeerAnnounced,
    PeerLeft,
    SendAnswer,
    SendCandidate,
    SendOffer,
)
from support.signaling import new_device, relay_server, running, url_of


async def test_two_devices_announce_offer_answer_and_leave() -> None:
    async with relay_server() as server:
        first, second = new_device(1, url_of(server)), new_device(2, url_of(server))
        async with running(first):
            await first.admitted_by(url_of(server))
            async with running(second):
                assert (await second.hears(PeerAnnounced)).peer == first.id
                assert (await first.hears(PeerAnnounced)).peer == second.id

                first.signaling.publish(SendOffer(second.id, "v=0\r\noffer"))
                assert await second.hears(OfferReceived) == OfferReceived(first.id, "v=0\r\noffer")
                second.signaling.publish(SendAnswer(first.id, "v=0\r\nanswer"))
                assert await first.hears(AnswerReceived) == AnswerReceived(second.id, "v=0\r\nanswer")

                candidate = Candidate("candidate:1 1 udp 1 127.0.0.1 5000 typ host", "", 0, None)
                second.signaling.publish(SendCandidate(first.id, candidate))
                assert (await first.hears(CandidateReceived)).candidate == candidate

                second.signaling.publish(Leave())
                assert (await first.hears(PeerLeft)).peer == second.id


async def test_a_burst_of_candidates_arrives_whole_through_the_default_limits() -> None:
    """Ten candidates to each of many peers at once must not cost the device its connection (spec 03 §23-W)."""
    async with relay_server() as server:
        first, second = new_device(1, url_of(server)), new_device(2, url_of(server))
        async with running(first, second):
            await first.hears(PeerAnnounced)
            await second.hears(PeerAnnounced)
            for number in range(100):
                first.signaling.publish(SendCandidate(second.id, Candidate(f"candidate:{number}")))
            first.signaling.publish(SendOffer(second.id, "v=0"))
            await second.hears(CandidateReceived, lambda signal: signal.candidate.candidate == "candidate:99")
            offer_at = second.heard.index(OfferReceived(first.id, "v=0"))
            assert offer_at <= 42
            candidates = [signal for signal in second.heard if isinstance(signal, CandidateReceived)]
            assert len(candidates) == 100
            assert server.activity.connections_total == 2


async def test_where_a_relay_link_goes_from_is_known_while_it_stands() -> None:
    """The transport offers that address to peers before others."""
    async with relay_server() as server:
        device = new_device(1, url_of(server))
        assert device.sources.addresses() == ()
        async with running(device):
            await device.admitted_by(url_of(server))
            assert device.sources.addresses() == ("127.0.0.1",)
        assert device.sources.addresses() == ()
