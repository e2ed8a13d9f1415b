"""Files on their way, without files: names, offers, chunks that come and chunks that go (spec 08 §9.5)."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from myownllm.transfers import index_set, intake, names, offer, outgoing
from myownllm.transfers.digest import base32, sha256_base32
from myownllm.transfers.index_set import IndexSet, read_ranges
from myownllm.transfers.intake import Intake
from myownllm.transfers.offer import FileOffer, Refusal, triage
from myownllm.transfers.outgoing import Outgoing, Report
from support import vectors

if TYPE_CHECKING:
    from collections.abc import Iterable

SUITES = vectors.load("frontend", "suites")
HELLO = b"hello world!"


def cases(suite: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in SUITES[suite]["cases"]])


def offered(size: int = 12, chunk: int = 5, **members: Any) -> FileOffer:
    return FileOffer("00112233aabbccdd", "h.txt", size, sha256_base32(HELLO), chunk, **members)


def held(*indices: int) -> IndexSet:
    made = IndexSet()
    for index in indices:
        made.add(index)
    return made


# ── names and digests ─────────────────────────────────────────────────────────────────────────────────────────────────


@cases("sanitize_filename")
def test_sanitize_filename(case: dict[str, Any]) -> None:
    assert names.sanitize_filename(case["input"]["name"]) == case["expect"]["name"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("Lpt1 .tar.gz", "_Lpt1 .tar.gz"),
        ("console.log", "console.log"),
        ("report.pdf. . .", "report.pdf"),
        (". . hidden", "hidden"),
        ("photo\u202egpj.exe", "photo_gpj.exe"),
        ("a\u2028b\x7fc\x9b.txt", "a_b_c_.txt"),
        ("half\ud83d", "half_"),
        ("\u0631\u200c\u0632.txt", "\u0631\u200c\u0632.txt"),
        ("ä" * 200, "ä" * 115),
    ],
)
def test_names_that_deceive_or_cannot_be_stored(name: str, kept: str) -> None:
    assert names.sanitize_filename(name) == kept


@given(st.text(st.characters(codec=None), max_size=300))
def test_any_name_becomes_one_plain_name(name: str) -> None:
    kept = names.sanitize_filename(name)
    assert 0 < len(kept) <= names.NAME_MAX_CHARS
    assert len(os.fsencode(f"{kept} (999){names.PART_SUFFIX}")) <= 255
    assert Path(kept).name == kept
    assert not kept.startswith(".")
    assert kept not in ("", ".", "..")
    assert names.sanitize_filename(kept) == kept


def test_a_taken_name_gets_a_number_before_its_extension() -> None:
    tried = names.candidates("a.tar.gz")
    assert [next(tried) for _ in range(3)] == ["a.tar.gz", "a.tar (1).gz", "a.tar (2).gz"]
    assert list(names.candidates("README"))[-1] == "README (999)"


@cases("sha256_base32")
def test_sha256_base32(case: dict[str, Any]) -> None:
    given_input = case["input"]
    data = given_input["utf8"].encode() if "utf8" in given_input else bytes([given_input["repeat_byte"]])
    assert sha256_base32(data * given_input.get("count", 1)) == case["expect"]["b32"]


# ── sets of chunks ────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.integers(0, 60)))
def test_an_index_set_is_a_set(indices: list[int]) -> None:
    mine, model = IndexSet(), set[int]()
    for index in indices:
        assert mine.add(index) == (index not in model)
        model.add(index)
    assert mine.count == len(model)
    assert [i for i in range(62) if i in mine] == sorted(model)
    for index in range(62):
        assert mine.next_missing(index) == next(i for i in range(index, 200) if i not in model)
    assert mine.prefix == next(i for i in range(200) if i not in model)
    ranges = list(mine)
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(ranges)), "ranges do not touch"
    read = read_ranges(mine.told(), 61)
    assert read is not None
    assert list(read) == ranges
    assert read.count == mine.count


def test_a_scattered_set_is_bounded_in_memory_and_in_messages() -> None:
    scattered = IndexSet()
    for index in range(0, 2 * index_set.RANGES_MAX, 2):
        assert scattered.add(index)
    assert not scattered.add(2 * index_set.RANGES_MAX + 2)
    assert scattered.add(1), "what joins ranges is always taken"
    told = scattered.told()
    assert len(told) == index_set.RANGES_TOLD
    assert told[0] == [0, 3]


@pytest.mark.parametrize(
    "value",
    [None, "x", {}, [[0]], [[0, 0]], [[2, 1]], [[-1, 2]], [[0, 13]], [[0, 2], [2, 4]], [[3, 4], [0, 1]], [["0", 1]],
     [[0.0, 1]], [[i, i + 1] for i in range(0, 600, 2)]],
)  # fmt: skip
def test_ranges_that_no_honest_peer_tells(value: Any) -> None:
    assert read_ranges(value, 12) is None


# ── offers ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def made(payload: Any) -> FileOffer | None:
    try:
        return FileOffer(**payload)
    except (TypeError, ValueError):
        return None


@cases("file_offer")
def test_file_offer(case: dict[str, Any]) -> None:
    payload = case["input"]["payload"]
    taken = payload.pop("_already_pending", False) if payload else False
    found = made(payload)
    verdict = Refusal(error=offer.INVALID_OFFER) if found is None else triage(found, taken=taken, crowded=False)
    match case["expect"]:
        case {"action": "prompt_user"}:
            assert verdict is None
        case {"error": error}:
            assert verdict == Refusal(error=error)
        case {"ok": answer}:
            assert verdict is not None
            assert offer.Reply(accepted=False, reason=verdict.reason).to_json() == answer


@pytest.mark.parametrize(
    "members",
    [
        {"id": "a" * 65}, {"id": ""}, {"id": "a\n"}, {"id": 7}, {"filename": "x" * 4097}, {"filename": None},
        {"size_bytes": True}, {"size_bytes": 12.0}, {"size_bytes": 2**53}, {"chunk_size": 2**20 + 1},
        {"sha256_b32": "A" * 52}, {"sha256_b32": "a" * 52 + "\n"}, {"mime_type": 7}, {"mime_type": "m" * 256},
        {"resume": 1},
    ],
)  # fmt: skip
def test_members_that_nothing_honest_sends(members: dict[str, Any]) -> None:
    assert made({**attrs.asdict(offered()), **members}) is None


def test_the_cap_falls_with_a_peer_that_can_go_on_but_chunks_stay_countable() -> None:
    """10 §2.5: without the id the cap and whole files."""
    tera = 2**40
    assert triage(offered(tera, 46_080), taken=False, crowded=False) == Refusal(reason=offer.TOO_LARGE)
    assert triage(offered(tera, 46_080, resume=True), taken=False, crowded=False) is None
    assert triage(offered(tera, 1000, resume=True), taken=False, crowded=False) == Refusal(error=offer.INVALID_OFFER)
    assert triage(offered(65_537, 1), taken=False, crowded=False) == Refusal(error=offer.INVALID_OFFER)
    assert triage(offered(65_536, 1), taken=False, crowded=False) is None
    assert triage(offered(), taken=False, crowded=True) == Refusal(reason=offer.BUSY)
    assert offer.check_size(0, resume=True) == "can't send an empty file"
    assert offer.check_size(524_288_001, resume=False) == "file is 524288001 bytes; cap is 524288000"
    assert offer.check_size(524_288_001, resume=True) == offer.check_size(1, resume=False) == ""


def test_replies_on_the_wire() -> None:
    mine = offered(12, 5)
    assert offer.Reply(accepted=True).to_json() == {"accepted": True}
    assert offer.Reply(accepted=True, held=held(0, 2)).to_json() == {"accepted": True, "have": [[0, 1], [2, 3]]}
    going_on = offer.read_reply({"accepted": True, "have": [[0, 2]]}, mine)
    assert going_on.held is not None
    assert going_on.held.count == 2
    assert offer.read_reply({"accepted": True, "have": "all"}, mine).held is None
    for nonsense in (None, 7, {}, {"accepted": 1}, {"accepted": "yes", "reason": 3}):
        assert offer.read_reply(nonsense, mine) == offer.Reply(accepted=False)
    assert "mime_type" not in mine.to_json()
    assert "resume" not in mine.to_json()
    assert offered(resume=True).to_json()["resume"] is True


# ── chunks that come ──────────────────────────────────────────────────────────────────────────────────────────────────


def received(incoming: Intake, chunks: Iterable[Any]) -> bytes:
    data = bytearray(incoming.offer.size_bytes)
    for payload in chunks:
        chunk = incoming.take(payload)
        if chunk is not None:
            data[chunk.offset : chunk.offset + len(chunk.data)] = chunk.data
    return bytes(data)


@cases("file_reassembly")
def test_file_reassembly(case: dict[str, Any]) -> None:
    """The vector's cases that a single file decides; whose chunks count, and the silence, are the feature's."""
    given_input, expect = case["input"], case["expect"]
    incoming = Intake(FileOffer(**given_input["offer"]))
    if expect.get("error") == intake.BAD_LENGTH:
        with pytest.raises(intake.ChunkError, match=expect["error"]):
            received(incoming, given_input["chunks"])
        return
    if given_input.get("chunks_from", "p1") != given_input.get("offer_from", "p1"):
        return
    data = received(incoming, given_input["chunks"])
    assert incoming.complete == (expect.get("error") != intake.MISSING)
    if incoming.complete:
        assert incoming.bytes_held == 12
        assert (sha256_base32(data) == incoming.offer.sha256_b32) == (expect["result"] == "ok")
    if expect["result"] == "ok":
        assert data == expect["utf8"].encode()


@pytest.mark.parametrize(
    "payload",
    [None, [], {}, {"index": "0", "bytes_b64": ""}, {"index": True, "bytes_b64": "aGVsbG8="}, {"index": 0.0},
     {"index": 0}, {"index": -1, "bytes_b64": ""}, {"index": -1, "aborted": 1}, {"index": 2**70, "bytes_b64": ""}],
)  # fmt: skip
def test_what_is_no_chunk_does_not_count(payload: Any) -> None:
    incoming = Intake(offered())
    assert incoming.take(payload) is None
    assert incoming.held.count == 0


@pytest.mark.parametrize("text", ["", "aGVsbG8", "aGVsbG8!", "aGVsbG8=" * 1000, "aGVs====", "\u00e4GVsbG8="])
def test_a_chunk_of_another_length_ends_the_transfer(text: str) -> None:
    with pytest.raises(intake.ChunkError, match="bad chunk length"):
        Intake(offered()).take({"index": 0, "bytes_b64": text})


def test_the_sender_gives_up() -> None:
    """FE-9.22: old receivers ignore the index, ours end."""
    with pytest.raises(intake.AbortedError, match="aborted"):
        Intake(offered()).take(intake.abort_payload())


def test_a_chunk_that_would_scatter_the_set_too_far_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_set, "RANGES_MAX", 1)
    incoming = Intake(offered())
    assert incoming.take({"index": 0, "bytes_b64": "aGVsbG8="}) is not None
    assert incoming.take({"index": 2, "bytes_b64": "ZCE="}) is None
    assert incoming.bytes_held == 5


# ── chunks that go ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_to_an_old_receiver_the_last_chunk_goes_when_the_others_are_confirmed() -> None:
    going = Outgoing(offered(), None)
    assert going.take(8) == [0, 1]
    assert going.take(8) == []
    going.confirmed(0)
    going.confirmed(1)
    assert not going.all_sent
    assert going.take(8) == [2]
    going.confirmed(2)
    assert going.all_sent
    assert going.bytes_sent == 12


def test_a_receiver_that_reports_is_sent_what_it_lacks_and_no_more_than_it_keeps_up_with() -> None:
    going = Outgoing(offered(1000 * 5, 5), held(0, 1, 5))
    assert going.take(5) == [2, 3, 4, 6, 7]
    assert going.bytes_sent == 15
    rest = going.take(10_000)
    assert len(rest) == outgoing.WINDOW - 5
    assert going.take(1) == []
    going.report(Report(held(0, 1, 2, 3, 4, 5, 6)))
    assert going.take(10_000) == list(range(rest[-1] + 1, rest[-1] + 5))


def test_what_was_lost_is_sent_again_but_not_what_is_still_on_its_way() -> None:
    going = Outgoing(offered(), held())
    assert going.take(8) == [0, 1, 2]
    for index in (0, 1):
        going.confirmed(index)
    going.report(Report(held(1), again=True))
    assert going.take(8) == [0], "the daemon has not taken chunk 2 yet"
    going.confirmed(2)
    going.confirmed(0)
    assert not going.all_sent
    going.report(Report(held(0, 1, 2)))
    assert going.all_sent


def test_a_receiver_cannot_make_a_file_be_sent_for_ever() -> None:
    going = Outgoing(offered(), held())

    def served_for_ever() -> None:
        while True:
            for index in going.take(8):
                going.confirmed(index)
            going.report(Report(held(), again=True))

    with pytest.raises(outgoing.TooOftenError, match="again and again"):
        served_for_ever()


def test_reports_on_the_wire() -> None:
    for sent in (
        outgoing.report_payload(held(0)),
        outgoing.report_payload(held(), again=True),
        outgoing.report_payload(held(0, 1, 2), done=True),
    ):
        read = outgoing.read_report(sent, 3)
        assert read is not None
        assert outgoing.report_payload(read.held, again=read.again, done=read.done) == sent
    for nonsense in (None, 1, {}, {"have": 3}, {"have": [[0, 4]]}, {"error": "x"}):
        assert outgoing.read_report(nonsense, 3) is None


@given(st.data())
def test_whatever_is_lost_or_doubled_on_the_way_the_file_arrives_whole(data: st.DataObject) -> None:
    content = bytes(range(97))
    sent = attrs.evolve(offered(len(content), 7), sha256_b32=sha256_base32(content), resume=True)
    start = data.draw(st.sets(st.integers(0, sent.chunks - 1)))
    incoming, going = Intake(sent, held(*start)), Outgoing(sent, held(*start))
    got = bytearray(len(content))
    for index in start:
        got[index * 7 : index * 7 + 7] = content[index * 7 : index * 7 + 7]
    for turn in range(200):
        if incoming.complete:
            break
        wire = []
        for index in going.take(8):
            going.confirmed(index)
            piece = content[index * 7 : index * 7 + 7]
            wire.append({"index": index, "bytes_b64": base64.b64encode(piece).decode(), "is_final": False})
        fate = data.draw(st.lists(st.integers(0, 2), min_size=len(wire), max_size=len(wire)))
        if turn > 20:  # losses end some day
            fate = [1] * len(wire)
        wire = data.draw(st.permutations([w for w, copies in zip(wire, fate, strict=True) for _ in range(copies)]))
        for payload in wire:
            chunk = incoming.take(payload)
            if chunk is not None:
                got[chunk.offset : chunk.offset + len(chunk.data)] = chunk.data
        going.report(Report(incoming.held, again=not wire or data.draw(st.booleans())))
        if going.all_sent and not incoming.complete:
            going.report(Report(incoming.held, again=True))
    assert incoming.complete
    assert base32(hashlib.sha256(got).digest()) == sent.sha256_b32
    assert going.bytes_sent <= len(content)


@example("AAAA=")
@given(
    st.text(alphabet="AQg+/=- \né", max_size=8)
    | st.binary(max_size=6).map(lambda data: base64.b64encode(data).decode())
)
def test_a_chunk_is_read_as_strictly_as_the_standard_library_does(text: str) -> None:
    try:
        expected = None if len(text) % 4 else base64.b64decode(text, validate=True)  # it would let "AAAA=" pass
    except ValueError:
        expected = None
    length = len(text) // 4 * 3 - text.count("=") if expected is None else len(expected)
    if length <= 0:
        return
    incoming = Intake(offered(length, length))
    payload = {"index": 0, "bytes_b64": text}
    if expected is None:
        with pytest.raises(intake.ChunkError):
            incoming.take(payload)
    else:
        chunk = incoming.take(payload)
        assert chunk is not None
        assert chunk.data == expected
