"""Sending and receiving files between two devices, on a mesh that loses, doubles and delays (spec 08 §9.5)."""

from __future__ import annotations

import os
from contextlib import aclosing, suppress
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import attrs
import msgspec
import pytest
import trio
from msgspec.structs import replace

from mesh_common.client.errors import ControlError, ErrorKind, stream_failure
from myownllm.client import CallRefusedError, ClientState, InboundCall
from myownllm.client.work import Work
from myownllm.errors import AppError
from myownllm.features.files.attempt import BrokenError
from myownllm.features.files.feature import Files
from myownllm.features.files.inbox import Decision
from myownllm.features.files.receiving import FileSend
from myownllm.ids import select_peer
from myownllm.payloads import PayloadError, structure
from myownllm.peers import peer_entries, peer_rows
from myownllm.transfer_files.notes import Notes
from myownllm.transfer_files.settings import FileSettings
from myownllm.transfers import offer
from myownllm.transfers.digest import sha256_base32
from myownllm.transfers.offer import FileOffer
from myownllm.watch import Watch
from unit.frontend.fakes import peer_info

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from trio.testing import MockClock

    from myownllm.features.files.inbox import PendingOffer
    from myownllm.peers import PeerEntry

FOREVER = float("inf")
KEYS = {"a": "a" * 52, "b": "b" * 52, "c": "c" * 52}
ALL_IDS = (offer.TRANSFER_FEATURE, offer.RESUME_FEATURE, offer.WITHDRAW_FEATURE, "stream_cancel_v1")


class Side:
    """A device with the feature, on a mesh of function calls. It stands in for the client of the feature."""

    def __init__(self, name: str, folder: Path, nursery: trio.Nursery) -> None:
        self.name = name
        self.key = KEYS[name]
        self.nursery = nursery
        self.ids: dict[str, tuple[str, ...]] = {}
        self.sides: tuple[Side, ...] = ()
        self.online = True
        self.watch: Watch[ClientState] = Watch(ClientState(network="home"))
        self.work = Work(lambda: 0, lambda _: None)
        self.channels: dict[str, _Inflow] = {}
        self.running: dict[str, trio.CancelScope] = {}
        self.lose: Callable[[int], int] = lambda _: 1
        """how often the n-th chunk from here arrives"""
        self.refuse: dict[int, str] = {}
        """what the daemon says to the n-th chunk"""
        self.unheard = False
        """answers from here are lost"""
        self.deaf = False
        """the daemon cannot be asked for its chunks"""
        self.sent = 0
        self.notes: list[str] = []
        self.downloads = folder / name / "Downloads"
        self.files = Files(
            cast("Any", self),
            cast("Any", self),
            Notes(folder / name / "transfers"),
            FileSettings(self.downloads, frozenset()),
        )

    # ── as the feature sees its client ────────────────────────────────────────────────────────────────────────────────

    @property
    def state(self) -> ClientState:
        return self.watch.value

    def note(self, _: str, text: str) -> None:
        self.notes.append(text)

    def start_soon(self, task: Callable[[], Awaitable[None]]) -> None:
        self.nursery.start_soon(task)

    async def inflow(self, pubkey: str, channel: str) -> _Inflow:
        await trio.lowlevel.checkpoint()
        if self.deaf:
            raise ControlError(ErrorKind.CONNECT_FAILED, "connect daemon socket at s")
        made = self.channels[channel] = _Inflow(pubkey, lambda: self.channels.pop(channel))
        return made

    async def named(self, text: str) -> PeerEntry:
        await trio.lowlevel.checkpoint()
        return select_peer(text, self.state.peers)

    # ── as the feature sees the mesh ──────────────────────────────────────────────────────────────────────────────────

    def _inbound(self, pubkey: str, method: str, payload: Any, cls: type) -> tuple[Side, InboundCall]:
        there = self._there(pubkey)
        if payload.get("id") == "no handler":
            raise ControlError(ErrorKind.NO_HANDLER, f"no handler for '{method}'", refused=True)
        peer = there.state.peer(self.key)
        assert peer is not None
        try:
            return there, InboundCall(peer, method, structure(cls, payload))
        except PayloadError:
            raise self._failed(f"invalid {method} payload") from None

    def _failed(self, text: str) -> ControlError:
        return stream_failure(text)

    def _there(self, pubkey: str) -> Side:
        there = next(s for s in self.sides if s.key == pubkey)
        if not (self.online and there.online):
            raise ControlError(ErrorKind.LINK_DOWN, "network down", refused=True)
        return there

    async def call(self, pubkey: str, method: str, payload: Any, *, timeout_s: float) -> Any:
        there, inbound = self._inbound(pubkey, method, payload, FileOffer)
        answers: list[Any] = []
        failures: list[ControlError] = []
        scope = there.running[payload.get("stream_id", "")] = trio.CancelScope()

        async def serve() -> None:
            with scope:
                try:
                    receiver = there.files.receiver
                    answer = receiver.offered if method == "file_offer" else receiver.withdrawn
                    answers.append(await answer(inbound))
                except (CallRefusedError, ControlError) as error:
                    failures.append(self._failed(str(error)))
            if not there.unheard:
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            there.nursery.start_soon(serve)
            with trio.move_on_after(timeout_s):
                await trio.sleep_forever()
        if failures:
            raise failures[0]
        if not answers:
            raise ControlError(ErrorKind.TIMEOUT, "call timed out", refused=True)
        return msgspec.json.decode(msgspec.json.encode(answers[0]))

    async def call_stream(
        self, pubkey: str, method: str, payload: Any, *, first_s: float, idle_s: float, total_s: float
    ) -> AsyncIterator[Any]:
        assert first_s == idle_s == total_s == FOREVER
        there, inbound = self._inbound(pubkey, method, payload, FileSend)
        pieces = 0
        try:
            async with aclosing(there.files.receiver.stream(inbound)) as stream:
                async for piece in stream:
                    pieces += 1
                    yield msgspec.json.decode(msgspec.json.encode(piece))
        except CallRefusedError as error:
            raise self._failed(str(error)) from None
        if not pieces:
            raise ControlError(ErrorKind.CLOSED, "peer closed the stream without data")

    async def send(self, pubkey: str, channel: str, payload: Any) -> None:
        await trio.lowlevel.checkpoint()
        there = self._there(pubkey)
        if channel == "rpc/cancel":
            there.running[payload["stream_id"]].cancel()
        elif channel in there.channels:
            await there.channels[channel].put(self.key, payload)

    async def send_reliable(self, pubkey: str, channel: str, payload: Any) -> None:
        await self.send(pubkey, channel, payload)

    async def bulk(self, pubkey: str, channel: str) -> _Bulk:
        await trio.lowlevel.checkpoint()
        self._there(pubkey)
        return _Bulk(self, pubkey, channel)


