"""`schemas/quantization.py`: unit vectors as bytes and bits, by the formulas of sentence-transformers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec, response_sizes
from schemas.quantization import DTYPES, numbers_of, quantize
from schemas.requests import EmbeddingType, EncodingFormat

DIM = 16
RANGES = np.stack([np.full(DIM, -0.5), np.full(DIM, 0.5)]).astype(np.float32)


def unit_rows(seed: int, rows: int = 5) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    vectors = np.random.default_rng(seed).normal(size=(rows, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", list(EmbeddingType))
def test_numbers_have_the_type_the_count_and_the_bytes_they_should(kind: EmbeddingType) -> None:
    numbers = quantize(unit_rows(1), kind, RANGES)
    assert numbers.shape == (5, numbers_of(kind, DIM))
    assert numbers.dtype == DTYPES[kind]


def test_bits_are_the_signs_and_binary_is_ubinary_less_128() -> None:
    vectors = unit_rows(2)
    ubinary = quantize(vectors, EmbeddingType.UBINARY, None)
    assert np.array_equal(np.unpackbits(ubinary, axis=1), vectors > 0)
    assert np.array_equal(quantize(vectors, EmbeddingType.BINARY, None).astype(int), ubinary.astype(int) - 128)


def test_a_byte_is_the_place_within_the_range_and_int8_is_uint8_less_128() -> None:
    vectors = np.array([[-0.5, 0.5, 0.0, -9.0, 9.0, 0.25]], dtype=np.float32)
    ranges = np.broadcast_to(np.array([[-0.5], [0.5]], dtype=np.float32), (2, 6))
    uint8 = quantize(vectors, EmbeddingType.UINT8, ranges)
    assert uint8.tolist() == [[0, 255, 127, 0, 255, 191]]
    assert quantize(vectors, EmbeddingType.INT8, ranges).tolist() == [[-128, 127, -1, -128, 127, 63]]


@given(seed=st.integers(0, 2**16))
def test_the_same_vector_gives_the_same_bytes_whatever_it_came_with(seed: int) -> None:
    vectors = unit_rows(seed)
    for kind in EmbeddingType:
        together = quantize(vectors, kind, RANGES)
        alone = [quantize(vectors[row : row + 1], kind, RANGES)[0] for row in range(len(vectors))]
        assert np.array_equal(together, np.stack(alone))


def test_what_is_not_finite_becomes_no_number() -> None:
    vectors = unit_rows(3)
    vectors[2, 4] = np.nan
    for kind in set(EmbeddingType) - {EmbeddingType.FLOAT}:
        with pytest.raises(ValueError, match="NaN"):
            quantize(vectors, kind, RANGES)


def test_bytes_without_ranges_are_refused() -> None:
    with pytest.raises(ValueError, match="int8 needs ranges"):
        quantize(unit_rows(4), EmbeddingType.INT8, None)


@pytest.mark.parametrize("kind", list(EmbeddingType))
def test_numbers_of_every_type_come_through_a_response(kind: EmbeddingType) -> None:
    numbers = quantize(unit_rows(5), kind, RANGES)
    sent = {"request_id": "a", "model": "m", "prompt_tokens": 3, "vectors": numbers}
    base64 = codec.encode_response(encoding=EncodingFormat.BASE64, **sent)  # type: ignore[arg-type]
    assert np.array_equal(codec.decode_response(base64, kind).vectors, numbers)
    assert codec.decode_response(base64, kind).vectors.dtype == DTYPES[kind]
    plain = codec.encode_response(encoding=EncodingFormat.FLOAT, **sent)  # type: ignore[arg-type]
    rows = [entry["embedding"] for entry in codec.orjson.loads(plain)["data"]]
    assert np.array_equal(np.array(rows, dtype=DTYPES[kind]), numbers)
    for encoding, size in ((EncodingFormat.BASE64, len(base64)), (EncodingFormat.FLOAT, len(plain))):
        assert response_sizes.least_response_bytes(5, DIM, encoding, kind) <= size
        assert size <= response_sizes.response_bytes(5, DIM, encoding, kind)
