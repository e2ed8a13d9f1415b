"""Payloads of peers as classes: what is taken, and that nothing hostile gets through as something else (FE-9.3)."""

from __future__ import annotations

from typing import Any, Literal

import attrs
import pytest
from attrs import validators
from hypothesis import given
from hypothesis import strategies as st

from myownllm.payloads import PayloadError, structure


@attrs.frozen
class Part:
    name: str = attrs.field(validator=validators.max_len(8))


@attrs.frozen
class Request:
    id: str = attrs.field(validator=validators.matches_re(r"[0-9a-f]{4}\Z"))
    parts: tuple[Part, ...] = attrs.field(validator=validators.max_len(2))
    size: int = attrs.field(default=0, validator=[validators.ge(0), validators.le(9)])
    ratio: float = 0.0
    note: str | None = None
    mode: Literal["a", "b"] = "a"
    more: dict[str, Any] = attrs.field(factory=dict)
    is_final: bool = False


GOOD: dict[str, Any] = {"id": "00ff", "parts": [{"name": "x"}]}


def test_a_payload_becomes_its_class_and_unknown_members_are_ignored() -> None:
    full = {**GOOD, "size": 3, "ratio": 1, "note": None, "mode": "b", "more": {"k": [1]}, "is_final": True, "new": {}}
    assert structure(Request, full) == Request("00ff", (Part("x"),), 3, 1.0, None, "b", {"k": [1]}, True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": 7}, {"id": None}, {"id": "00FF"}, {"id": "00ff\n"}, {"id": "\ud800"}, {"parts": "xy"}, {"parts": {}},
        {"parts": [{"name": "x"}] * 3}, {"parts": ["x"]}, {"parts": [[]]}, {"parts": [{"name": "x" * 9}]},
        {"parts": [{}]}, {"size": -1}, {"size": 10}, {"size": True}, {"size": 1.0}, {"size": "1"}, {"ratio": "1"},
        {"ratio": float("nan")}, {"ratio": float("inf")}, {"note": 1}, {"note": "\udfff"}, {"mode": "c"}, {"mode": []},
        {"more": []}, {"more": None}, {"is_final": 1}, {"is_final": "true"},
    ],
)  # fmt: skip
def test_a_member_that_is_wrong_refuses_the_payload(wrong: dict[str, Any]) -> None:
    with pytest.raises(PayloadError, match=r"\A(Request|Part): |."):
        structure(Request, {**GOOD, **wrong})


@pytest.mark.parametrize("payload", [None, [], "x", 1, True, {}, [GOOD]])
def test_what_is_no_such_object_is_refused(payload: Any) -> None:
    with pytest.raises(PayloadError):
        structure(Request, payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([f.name for f in attrs.fields(Request)]), JSON))
def test_whatever_comes_it_is_the_class_or_a_payload_error(members: dict[str, Any]) -> None:
    try:
        request = structure(Request, {**GOOD, **members})
    except PayloadError:
        return
    assert type(request.size) is int
    assert all(type(p) is Part for p in request.parts)
    assert request.mode in ("a", "b")