class _Inflow:
    def __init__(self, pubkey: str, close: Callable[[], object]) -> None:
        self._pubkey = pubkey
        self.close = close
        self.end, self._messages = trio.open_memory_channel[Any](64)

    async def put(self, pubkey: str, payload: Any) -> None:
        if pubkey == self._pubkey:
            with suppress(trio.BrokenResourceError):
                await self.end.send(payload)

    async def take(self, taker: Callable[[Any], None], most: int, within_s: float) -> int:
        taken = 0
        with trio.move_on_after(within_s):
            try:
                taker(await self._messages.receive())
            except trio.EndOfChannel:
                raise ControlError(ErrorKind.CLOSED, "daemon closed connection without a response") from None
            taken = 1
            while taken < most:
                try:
                    message = self._messages.receive_nowait()
                except trio.WouldBlock:
                    break
                taken += 1
                taker(message)
        await trio.lowlevel.checkpoint_if_cancelled()
        return taken


class _Bulk:
    def __init__(self, side: Side, pubkey: str, channel: str) -> None:
        self._side, self._pubkey, self._channel = side, pubkey, channel
        self._answers_in, self._answers = trio.open_memory_channel[ControlError | None](1000)

    async def __aenter__(self) -> _Bulk:
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()

    async def send(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            self._side._there(self._pubkey)
            number = self._side.sent
            self._side.sent += 1
            if number in self._side.refuse:
                self._answers_in.send_nowait(ControlError(ErrorKind.UNREACHABLE, self._side.refuse[number]))
                continue
            for _ in range(self._side.lose(number)):
                await self._side.send(self._pubkey, self._channel, msgspec.json.decode(payload))
            self._answers_in.send_nowait(None)

    @property
    def has_news(self) -> bool:
        return self._answers.statistics().current_buffer_used > 0

    async def confirmed(self) -> ControlError | None:
        return await self._answers.receive()


@attrs.frozen
class Mesh:
    a: Side
    b: Side
    c: Side
    folder: Path

    def file(self, name: str = "a.bin", size: int = 1_000_000) -> Path:
        path = self.folder / name
        path.write_bytes(os.urandom(size))
        return path

    def show(self, *ids: str, without: tuple[Side, ...] = ()) -> None:
        """Everybody but those `without` sees each other, offering these features."""
        sides = (self.a, self.b, self.c)
        for side in sides:
            side.sides = sides
            side.online = side not in without
            rows = [
                peer_info(
                    other.key,
                    label=other.name,
                    status="offline" if other in without else "active",
                    capabilities={
                        "tags": [],
                        "app_version": None,
                        "max_connections": None,
                        "extra": {"features": list(ids)},
                    },
                )
                for other in sides
                if other is not side
            ]
            peers = peer_entries(peer_rows({"peers": rows}), {})
            side.watch.set(replace(side.state, rev=side.state.rev + 1, peers=peers))


@pytest.fixture
def mesh(tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> Mesh:
    async def inline(work: Callable[..., Any], *arguments: Any, limiter: trio.CapacityLimiter | None = None) -> Any:
        assert limiter is None, "nothing here waits for others"
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", inline)  # the clock jumps while a thread works
    made = Mesh(*(Side(name, tmp_path, nursery) for name in KEYS), tmp_path)
    made.show(*ALL_IDS)
    return made


def only(side: Side) -> PendingOffer:
    (pending,) = side.files.inbox.pending.values()
    return pending


def accepting(side: Side) -> None:
    """A person at that device who takes everything."""
    side.files.inbox.on_offer.append(lambda pending: pending.decide(Decision(pending.folder)))


async def send(side: Side, to: Side, *paths: Path) -> list[dict[str, Any]]:
    """The last word on each file."""
    last = {}
    async with aclosing(side.files.send({"paths": [str(p) for p in paths], "peer": to.key})) as items:
        async for item in items:
            last[item["id"]] = item
    return list(last.values())


def received(side: Side) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in side.downloads.iterdir()} if side.downloads.exists() else {}


def left(side: Side) -> list[str]:
    """Names of what the feature remembers of transfers that have not ended."""
    return sorted(p.name for p in (side.downloads.parent / "transfers").glob("*") if not p.name.startswith("done-"))


# ── a file arrives ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ids", [ALL_IDS, (offer.TRANSFER_FEATURE,)])
async def test_a_file_arrives_whole_after_a_person_has_accepted_it(
    autojump_clock: MockClock, mesh: Mesh, ids: tuple[str, ...]
) -> None:
    mesh.show(*ids)
    path = mesh.file()
    told: list[dict[str, Any]] = []

    async def decide() -> None:
        await trio.sleep(60)
        (waiting,) = await mesh.b.files.list_offers({})
        assert (waiting["filename"], waiting["size_bytes"], waiting["peer_label"]) == ("a.bin", 1_000_000, "a")
        assert waiting["expires_at_ms"] - waiting["offered_at_ms"] == 300_000
        await mesh.b.files.accept({"id": waiting["id"][:6]})

    mesh.b.nursery.start_soon(decide)
    async with aclosing(mesh.a.files.send({"paths": [str(path)], "peer": "b"})) as items:
        told = [item async for item in items]
    assert [told[0]["status"], told[-1]["status"], told[-1]["bytes_sent"]] == ["hashing", "sent", 1_000_000], str(
        told[-1]
    )
    assert "offered" in [item["status"] for item in told]
    assert received(mesh.b) == {"a.bin": path.read_bytes()}
    assert left(mesh.a) == left(mesh.b) == []
    (here,), (there,) = await mesh.a.files.list_transfers({}), await mesh.b.files.list_transfers({})
    assert (here["status"], there["status"]) == ("sent", "received")
    assert there["path"] == str(mesh.b.downloads / "a.bin")
    assert mesh.b.channels == {}


async def test_a_device_may_be_trusted_with_files_and_a_person_may_name_the_folder(
    autojump_clock: MockClock, mesh: Mesh
) -> None:
    mesh.b.files.use(FileSettings(mesh.b.downloads, frozenset({mesh.a.key})))
    await send(mesh.a, mesh.b, mesh.file("x"))
    assert list(received(mesh.b)) == ["x"]
    elsewhere = mesh.folder / "elsewhere"
    mesh.c.files.inbox.on_offer.append(lambda pending: pending.decide(Decision(elsewhere)))
    await send(mesh.a, mesh.c, mesh.file("../x"[3:]))
    assert [p.name for p in elsewhere.iterdir()] == ["x"]


@pytest.mark.heavy
async def test_many_files_at_once_four_of_them_on_their_way(autojump_clock: MockClock, mesh: Mesh) -> None:
    """FE-9.10."""
    accepting(mesh.b)
    busiest = 0

    def count(_: object) -> None:
        nonlocal busiest
        moving = [j for j in mesh.a.files.sender.jobs.values() if j.progress.status in ("offered", "sending")]
        busiest = max(busiest, len(moving))

    mesh.b.files.inbox.on_offer.append(count)
    paths = [mesh.file(f"{n}.bin", 200_000) for n in range(9)]
    assert {item["status"] for item in await send(mesh.a, mesh.b, *paths)} == {"sent"}
    assert received(mesh.b) == {p.name: p.read_bytes() for p in paths}
    assert busiest == 4


@pytest.mark.parametrize("seed", range(3))
async def test_chunks_that_are_lost_doubled_and_refused_on_the_way(
    autojump_clock: MockClock, mesh: Mesh, seed: int
) -> None:
    """FE-9.23, FE-12.36."""
    accepting(mesh.b)
    mesh.a.lose = lambda number: (number * 7 + seed) % 3 if number < 60 else 1
    mesh.a.refuse = {3: "transport: peer send timed out", 70: "transport: send queue of this peer is full"}
    path = mesh.file(size=3_000_000)
    (item,) = await send(mesh.a, mesh.b, path)
    assert item["status"] == "sent", item
    assert received(mesh.b) == {"a.bin": path.read_bytes()}


async def test_an_old_receiver_that_lost_a_chunk_says_so(autojump_clock: MockClock, mesh: Mesh) -> None:
    """Vector file_reassembly `missing`, by the idle limit of FE-9.4."""
    mesh.show(offer.TRANSFER_FEATURE)
    accepting(mesh.b)
    mesh.a.lose = lambda number: number != 2
    (item,) = await send(mesh.a, mesh.b, mesh.file())
    assert (item["status"], item["detail"]) in (
        ("failed", "missing chunk"),
        ("failed", "timed out waiting for b"),
    )
    await trio.sleep(120)
    assert received(mesh.b) == {}
    assert left(mesh.a) == left(mesh.b) == []


# ── no ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_nobody_answers_for_300_seconds(autojump_clock: MockClock, mesh: Mesh) -> None:
    """S13."""
    began = trio.current_time()
    (item,) = await send(mesh.a, mesh.b, mesh.file())
    assert (item["status"], item["detail"]) == ("failed", "peer declined: user did not respond")
    assert trio.current_time() - began == pytest.approx(300, abs=1)
    assert mesh.b.files.inbox.pending == {}


async def test_a_person_declines(autojump_clock: MockClock, mesh: Mesh) -> None:
    """S13."""

    async def decline() -> None:
        await trio.sleep(1)
        await mesh.b.files.decline({"id": only(mesh.b).offer.id})

    mesh.a.nursery.start_soon(decline)
    (item,) = await send(mesh.a, mesh.b, mesh.file())
    assert item["detail"] == "peer declined: receiver declined"
    assert received(mesh.b) == {}


async def test_an_offer_that_its_sender_withdraws(autojump_clock: MockClock, mesh: Mesh) -> None:
    async def withdraw() -> None:
        await trio.sleep(1)
        await mesh.a.files.cancel({"id": only(mesh.b).offer.id[:5]})

    mesh.a.nursery.start_soon(withdraw)
    (item,) = await send(mesh.a, mesh.b, mesh.file())
    assert (item["status"], item["detail"]) == ("aborted", "cancelled")
    await trio.sleep(1)
    assert mesh.b.files.inbox.pending == {}
    assert left(mesh.a) == []


async def test_a_file_that_is_given_up_before_its_acceptance_is_heard(autojump_clock: MockClock, mesh: Mesh) -> None:
    """10 §2.5: a part file that waits for chunks would stay for a week."""
    accepting(mesh.b)
    mesh.b.unheard = True
    mesh.a.nursery.start_soon(send, mesh.a, mesh.b, mesh.file())
    await until(lambda: bool(received(mesh.b)))
    mesh.b.unheard = False
    await mesh.a.files.cancel({"id": next(iter(mesh.a.files.sender.jobs))})
    await trio.sleep(2)
    assert received(mesh.b) == {}
    assert left(mesh.a) == left(mesh.b) == []
    assert mesh.b.channels == {}
    assert (await mesh.b.files.list_transfers({}))[-1]["status"] == "aborted"


@pytest.mark.parametrize("ids", [ALL_IDS, (offer.TRANSFER_FEATURE,)])
async def test_either_side_cancels_in_the_middle(autojump_clock: MockClock, mesh: Mesh, ids: tuple[str, ...]) -> None:
    """S13, FE-9.22: the receiver marks it aborted, and no part file stays."""
    mesh.show(*ids)
    accepting(mesh.b)
    for canceller, word in ((mesh.a, "cancelled"), (mesh.b, offer.CANCELLED)):
        mesh.a.lose = lambda number, start=mesh.a.sent: number < start + 5  # type: ignore[misc]  # mypy knows no default of a lambda

        async def cancel(side: Side) -> None:
            while not mesh.b.files.receiver.arrivals or not any(
                a.bytes_received > 4 * 46_080 for a in mesh.b.files.receiver.arrivals.values() if not a.is_over
            ):
                await trio.sleep(0.01)
            await side.files.cancel({"id": next(iter(mesh.a.files.sender.jobs))})

        mesh.a.nursery.start_soon(cancel, canceller)
        (item,) = await send(mesh.a, mesh.b, mesh.file(word))
        assert item["detail"] == word, item
        await trio.sleep(1)
        there = (await mesh.b.files.list_transfers({}))[-1]
        assert (there["status"], there["detail"]) == ("aborted", "aborted" if canceller is mesh.a else word)
        assert received(mesh.b) == {}
        assert left(mesh.a) == left(mesh.b) == []


async def test_a_command_that_stops_listening_cancels_its_files(autojump_clock: MockClock, mesh: Mesh) -> None:
    async with aclosing(mesh.a.files.send({"paths": [str(mesh.file())], "peer": "b"})) as items:
        async for item in items:
            if item["status"] == "offered":
                break
    await trio.sleep(1)
    assert mesh.a.files.sender.jobs == {}
    assert mesh.b.files.inbox.pending == {}


async def test_a_command_that_reads_slowly_hears_how_it_ended(autojump_clock: MockClock, mesh: Mesh) -> None:
    accepting(mesh.b)
    with trio.fail_after(60):
        async with aclosing(mesh.a.files.send({"paths": [str(mesh.file())], "peer": "b"})) as items:
            told = []
            async for item in items:
                told.append(item["status"])
                await until(lambda: mesh.a.files.sender.jobs == {})  # it ends while this item is being read
    assert told == ["hashing", "sent"]


async def test_what_cannot_be_sent_is_told_at_once(autojump_clock: MockClock, mesh: Mesh) -> None:
    small, large = mesh.file("small", 0), mesh.folder / "large"
    with large.open("wb") as file:
        file.truncate(524_288_001)
    mesh.show(offer.TRANSFER_FEATURE)
    texts = [item["detail"] for item in await send(mesh.a, mesh.b, small, large, mesh.folder, mesh.folder / "none")]
    assert texts == [
        "can't send an empty file",
        "file is 524288001 bytes; cap is 524288000",
        f"{mesh.folder} is a folder; pack it into an archive first",
        f"cannot read {mesh.folder / 'none'}: No such file or directory",
    ]
    mesh.show("capabilities_v1")
    (item,) = await send(mesh.a, mesh.b, small)
    assert item["detail"] == "b takes no files: its app is not running, or too old"
    with pytest.raises(AppError, match="on its way to that device already"):
        await send(mesh.a, mesh.b, small, small)


async def test_a_file_that_changes_while_it_is_sent(autojump_clock: MockClock, mesh: Mesh) -> None:
    path = mesh.file()

    def accept(pending: PendingOffer) -> None:
        os.utime(path, (1, 1))
        pending.decide(Decision(pending.folder))

    mesh.b.files.inbox.on_offer.append(accept)
    (item,) = await send(mesh.a, mesh.b, path)
    assert item["detail"] == f"{path} changed while it was being sent; send it again"


# ── hostile ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def an_offer(content: bytes = b"hello world!", **members: Any) -> dict[str, Any]:
    made = {"id": "00112233", "filename": "h.txt", "size_bytes": len(content), "chunk_size": 5}
    return {**made, "sha256_b32": sha256_base32(content), **members}


async def offered(side: Side, to: Side, **members: Any) -> Any:
    return await side.call(to.key, "file_offer", an_offer(**members), timeout_s=305)


async def chunk(side: Side, to: Side, index: Any, text: Any, transfer: str = "00112233") -> None:
    payload = {"index": index, "bytes_b64": text, "is_final": False}
    await side.send(to.key, f"file_chunks/{transfer}", payload)


async def outcome(side: Side, to: Side, transfer: str = "00112233") -> str:
    """How `file_send` ends."""
    try:
        pieces = side.call_stream(
            to.key, "file_send", {"id": transfer}, first_s=FOREVER, idle_s=FOREVER, total_s=FOREVER
        )
        return f"{len([p async for p in pieces])} pieces"
    except ControlError as error:
        return error.text


async def test_what_another_device_says_about_a_transfer_does_not_count(autojump_clock: MockClock, mesh: Mesh) -> None:
    """Vector file_reassembly `wrong-sender`; forged ids."""
    accepting(mesh.b)
    assert await offered(mesh.a, mesh.b) == {"accepted": True}
    await chunk(mesh.c, mesh.b, 0, "SEVMTE8=")
    await mesh.c.send(mesh.b.key, "file_chunks/00112233", {"index": -1, "bytes_b64": "", "aborted": True})
    assert await outcome(mesh.c, mesh.b) == "no accepted offer for id"
    with pytest.raises(ControlError, match="duplicate transfer id"):
        await offered(mesh.c, mesh.b)
    with pytest.raises(ControlError, match="duplicate transfer id"):
        await offered(mesh.a, mesh.b)
    for index, text in enumerate(("aGVsbG8=", "IHdvcmw=", "ZCE=")):
        await chunk(mesh.a, mesh.b, index, text)
    assert await outcome(mesh.a, mesh.b) == "peer closed the stream without data", "a clean end"
    assert received(mesh.b) == {"h.txt": b"hello world!"}


async def test_the_end_waits_for_a_file_send_that_is_slower_than_its_chunks(
    autojump_clock: MockClock, mesh: Mesh
) -> None:
    """FE-9.21."""
    accepting(mesh.b)
    await offered(mesh.a, mesh.b, resume=True)
    for index, text in enumerate(("aGVsbG8=", "IHdvcmw=", "ZCE=")):
        await chunk(mesh.a, mesh.b, index, text)
    await trio.sleep(30)
    assert await outcome(mesh.a, mesh.b) == "1 pieces"
    await trio.sleep(1)
    assert await outcome(mesh.c, mesh.b) == "no accepted offer for id"


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_file_whose_sender_did_not_hear_that_it_came_does_not_come_twice(
    autojump_clock: MockClock, mesh: Mesh, nursery: trio.Nursery, restarted: bool
) -> None:
    """10 §2.5: the last word was under way when the link or the app ended. What is sent anew comes anew."""
    accepting(mesh.b)
    await offered(mesh.a, mesh.b, resume=True)
    for index, text in enumerate(("aGVsbG8=", "IHdvcmw=", "ZCE=")):
        await chunk(mesh.a, mesh.b, index, text)
    await until(lambda: received(mesh.b) == {"h.txt": b"hello world!"})
    if restarted:
        mesh = Mesh(mesh.a, Side("b", mesh.folder, nursery), mesh.c, mesh.folder)
        mesh.show(*ALL_IDS)
        await mesh.b.files.go_on()
        accepting(mesh.b)
    for _ in range(2):
        assert await offered(mesh.a, mesh.b, resume=True) == {"accepted": True, "have": [[0, 3]]}
        assert await outcome(mesh.a, mesh.b) == "1 pieces"
    assert received(mesh.b) == {"h.txt": b"hello world!"}
    assert await offered(mesh.a, mesh.b, id="44556677", resume=True) == {"accepted": True, "have": []}
    assert await offered(mesh.c, mesh.b, resume=True, id="00112233") == {"accepted": True, "have": []}, "another's"


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([(0, "AAAA")], "bad chunk length"),
        ([(0, "SEVMTE8="), (1, "IHdvcmw="), (2, "ZCE=")], "sha256 mismatch: expected "),
        ([(1, None), (9, "aGVsbG8="), (-1, ""), (True, "aGVsbG8="), ({}, [])], "missing chunk"),
    ],
)
async def test_chunks_that_no_honest_sender_makes(
    autojump_clock: MockClock, mesh: Mesh, chunks: list[tuple[Any, Any]], reason: str
) -> None:
    accepting(mesh.b)
    for resume in (False, True):
        transfer = f"t{resume}"
        await offered(mesh.a, mesh.b, id=transfer, resume=resume)
        for index, text in chunks:
            await chunk(mesh.a, mesh.b, index, text, transfer)
        said = await outcome(mesh.a, mesh.b, transfer)
        assert said.startswith(offer.INTERRUPTED if resume and reason == "missing chunk" else reason)
    assert set(received(mesh.b)) <= {"h.txt.part"}, "only what can be gone on with"
    await mesh.b.files.go_on()
    (mesh.b.downloads.parent / "transfers").joinpath("x").mkdir()


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "a\\..\\b", "..", "\u202etxt.exe", "x" * 300, "a\0b", "con"]
)
async def test_a_name_never_leads_out_of_the_folder(autojump_clock: MockClock, mesh: Mesh, name: str) -> None:
    """FE-9.25, FE-12.49."""
    accepting(mesh.b)
    await offered(mesh.a, mesh.b, filename=name)
    for index, text in enumerate(("aGVsbG8=", "IHdvcmw=", "ZCE=")):
        await chunk(mesh.a, mesh.b, index, text)
    await outcome(mesh.a, mesh.b)
    (stored,) = mesh.b.downloads.iterdir()
    assert stored.read_bytes() == b"hello world!"
    assert sorted(p.name for p in mesh.folder.iterdir()) == ["b"]


