"""Large payloads in parts, pieces of text gathered, adverts that fit: pure parts, also against hostile input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myownllm import capabilities
from myownllm.client import blobs
from myownllm.client.blobs import PART_BYTES, SENDER_BLOBS, Blobs, parts, refer
from myownllm.client.pieces import GATHER_BYTES, Gatherer
from myownllm.payloads import PayloadError
from support.examples import examples

if TYPE_CHECKING:
    import random

ID = "0123456789abcdef"


def blob_of(payload: Any) -> tuple[blobs.Reference, list[Any]]:
    data = msgspec.json.encode(payload)
    ref = blobs.reference(refer(ID, data))
    assert ref is not None
    return ref, list(parts(ID, data))


@settings(max_examples=examples(15), deadline=None)
@given(st.integers(0, 4 * PART_BYTES), st.randoms(use_true_random=False))
def test_a_payload_survives_any_order_of_its_parts(size: int, rng: random.Random) -> None:
    """FE-9.49."""
    ref, sent = blob_of("x" * size)
    rng.shuffle(sent)
    held = Blobs()
    for part in sent:
        assert not held.is_complete("a", ref)
        assert held.take("a", part, 0)
        assert not held.take("a", part, 0), "twice counts once"
    assert held.is_complete("a", ref)
    assert not held.is_complete("b", ref), "a blob belongs to its sender"
    assert held.collect("a", ref) == "x" * size
    with pytest.raises(PayloadError, match="large payload incomplete"):
        held.collect("a", ref)


def test_what_is_not_whole_or_not_itself_is_refused() -> None:
    ref, sent = blob_of("y" * 100_000)
    held = Blobs()
    for part in sent[:-1]:
        held.take("a", part, 0)
    with pytest.raises(PayloadError):
        held.collect("a", ref)
    other, _ = blob_of("z" * 100_000)
    for part in sent:
        held.take("a", part, 0)
    with pytest.raises(PayloadError):
        held.collect("a", other)


def test_parts_are_forgotten_after_a_minute() -> None:
    ref, sent = blob_of("y" * 100_000)
    held = Blobs()
    for part in sent[:-1]:
        assert held.take("a", part, 0)
    assert held.take("a", sent[-1], 60)
    assert not held.is_complete("a", ref)


GOOD = {"id": ID, "index": 0, "total": 1, "bytes_b64": "AAAA"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "../../x"}, {"id": ID.upper()}, {"id": 5}, {"index": -1}, {"index": 1}, {"index": True}, {"total": 0},
        {"total": 10**9}, {"bytes_b64": ""}, {"bytes_b64": "AAA"}, {"bytes_b64": "A\nAA"}, {"bytes_b64": "ä" * 4},
        {"bytes_b64": "A" * (PART_BYTES // 3 * 4 + 4)}, {"total": 2}, {"bytes_b64": None},
    ],
)  # fmt: skip
def test_a_part_that_is_none_is_dropped(wrong: dict[str, Any]) -> None:
    held = Blobs()
    assert held.take("a", GOOD, 0)
    assert not Blobs().take("a", {**GOOD, **wrong}, 0)
    assert not held.take("a", wrong, 0)
    assert not held.take("a", [GOOD], 0)


def test_one_device_cannot_keep_the_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """FE-9.49, FE-12.48."""
    sender_most, all_most = 20 * PART_BYTES, 50 * PART_BYTES
    monkeypatch.setattr(blobs, "SENDER_MAX_BYTES", sender_most)
    monkeypatch.setattr(blobs, "ALL_MAX_BYTES", all_most)
    held = Blobs()
    part = {**next(parts(ID, b"\0" * PART_BYTES)), "total": 365}
    taken = 0
    for n in range(40):
        taken += held.take("greedy", {**part, "id": f"{n // 15:016x}", "index": n % 15}, 0)
    assert taken == 20
    tiny = sum(held.take("tiny", {**GOOD, "id": f"{n:016x}"}, 0) for n in range(1000))
    assert tiny <= SENDER_BLOBS + 1
    assert held.take("modest", GOOD, 0)
    everybody = 0
    for who in range(5):
        everybody += sum(held.take(f"s{who}", {**part, "index": n}, 0) for n in range(20))
    assert everybody == 29, "beside the greedy one and a few letters"


@pytest.mark.parametrize(
    "reference", [{}, {"id": ID}, {"id": ID, "size": -1, "sha256_b32": "a" * 52}, [], "x", {"id": ID, "size": 2**40}]
)
def test_a_broken_reference_is_refused(reference: Any) -> None:
    with pytest.raises(PayloadError):
        blobs.reference({"__blob": reference})


@pytest.mark.parametrize("payload", [None, [], {}, {"__blob": 1, "x": 2}, "__blob"])
def test_any_other_payload_is_itself(payload: Any) -> None:
    assert blobs.reference(payload) is None


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ({"stream_id": "00ff", "n": 1}, "00ff"),
        (refer(ID, b"{}", "00ff"), "00ff"),
        (refer(ID, b"{}"), ""),
        ({"__blob": {"stream_id": "00ff"}, "stream_id": "11ee"}, "11ee"),
        ({"__blob": ["stream_id"]}, ""),
        ({"stream_id": 7}, ""),
        ({"stream_id": "x" * 65}, ""),
        (["stream_id"], ""),
    ],
)
def test_a_call_is_known_by_its_name_whether_it_travels_whole_or_in_parts(payload: Any, name: str) -> None:
    """FE-9.7."""
    assert blobs.stream_id_of(payload) == name


# ── text on its way out (FE-9.9) ──────────────────────────────────────────────────────────────────────────────────────


def test_text_waits_thirty_milliseconds_at_most_and_the_first_piece_does_not() -> None:
    g = Gatherer()
    assert g.add({"delta": "a"}, 10.0) == [{"delta": "a"}]
    assert g.deadline == float("inf")
    assert g.add({"delta": "b"}, 10.01) == []
    assert g.add({"delta": "c"}, 10.02) == []
    assert g.deadline == pytest.approx(10.03)
    assert g.due(10.029) == []
    assert g.due(10.03) == [{"delta": "bc"}]
    assert g.flush(10.03) == []


def test_other_kinds_go_behind_what_was_said_before_them() -> None:
    g = Gatherer()
    g.add({"delta": "a"}, 10.0)
    g.add({"delta": "b"}, 10.0)
    assert g.add({"thinking_delta": "t"}, 10.001) == [{"delta": "b"}]
    call = {"tool_call": {"function": {"name": "f"}}}
    assert g.add(call, 10.002) == [{"thinking_delta": "t"}, call]
    assert g.add({"delta": 5}, 10.003) == [{"delta": 5}], "no text is passed as it is"


def test_four_kibibytes_go_at_once() -> None:
    g = Gatherer()
    g.add({"delta": "a"}, 10.0)
    assert g.add({"delta": "b" * GATHER_BYTES}, 10.0) == [{"delta": "b" * GATHER_BYTES}]


@settings(max_examples=examples(30), deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["delta", "thinking_delta", "finish_reason"]), st.text(max_size=3000), st.floats(0, 0.05)
        )
    )
)
def test_nothing_is_lost_or_reordered(given_pieces: list[tuple[str, str, float]]) -> None:
    """FE-9.9."""
    g, now, out = Gatherer(), 0.0, []
    for kind, text, pause in given_pieces:
        now += pause
        out += g.due(now)
        out += g.add({kind: text}, now)
    out += g.flush(now)

    def joined(pieces: list[Any]) -> list[tuple[str, str]]:
        runs: list[tuple[str, str]] = []
        for piece in pieces:
            [(kind, text)] = piece.items()
            if runs and runs[-1][0] == kind and kind != "finish_reason":
                runs[-1] = (kind, runs[-1][1] + text)
            else:
                runs.append((kind, text))
        return runs

    assert joined(out) == joined([{kind: text} for kind, text, _ in given_pieces])


# ── adverts (FE-9.50) ─────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=examples(15), deadline=None)
@given(st.integers(0, 3000))
def test_an_advert_keeps_the_first_models_as_far_as_they_fit(count: int) -> None:
    """FE-9.50."""
    models = [{"tag": f"model-{n}", "family": "f", "mode": "text"} for n in range(count)]
    blob, dropped = capabilities.fitted({**capabilities.unpack(None).told, "llms": models})
    assert blob["llms"] == models[: count - dropped]
    assert len(msgspec.json.encode(blob)) <= capabilities.ADVERT_MAX_BYTES
    assert (dropped == 0) == (len(msgspec.json.encode({**blob, "llms": models})) <= capabilities.ADVERT_MAX_BYTES)
