"""The book of streamed answers: bounds, order, and readers that are gone."""

from __future__ import annotations

from mesh_common.client.errors import ControlError, ErrorKind
from mesh_common.client.frames import StreamChunk, StreamEnd
from mesh_common.client.streams import EARLY_FRAMES, EARLY_SECONDS, FORGOTTEN, StreamBook


class Reader:
    def __init__(self) -> None:
        self.items: list[object] = []
        self.ends: list[ControlError | None] = []
        self.full = False

    def put(self, item: object) -> None:
        self.items.append(item)

    def end(self, error: ControlError | None = None) -> None:
        self.ends.append(error)


def test_chunks_reach_their_reader_until_the_end() -> None:
    book, one, other = StreamBook(), Reader(), Reader()
    book.register("1", one, 0)
    book.register("2", other, 0)
    for frame in (
        StreamChunk("1", "a"),
        StreamChunk("2", "b"),
        StreamEnd("1", None),
        StreamEnd("2", "no handler for 'm'"),
    ):
        book.receive(frame, 0)
    assert (one.items, one.ends) == (["a"], [None])
    assert other.items == ["b"]
    assert [error and error.kind for error in other.ends] == [ErrorKind.NO_HANDLER]


def test_early_frames_wait_a_while_and_not_without_bound() -> None:
    """FE-5.27."""
    book, late, lucky = StreamBook(), Reader(), Reader()
    book.receive(StreamChunk("late", 0), 0)
    for number in range(EARLY_FRAMES):
        book.receive(StreamChunk("lucky", number), EARLY_SECONDS)
    book.register("late", late, EARLY_SECONDS)
    book.register("lucky", lucky, 2 * EARLY_SECONDS)
    assert late.items == []
    assert lucky.items == list(range(EARLY_FRAMES))
    book.receive(StreamChunk("old", 0), 0)
    old = Reader()
    book.register("old", old, EARLY_SECONDS + 0.1)
    assert old.items == []


def test_what_a_reader_gave_up_is_dropped_until_its_end() -> None:
    book, reader = StreamBook(), Reader()
    book.register("1", reader, 0)
    book.release("1")
    book.release("1")
    book.receive(StreamChunk("1", "late"), 0)
    book.receive(StreamEnd("1", None), 0)
    again = Reader()
    book.register("1", again, 0)
    assert (reader.items, again.items, again.ends) == ([], [], [])


def test_streams_that_never_end_are_forgotten_at_last() -> None:
    book = StreamBook()
    for number in range(FORGOTTEN + 1):
        book.register(str(number), Reader(), 0)
        book.release(str(number))
    book.receive(StreamChunk("0", "x"), 0)
    again = Reader()
    book.register("0", again, 0)
    assert again.items == ["x"], "counts as early"


def test_a_lost_connection_ends_them_all() -> None:
    book, reader = StreamBook(), Reader()
    book.register("1", reader, 0)
    lost = ControlError(ErrorKind.CONNECTION_LOST, "lost")
    book.end_all(lost)
    book.end_all(lost)
    assert reader.ends == [lost]