async def test_an_accepted_offer_whose_chunks_cannot_be_heard_leaves_nothing(
    autojump_clock: MockClock, mesh: Mesh
) -> None:
    accepting(mesh.b)
    mesh.b.deaf = True
    with pytest.raises(ControlError, match="connect daemon socket"):
        await offered(mesh.a, mesh.b, resume=True)
    assert (received(mesh.b), left(mesh.b)) == ({}, [])


@pytest.mark.parametrize("payload", [{"id": "../x"}, {"size_bytes": 0}, {"filename": 7}, {"chunk_size": "5"}])
async def test_offers_that_no_honest_device_makes(
    autojump_clock: MockClock, mesh: Mesh, payload: dict[str, Any]
) -> None:
    with pytest.raises(ControlError, match="invalid file_offer payload"):
        await offered(mesh.a, mesh.b, **payload)
    with pytest.raises(ControlError, match="invalid file_send payload"):
        [
            p
            async for p in mesh.a.call_stream(
                mesh.b.key, "file_send", {"id": "../x"}, first_s=FOREVER, idle_s=FOREVER, total_s=FOREVER
            )
        ]
    assert mesh.b.files.inbox.pending == {}


async def test_a_flood_of_offers_reaches_no_person(autojump_clock: MockClock, mesh: Mesh) -> None:
    """FE-9.10, FE-12.48: four of a device wait, eight of all."""
    answers: list[Any] = []

    async def one(side: Side, number: int) -> None:
        answers.append(await offered(side, mesh.b, id=f"{side.name}{number}"))

    for side in (mesh.a, mesh.c):
        for number in range(20):
            mesh.a.nursery.start_soon(one, side, number)
    await trio.sleep(1)
    assert sorted(p.peer.label for p in mesh.b.files.inbox.pending.values()) == ["a"] * 4 + ["c"] * 4
    assert answers == [{"accepted": False, "reason": offer.BUSY}] * 32
    await trio.sleep(300)
    assert answers[32:] == [{"accepted": False, "reason": "user did not respond"}] * 8


