"""`worker/request.py`: what is known of one message on its way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ErrorCode, RequestError
from schemas.requests import EncodingFormat
from worker.request import origin_of

from .fakes import an_item, unit_vectors


def test_vectors_stand_in_input_order_whatever_order_they_come_in() -> None:
    item = an_item(["a", "b", "c"])
    vectors = unit_vectors(3)
    done = [item.deliver(index, vectors[index]) for index in (2, 0, 1)]
    assert done == [False, False, True]
    assert item.remaining == 0
    np.testing.assert_array_equal(item.vectors, vectors)
    assert item.vectors.dtype == np.float32


@given(order=st.permutations(range(6)), given_up=st.sets(st.integers(0, 5)))
def test_exactly_the_last_input_completes_the_request(order: list[int], given_up: set[int]) -> None:
    item = an_item([str(index) for index in range(6)])
    vectors = unit_vectors(6)
    done = [item.settle() if index in given_up else item.deliver(index, vectors[index]) for index in order]
    assert done == [False] * 5 + [True]
    for index in set(order) - given_up:
        np.testing.assert_array_equal(item.vectors[index], vectors[index])


def test_a_shorter_vector_is_the_beginning_of_what_is_delivered() -> None:
    item = an_item(["a"], dim=3)
    item.deliver(0, np.array([0.6, 0.8, 0.0, 0.0], dtype=np.float32))
    assert item.vectors.shape == (1, 3)
    np.testing.assert_array_equal(item.vectors[0], np.array([0.6, 0.8, 0.0], dtype=np.float32))


def test_the_first_error_is_kept() -> None:
    item = an_item()
    first, second = RequestError(ErrorCode.TIMEOUT, "first"), RequestError(ErrorCode.INTERNAL_ERROR, "second")
    item.fail(first)
    item.fail(second)
    assert item.error is first


def test_a_message_without_value_is_a_tombstone_without_vectors() -> None:
    item = an_item(tombstone=True)
    assert item.is_tombstone
    assert item.vectors.shape == (0, 0)
    assert item.encoding is EncodingFormat.FLOAT


@pytest.mark.parametrize("encoding", EncodingFormat)
def test_the_encoding_is_the_one_asked_for(encoding: EncodingFormat) -> None:
    assert an_item(encoding_format=encoding.value).encoding is encoding
    assert not an_item().is_tombstone


def test_two_requests_alike_are_two_requests() -> None:
    assert an_item() != an_item()


def test_where_a_request_comes_from_is_told_without_its_text_and_with_no_more_of_a_key_than_fits() -> None:
    item = an_item(["a secret"], key=b"doc-9", partition=3, offset=7)
    place = {"topic": "embedding.requests", "partition": 3, "offset": 7}
    assert origin_of(item) == {"request_id": "r1", "key": "doc-9", **place}
    assert origin_of(an_item(key=b"\xff" + b"k" * 1000))["key"] == "\\xff" + "k" * 127

    unread = an_item()
    unread.request, unread.error = None, RequestError(ErrorCode.INVALID_REQUEST, "no", request_id="r9")
    assert origin_of(unread)["request_id"] == "r9"
    assert origin_of(an_item(tombstone=True))["request_id"] is None
