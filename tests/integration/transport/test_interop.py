"""Our session and a stock `RTCPeerConnection`: another implementation of everything from SDP to DCEP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiortc
import pytest
import trio

from integration.transport.loops import on_loop
from integration.transport.pairs import End, guest_test
from myownmesh.engine.links import (
    ChannelClosed,
    ChannelOpened,
    LocalDescription,
    NegotiationFailed,
    PathState,
    RemoteApplied,
    SdpType,
)
from myownmesh.protocol.binding import first_fingerprint
from myownmesh.transport import sdp

if TYPE_CHECKING:
    from myownmesh.transport.session import SessionFactory


class Stock:
    """The other implementation with one channel."""

    def __init__(self) -> None:
        self.connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self.channel: Any = None
        self.messages: list[Any] = []
        self.closed = trio.Event()
        self.connection.on("datachannel", self._use)

    def create_channel(self) -> None:
        self._use(self.connection.createDataChannel("myownmesh"))

    def _use(self, channel: Any) -> None:
        self.channel = channel
        channel.on("message", self.messages.append)
        channel.on("close", self.closed.set)

    async def offer(self) -> str:
        await on_loop(self._set_local(self.connection.createOffer()))
        return self.connection.localDescription.sdp

    async def answer(self, offer: str) -> str:
        description = aiortc.RTCSessionDescription(offer, "offer")
        await on_loop(self.connection.setRemoteDescription(description))
        await on_loop(self._set_local(self.connection.createAnswer()))
        return self.connection.localDescription.sdp

    async def take_answer(self, answer: str) -> None:
        await on_loop(self.connection.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer")))

    async def _set_local(self, description: Any) -> None:
        await self.connection.setLocalDescription(await description)

    async def close(self) -> None:
        await on_loop(self.connection.close())


async def until(condition: Any, seconds: float = 5.0) -> None:
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.005)


async def check_traffic(end: End, stock: Stock) -> None:
    frames = [bytes([n]) * size for n, size in enumerate((1, 1_500, 16_384, 65_535))]
    end.frames.clear()
    stock.messages.clear()
    for frame in frames:
        end.session.send(frame)
        stock.channel.send(frame)
    await until(lambda: len(stock.messages) == len(frames))
    await end.frames_until(len(frames))
    assert stock.messages == frames
    assert end.frames == frames


@pytest.mark.parametrize("media", [False, True], ids=["data only", "with video and audio"])
@guest_test
async def test_stock_offers_we_answer(factory: SessionFactory, media: bool) -> None:
    stock = Stock()
    if media:
        stock.connection.addTransceiver("video")
        stock.connection.addTransceiver("audio")
    stock.create_channel()
    end = End("ours")
    end.open(factory, offerer=False)
    end.session.take_offer(await stock.offer())
    answer = (await end.event(LocalDescription)).sdp
    assert len(sdp.parse(answer).sections) == (3 if media else 1)
    await stock.take_answer(answer)
    opened = await end.event(ChannelOpened)
    assert opened.remote_binding == first_fingerprint(stock.connection.localDescription.sdp)
    await until(lambda: stock.channel.readyState == "open")
    await check_traffic(end, stock)
    if media:
        assert {t.currentDirection for t in stock.connection.getTransceivers()} == {"inactive"}
    await stock.close()
    await end.event(ChannelClosed)


@guest_test
async def test_we_offer_stock_answers(factory: SessionFactory) -> None:
    stock = Stock()
    end = End("ours")
    end.open(factory, offerer=True)
    end.session.make_offer()
    offer = (await end.event(LocalDescription)).sdp
    end.session.take_answer(await stock.answer(offer))
    opened = await end.event(ChannelOpened)
    assert opened.remote_binding == first_fingerprint(stock.connection.localDescription.sdp)
    await until(lambda: stock.channel is not None)
    await check_traffic(end, stock)
    end.session.close()
    with trio.fail_after(1.0):
        await stock.closed.wait()
    await stock.close()


@guest_test
async def test_later_offers_of_both_sides(factory: SessionFactory) -> None:
    stock = Stock()
    end = End("ours")
    end.open(factory, offerer=True)
    end.session.make_offer()
    end.session.take_answer(await stock.answer((await end.event(LocalDescription)).sdp))
    await end.event(ChannelOpened)
    end.session.make_offer()
    end.session.take_answer(await stock.answer((await end.event(LocalDescription, count=2)).sdp))
    end.session.take_offer(await stock.offer())
    await stock.take_answer((await end.event(LocalDescription, count=3)).sdp)
    assert [applied.type for applied in end.all(RemoteApplied)] == [SdpType.ANSWER, SdpType.ANSWER, SdpType.OFFER]
    assert not end.all(NegotiationFailed)
    assert end.path is PathState.CONNECTED
    await check_traffic(end, stock)
    await stock.close()


@guest_test
async def test_empty_and_text_messages_of_the_other_side(factory: SessionFactory) -> None:
    stock = Stock()
    end = End("ours")
    end.open(factory, offerer=True)
    end.session.make_offer()
    end.session.take_answer(await stock.answer((await end.event(LocalDescription)).sdp))
    await end.event(ChannelOpened)
    await until(lambda: stock.channel is not None)
    for message in (b"", "", "text", b"binary"):
        stock.channel.send(message)
    await end.frames_until(2)
    assert end.frames == [b"text", b"binary"]
    assert not end.all(ChannelClosed)
    with pytest.raises(ValueError, match="65535"):  # our limit reached the other stack
        stock.channel.send(bytes(65_536))
    await stock.close()


@guest_test
async def test_channel_closed_by_the_other_side_ends_the_link(factory: SessionFactory) -> None:
    stock = Stock()
    end = End("ours")
    end.open(factory, offerer=True)
    end.session.make_offer()
    end.session.take_answer(await stock.answer((await end.event(LocalDescription)).sdp))
    await end.event(ChannelOpened)
    await until(lambda: stock.channel is not None)
    stock.channel.close()
    assert (await end.event(ChannelClosed)).reason == "the peer closed the data channel"
    await stock.close()


@guest_test
async def test_other_channels_of_the_other_side_are_ignored(factory: SessionFactory) -> None:
    stock = Stock()
    foreign = stock.connection.createDataChannel("other")
    stock.create_channel()
    end = End("ours")
    end.open(factory, offerer=False)
    end.session.take_offer(await stock.offer())
    await stock.take_answer((await end.event(LocalDescription)).sdp)
    await end.event(ChannelOpened)
    await until(lambda: stock.channel.readyState == "open")
    assert foreign.readyState != "open"
    await check_traffic(end, stock)
    end.one(ChannelOpened)
    await stock.close()