async def test_no_room_and_no_folder(autojump_clock: MockClock, mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    accepting(mesh.b)
    huge = {"resume": True, "size_bytes": 2**52, "chunk_size": 46_080}
    answer = await offered(mesh.a, mesh.b, **huge)
    assert answer["reason"].startswith("not enough space on the receiver: 4503599627370496 bytes are needed")
    assert (await offered(mesh.a, mesh.b, **{**huge, "resume": False}))["reason"] == "file too large"
    mesh.b.downloads.rmdir()
    mesh.b.downloads.write_text("")
    answer = await offered(mesh.a, mesh.b)
    assert answer["reason"].startswith("cannot write the file: ")
    assert left(mesh.b) == []
    with pytest.raises(AppError, match="is no absolute path"):
        await mesh.b.files.accept({"id": await waiting_id(mesh), "to": "x"})
    for operation in (mesh.b.files.accept, mesh.b.files.decline):
        with pytest.raises(AppError, match="no offer is called 'zz'"):
            await operation({"id": "zz"})
    with pytest.raises(AppError, match="no transfer runs with the id 'zz'"):
        await mesh.b.files.cancel({"id": "zz"})


async def test_an_offer_is_found_by_its_id_and_by_a_name_that_only_one_has(
    autojump_clock: MockClock, mesh: Mesh
) -> None:
    for number, name in enumerate(("plan.txt", "same.txt", "same.txt", "a1")):
        mesh.a.nursery.start_soon(partial(offered, mesh.a, mesh.b, id=f"a{number}-of-a", filename=name))
    await trio.sleep(1)
    inbox = mesh.b.files.inbox
    assert [inbox.find(text).offer.id for text in ("plan.txt", "a2-of-a", "a1", "a0")] == [
        "a0-of-a",
        "a2-of-a",
        "a3-of-a",
        "a0-of-a",
    ]
    for text, why in (("same.txt", "2 offers are called"), ("", "no offer is called"), ("a", "4 offers are called")):
        with pytest.raises(AppError, match=why):
            inbox.find(text)


async def waiting_id(mesh: Mesh) -> str:
    mesh.b.files.inbox.on_offer.clear()
    mesh.a.nursery.start_soon(offered, mesh.a, mesh.b)
    await trio.sleep(1)
    return only(mesh.b).offer.id


# ── going on ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.sleep(0.01)


def half_way(side: Side) -> bool:
    return any(a.bytes_received > 20 * 46_080 for a in side.files.receiver.arrivals.values() if not a.is_over)


@pytest.mark.parametrize("who", ["a", "b", "both"])
async def test_a_broken_transfer_goes_on_where_it_stopped(
    autojump_clock: MockClock, mesh: Mesh, nursery: trio.Nursery, who: str
) -> None:
    """10 §2.5: also after either app has ended; the person who accepted is not asked again."""
    accepting(mesh.b)
    path = mesh.file(size=5_000_000)
    mesh.a.lose = lambda number: number < 40
    async with trio.open_nursery() as apps:
        mesh.a.nursery = mesh.b.nursery = apps
        apps.start_soon(send, mesh.a, mesh.b, path)
        await until(lambda: half_way(mesh.b))
        apps.cancel_scope.cancel()
    reborn = {name: Side(name, mesh.folder, nursery) for name in KEYS}
    again = Mesh(reborn["a"], reborn["b"], reborn["c"], mesh.folder)
    assert left(again.a)[0].startswith("out-")
    again.show(*ALL_IDS, without=(again.b,))
    await again.a.files.go_on()
    await again.b.files.go_on()
    await trio.sleep(100)
    (waiting,) = await again.a.files.list_transfers({})
    assert (waiting["status"], waiting["detail"]) == ("waiting", "goes on when b is back")
    again.show(*ALL_IDS)
    await until(lambda: not again.a.files.sender.jobs)
    assert received(again.b) == {"a.bin": path.read_bytes()}
    assert again.a.sent < 110 - 30, "what was there is not sent again"
    await trio.sleep(61)
    assert left(again.a) == left(again.b) == []


async def test_a_link_that_breaks_is_gone_on_with_when_the_device_is_back(
    autojump_clock: MockClock, mesh: Mesh
) -> None:
    """FE-12.6: in between the sender waits, and says so."""
    accepting(mesh.b)
    path = mesh.file(size=5_000_000)
    results: list[Any] = []

    async def run() -> None:
        results.extend(await send(mesh.a, mesh.b, path))

    mesh.a.lose = lambda number: number < 40
    mesh.a.nursery.start_soon(run)
    await until(lambda: half_way(mesh.b))
    mesh.show(*ALL_IDS, without=(mesh.b,))
    await trio.sleep(200)
    assert not results, str(results)
    (job,) = mesh.a.files.sender.jobs.values()
    assert job.progress.status == "waiting"
    mesh.a.lose = lambda _: 1
    mesh.show(*ALL_IDS)
    await until(lambda: bool(results))
    assert results[0]["status"] == "sent"
    assert received(mesh.b) == {"a.bin": path.read_bytes()}
    for side, ending in ((mesh.a, "sent"), (mesh.b, "received")):  # what was broken off is not a second file
        assert [each["status"] for each in await side.files.list_transfers({})] == [ending]
        assert [each.status for each in side.work.files] == [ending]


@pytest.mark.parametrize(("moves", "pauses"), [(False, [1, 2, 5, 15, 30, 30]), (True, [1] * 6)])
async def test_pauses_grow_only_while_nothing_gets_through(
    autojump_clock: MockClock, mesh: Mesh, monkeypatch: pytest.MonkeyPatch, moves: bool, pauses: list[int]
) -> None:
    """10 §2.5: a long file over a link that breaks now and then is not slower after each break."""
    began: list[float] = []

    class Breaking:
        def __init__(self, _client: Any, _operations: Any, job: Any, *_: Any) -> None:
            self._job = job

        async def run(self) -> None:
            began.append(trio.current_time())
            await trio.lowlevel.checkpoint()
            if len(began) <= len(pauses):
                self._job.say("sending", moves * len(began))
                raise BrokenError("the link was lost")

    monkeypatch.setattr("myownllm.features.files.sending.Attempt", Breaking)
    (item,) = await send(mesh.a, mesh.b, mesh.file())
    assert item["status"] == "sent"
    assert [round(after - before) for before, after in pairwise(began)] == pauses


async def test_a_receiver_that_is_back_and_knows_nothing_is_asked_again_at_once(
    autojump_clock: MockClock, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """v0.3.8's daemon ends no stream of a peer that is gone: an attempt over it would wait a minute for nothing."""

    async def silent(*_: Any, **__: Any) -> AsyncIterator[Any]:
        await trio.sleep_forever()
        yield

    accepting(mesh.b)
    path = mesh.file(size=5_000_000)
    results: list[Any] = []

    async def run() -> None:
        results.extend(await send(mesh.a, mesh.b, path))

    mesh.a.lose = lambda number: number < 40
    with monkeypatch.context() as patched:
        patched.setattr(mesh.a, "call_stream", silent)
        mesh.a.nursery.start_soon(run)
        await until(lambda: half_way(mesh.b))
    mesh.show(*ALL_IDS, without=(mesh.b,))
    await trio.sleep(10)
    mesh.a.lose = lambda _: 1
    mesh.show(*ALL_IDS)
    with trio.fail_after(10):
        await until(lambda: bool(results))
    assert results[0]["status"] == "sent"
    assert received(mesh.b) == {"a.bin": path.read_bytes()}


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_half_file_that_is_given_up_while_its_device_is_away_goes_when_it_is_back(
    autojump_clock: MockClock, mesh: Mesh, nursery: trio.Nursery, restarted: bool
) -> None:
    """10 §2.5: also after both apps have ended in between."""
    accepting(mesh.b)
    mesh.a.lose = lambda number: number < 40
    async with trio.open_nursery() as apps:
        mesh.a.nursery = mesh.b.nursery = apps
        apps.start_soon(send, mesh.a, mesh.b, mesh.file(size=5_000_000))
        await until(lambda: half_way(mesh.b))
        mesh.show(*ALL_IDS, without=(mesh.b,))
        await trio.sleep(200)
        await mesh.a.files.cancel({"id": next(iter(mesh.a.files.sender.jobs))})
        await until(lambda: not mesh.a.files.sender.jobs)
        await trio.sleep(60)
        assert list(received(mesh.b)) == ["a.bin.part"], "nobody could be told"
        if restarted:
            apps.cancel_scope.cancel()
        else:
            mesh.show(*ALL_IDS)
            await trio.sleep(2)
            apps.cancel_scope.cancel()
    if restarted:
        reborn = {name: Side(name, mesh.folder, nursery) for name in KEYS}
        mesh = Mesh(reborn["a"], reborn["b"], reborn["c"], mesh.folder)
        await mesh.a.files.go_on()
        await mesh.b.files.go_on()
        assert mesh.a.files.sender.jobs == {}, "nothing is sent"
        mesh.show(*ALL_IDS)
        await trio.sleep(2)
    assert received(mesh.b) == {}
    assert left(mesh.a) == left(mesh.b) == []


async def test_a_file_that_cannot_go_on_leaves_no_half_one(autojump_clock: MockClock, mesh: Mesh) -> None:
    """Another content under the same name, while the receiver was away."""
    accepting(mesh.b)
    mesh.a.lose = lambda number: number < 40
    path = mesh.file(size=5_000_000)
    mesh.a.nursery.start_soon(send, mesh.a, mesh.b, path)
    await until(lambda: half_way(mesh.b))
    mesh.show(*ALL_IDS, without=(mesh.b,))
    await trio.sleep(200)
    path.write_bytes(b"something else")
    mesh.show(*ALL_IDS)
    await until(lambda: not mesh.a.files.sender.jobs)
    await trio.sleep(2)
    assert received(mesh.b) == {}
    assert left(mesh.a) == left(mesh.b) == []


async def test_a_file_that_was_given_up_and_is_sent_anew_is_not_taken_away_again(
    autojump_clock: MockClock, mesh: Mesh
) -> None:
    """10 §2.5: who withdraws says which offer."""
    accepting(mesh.b)
    mesh.a.lose = lambda number: number < 40
    path = mesh.file(size=5_000_000)
    mesh.a.nursery.start_soon(send, mesh.a, mesh.b, path)
    await until(lambda: half_way(mesh.b))
    (first,) = [job.noted.offer for job in mesh.a.files.sender.jobs.values() if job.noted is not None]
    mesh.show(*ALL_IDS, without=(mesh.b,))
    await trio.sleep(200)
    await mesh.a.files.cancel({"id": first.id})
    await until(lambda: not mesh.a.files.sender.jobs)
    sent = mesh.a.sent
    mesh.a.lose = lambda number: number < sent + 40
    mesh.show(offer.TRANSFER_FEATURE, offer.RESUME_FEATURE)  # the word does not come through yet
    mesh.a.nursery.start_soon(send, mesh.a, mesh.b, path)
    await until(lambda: mesh.a.sent > sent + 30)
    mesh.show(*ALL_IDS)
    await trio.sleep(5)
    assert len([n for n in left(mesh.a) if n.startswith("out-")]) == 1, "the old offer is settled"
    mesh.a.lose = lambda _: 1
    await until(lambda: not mesh.a.files.sender.jobs)
    assert received(mesh.b) == {"a.bin": path.read_bytes()}


async def test_a_withdrawal_waits_while_the_offer_is_being_decided(autojump_clock: MockClock, mesh: Mesh) -> None:
    transfer = await waiting_id(mesh)
    where = {"timeout_s": 10}
    with pytest.raises(ControlError, match="host busy"):
        await mesh.a.call(mesh.b.key, offer.WITHDRAW, an_offer(id=transfer), **where)
    await mesh.b.files.accept({"id": transfer})
    await until(lambda: bool(received(mesh.b)))
    assert await mesh.c.call(mesh.b.key, offer.WITHDRAW, an_offer(id=transfer), **where) == {"ok": True}
    assert len(received(mesh.b)) == 1, "another device has no say in it"
    for _ in range(2):
        assert await mesh.a.call(mesh.b.key, offer.WITHDRAW, an_offer(id=transfer), **where) == {"ok": True}
        assert received(mesh.b) == {}


async def test_a_receiver_with_many_withdrawals_to_come(
    autojump_clock: MockClock, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("myownllm.features.files.withdrawals.WAITING_MAX", 1)
    accepting(mesh.b)
    mesh.a.lose = lambda number: 0
    for name in ("one", "two"):
        mesh.a.nursery.start_soon(send, mesh.a, mesh.b, mesh.file(name))
        await until(lambda name=name: f"{name}.part" in received(mesh.b))  # type: ignore[misc]  # mypy knows no default of a lambda
    mesh.show(*ALL_IDS, without=(mesh.b,))
    for job in tuple(mesh.a.files.sender.jobs.values()):
        job.cancel()
    await trio.sleep(1)
    assert len(left(mesh.a)) == 1, "the other one is not remembered"
    mesh.show(*ALL_IDS)
    await trio.sleep(1)
    assert left(mesh.a) == []
    assert len(received(mesh.b)) == 1


async def test_without_the_id_a_break_is_the_end(autojump_clock: MockClock, mesh: Mesh) -> None:
    """FE-12.6: it fails, and the part file goes."""
    mesh.show(offer.TRANSFER_FEATURE)
    accepting(mesh.b)
    mesh.a.lose = lambda number: number < 40
    mesh.a.nursery.start_soon(send, mesh.a, mesh.b, mesh.file(size=5_000_000))
    await until(lambda: half_way(mesh.b))
    mesh.show(offer.TRANSFER_FEATURE, without=(mesh.b,))
    await trio.sleep(200)
    assert mesh.a.files.sender.jobs == {}
    (here,), (there,) = await mesh.a.files.list_transfers({}), await mesh.b.files.list_transfers({})
    assert (here["status"], there["status"]) == ("failed", "broken")
    assert received(mesh.b) == {}
    assert left(mesh.b) == []


async def test_the_app_ends(autojump_clock: MockClock, mesh: Mesh) -> None:
    """FE-9.24: pending offers and running transfers are told; what can be gone on with stays."""
    mesh.a.lose = lambda number: number < 40
    (path, other) = (mesh.file(size=5_000_000), mesh.file("other"))
    mesh.b.files.inbox.on_offer.append(lambda p: p.decide(Decision(p.folder)) if p.offer.filename == "a.bin" else None)
    mesh.a.nursery.start_soon(send, mesh.a, mesh.b, path)
    await until(lambda: half_way(mesh.b))
    with trio.move_on_after(30):
        mesh.a.nursery.start_soon(send, mesh.a, mesh.b, other)
        await until(lambda: bool(mesh.b.files.inbox.pending))
        await mesh.b.files.close()
    await trio.sleep(0.1)
    assert list(received(mesh.b)) == ["a.bin.part"]
    listed = {t["filename"]: t for t in await mesh.a.files.list_transfers({})}
    assert listed["a.bin"]["detail"] in ("receiver is shutting down", "")
    assert listed["other"]["detail"] == "peer declined: receiver is shutting down"


async def test_the_same_file_twice_at_once(autojump_clock: MockClock, mesh: Mesh) -> None:
    accepting(mesh.b)
    path = mesh.file(size=5_000_000)
    twin = mesh.folder / "twin.bin"
    twin.write_bytes(path.read_bytes())
    mesh.a.lose = lambda number: number < 40 or number > 200
    results: list[Any] = []

    async def run() -> None:
        results.extend(await send(mesh.a, mesh.b, path))

    mesh.a.nursery.start_soon(run)
    await until(lambda: half_way(mesh.b))
    (item,) = await send(mesh.a, mesh.b, twin)
    assert item["detail"] == "peer declined: the same file is on its way already"
    mesh.a.lose = lambda _: 1
    await until(lambda: bool(results))
    assert results[0]["status"] == "sent"
