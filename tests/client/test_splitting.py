"""Cutting a request into parts, and telling what the whole one failed with."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from client.splitting import Part, first_error, rebase, split
from schemas.errors import ErrorCode, RequestError


def _error(message: str, index: int | None = None) -> RequestError:
    return RequestError(ErrorCode.INVALID_REQUEST, message, param="input", index=index)


def test_a_request_within_all_bounds_is_one_part() -> None:
    parts = split(["a", "b"], max_inputs=2, max_bytes=2, reply_bytes_per_input=1)

    assert parts == [Part(0, ["a", "b"])]


def test_a_part_is_full_by_its_inputs() -> None:
    parts = split(list("abcde"), max_inputs=2, max_bytes=1000, reply_bytes_per_input=1)

    assert parts == [Part(0, ["a", "b"]), Part(2, ["c", "d"]), Part(4, ["e"])]


def test_a_part_is_full_by_the_bytes_of_its_texts_not_by_their_characters() -> None:
    parts = split(["éé", "é", "a"], max_inputs=10, max_bytes=5, reply_bytes_per_input=1)

    assert parts == [Part(0, ["éé"]), Part(1, ["é", "a"])]


def test_a_part_is_full_by_the_bytes_of_its_reply() -> None:
    parts = split(list("abc"), max_inputs=10, max_bytes=1000, reply_bytes_per_input=500)

    assert parts == [Part(0, ["a", "b"]), Part(2, ["c"])]


def test_token_ids_are_cut_by_input_and_by_what_they_take_in_json() -> None:
    inputs = [[1, 2], [3], [4, 5, 6]]

    assert split(inputs, max_inputs=2, max_bytes=1000, reply_bytes_per_input=1) == [
        Part(0, inputs[:2]),
        Part(2, inputs[2:]),
    ]
    assert split(inputs, max_inputs=9, max_bytes=24, reply_bytes_per_input=1) == [
        Part(0, inputs[:2]),
        Part(2, inputs[2:]),
    ]


def test_an_input_over_every_bound_is_a_part_of_its_own() -> None:
    parts = split(["a", "x" * 100, "b"], max_inputs=10, max_bytes=10, reply_bytes_per_input=1)

    assert parts == [Part(0, ["a"]), Part(1, ["x" * 100]), Part(2, ["b"])]


@given(
    st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=50),
    st.integers(1, 10),
    st.integers(1, 100),
    st.integers(1, 100),
)
def test_parts_hold_every_input_once_in_order_within_the_bounds(
    inputs: list[str], max_inputs: int, max_bytes: int, reply_bytes: int
) -> None:
    parts = split(inputs, max_inputs=max_inputs, max_bytes=max_bytes, reply_bytes_per_input=reply_bytes)

    assert [text for part in parts for text in part.inputs] == inputs
    first_index = 0
    for part in parts:
        assert part.first_index == first_index
        assert 1 <= len(part.inputs) <= max_inputs
        texts_bytes = sum(len(text.encode()) for text in part.inputs)
        assert len(part.inputs) == 1 or max(texts_bytes, len(part.inputs) * reply_bytes) <= max_bytes
        first_index += len(part.inputs)


_PARTS = [Part(0, ["a", "b"]), Part(2, ["c", "d"]), Part(4, ["e"])]


def test_without_a_failure_there_is_no_error() -> None:
    assert first_error(_PARTS, ["result", "result", "result"]) is None


def test_the_error_of_the_lowest_input_wins_and_counts_from_the_first_input_of_the_whole() -> None:
    error = first_error(_PARTS, ["result", _error("input[1] is too long", 1), _error("input[0] is empty", 0)])

    assert isinstance(error, RequestError)
    assert (error.message, error.index, error.param) == ("input[3] is too long", 3, "input")
    assert error.code is ErrorCode.INVALID_REQUEST


def test_an_error_without_an_index_counts_as_its_parts_first_input() -> None:
    whole_part = _error("the model does not exist")

    assert first_error(_PARTS, [_error("input[1] is empty", 1), whole_part, "result"]).index == 1  # type: ignore[union-attr]
    assert first_error(_PARTS, ["result", whole_part, _error("input[0] is empty", 0)]) is whole_part


def test_what_is_no_answer_of_a_worker_comes_before_any_that_is() -> None:
    bug = ZeroDivisionError()

    assert first_error(_PARTS, [_error("input[0] is empty", 0), "result", bug]) is bug


def test_the_error_of_a_request_that_was_not_split_stays_as_it_is() -> None:
    error = _error("input[1] is empty", 1)

    assert first_error(_PARTS[:1], [error]) is error
    assert rebase(error, 0, alone=True) is error
