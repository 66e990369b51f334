"""`schemas/response_sizes.py`: how large a response gets, before there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from schemas import codec, response_sizes
from schemas.quantization import DTYPES, numbers_of
from schemas.requests import MAX_ID_BYTES, MAX_MODEL_CHARACTERS, EmbeddingType, EncodingFormat

from .encoded import response, unit_rows

FLOATS32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
# A busy machine is no failure.
any_example = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])

LONGEST = {"request_id": "\x01" * MAX_ID_BYTES, "model": "\x01" * MAX_MODEL_CHARACTERS, "prompt_tokens": 2**63}


@pytest.mark.parametrize("encoding", EncodingFormat)
@any_example
@given(vectors=arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=FLOATS32))
def test_no_response_is_larger_than_its_bound(
    encoding: EncodingFormat, vectors: np.ndarray[Any, np.dtype[np.float32]]
) -> None:
    rows, dim = vectors.shape
    assert len(response(vectors, encoding, **LONGEST)) <= response_sizes.response_bytes(rows, dim, encoding)


@pytest.mark.parametrize("encoding", EncodingFormat)
@pytest.mark.parametrize("number", [-6.3184107e-06, -6058091000000.0, -1.17549435e-38, -1e-45, 3.4028235e38, -0.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 384), (2048, 3), (7, 1024)])
def test_not_even_the_longest_numbers_exceed_the_bound(
    number: float, encoding: EncodingFormat, shape: tuple[int, int]
) -> None:
    vectors = np.full(shape, number, dtype=np.float32)
    assert len(response(vectors, encoding, **LONGEST)) <= response_sizes.response_bytes(*shape, encoding)


def test_no_float32_is_written_longer_than_the_bound_counts() -> None:
    random = np.random.default_rng(1)
    bits = random.integers(0, 2**32, 300_000, dtype=np.uint32).view(np.float32)
    awkward = -(10 ** random.uniform(-7, -4, 300_000)).astype(np.float32)
    large = -(10 ** random.uniform(8, 17, 300_000)).astype(np.float32)
    numbers = np.concatenate([bits[np.isfinite(bits)], awkward, large])
    written = orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    assert max(map(len, written)) + 1 <= response_sizes._NUMBER_BYTES


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5, 383, 384, 1024])
def test_the_bound_of_base64_is_close(dim: int) -> None:
    size = len(response(unit_rows(100, dim)))
    assert (
        size
        <= response_sizes.response_bytes(100, dim, EncodingFormat.BASE64)
        <= size + response_sizes._ENVELOPE_BYTES + 100 * 20
    )


@pytest.mark.parametrize("encoding", EncodingFormat)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 384), (2048, 1), (2048, 3)])
def test_no_response_is_smaller_than_its_least_size(shape: tuple[int, int], encoding: EncodingFormat) -> None:
    shortest = response(np.zeros(shape, dtype=np.float32), encoding, prompt_tokens=0)
    assert len(shortest) >= response_sizes.least_response_bytes(*shape, encoding)


@pytest.mark.parametrize("shape", [(1, 384), (100, 1024)])
def test_the_least_size_of_base64_is_close(shape: tuple[int, int]) -> None:
    exact = len(response(unit_rows(*shape)))
    assert exact - 256 - 10 * shape[0] <= response_sizes.least_response_bytes(*shape, EncodingFormat.BASE64) <= exact


SIZED = {"request_id": "r\u00e9", "model": "m", "prompt_tokens": 4711, "metadata": {"a": [1.5, "\u0001"]}}


@pytest.mark.parametrize("encoding", EncodingFormat)
@pytest.mark.parametrize("kind", EmbeddingType)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (9, 3), (10, 8), (11, 9), (101, 384), (1001, 4), (2048, 1)])
def test_the_size_told_before_there_are_vectors_is_exact_for_base64_and_no_more_than_numbers_take(
    shape: tuple[int, int], kind: EmbeddingType, encoding: EncodingFormat
) -> None:
    inputs, dim = shape
    vectors = np.zeros((inputs, numbers_of(kind, dim)), dtype=DTYPES[kind])
    told = response_sizes.sized_response_bytes(inputs=inputs, dim=dim, encoding=encoding, kind=kind, **SIZED)
    written = len(codec.encode_response(vectors=vectors, encoding=encoding, **SIZED))
    assert told == written if encoding is EncodingFormat.BASE64 else told <= written <= told + 1


@pytest.mark.parametrize("encoding", EncodingFormat)
@pytest.mark.parametrize("kind", EmbeddingType)
@pytest.mark.parametrize("dim", [1, 2, 3, 384])
def test_the_same_holds_for_a_flat_response(dim: int, kind: EmbeddingType, encoding: EncodingFormat) -> None:
    vectors = np.zeros((1, numbers_of(kind, dim)), dtype=DTYPES[kind])
    known: dict[str, Any] = {"request_id": "r", "model": "m", "dim": dim, "encoding": encoding, "metadata": {"é": 1}}
    told = response_sizes.sized_flat_bytes(kind=kind, **known)
    written = len(codec.encode_flat(vectors=vectors, **known))
    assert told == written if encoding is EncodingFormat.BASE64 else told <= written <= told + 1
