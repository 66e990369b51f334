"""How large a response gets, before there is one: bounds for what is reserved, and the size that is known already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from .codec import encode_flat, encode_response
from .quantization import DTYPES, numbers_of
from .requests import MAX_ID_BYTES, MAX_MODEL_CHARACTERS, EmbeddingType, EncodingFormat

if TYPE_CHECKING:
    from .json_types import JsonObject

_ENTRY_BYTES: Final = 64
"""What surrounds one vector in JSON: object, index, commas and quotes."""
_LEAST_ENTRY_BYTES: Final = 44
_LEAST_NUMBER_BYTES: Final = 4
"""`0.0`, with its comma."""
_NUMBER_BYTES: Final = 17
"""Longest float32 that orjson writes (`-0.0000063184107`), with its comma."""
_LEAST_BYTE_NUMBER_BYTES: Final = 2
_BYTE_NUMBER_BYTES: Final = 5
"""`-128`, with its comma."""
_ESCAPED_BYTES: Final = 6
"""A control character in JSON, as in `\\u0001`."""
_ENTRY: Final = b'{"object":"embedding","index":,"embedding":}'
_NO_VECTORS: Final = np.empty((0, 0), dtype=np.float32)
_NO_NUMBERS: Final = np.empty((1, 0), dtype=np.float32)
_ENVELOPE_BYTES: Final = 256 + _ESCAPED_BYTES * (MAX_ID_BYTES + MAX_MODEL_CHARACTERS)


def response_bytes(inputs: int, dim: int, encoding: EncodingFormat, kind: EmbeddingType = EmbeddingType.FLOAT) -> int:
    """Upper bound of a response's size, metadata not counted: what is reserved before the work is done."""
    number_bytes = _NUMBER_BYTES if kind is EmbeddingType.FLOAT else _BYTE_NUMBER_BYTES
    return _ENVELOPE_BYTES + inputs * (_vector_bytes(dim, encoding, kind, number_bytes) + _ENTRY_BYTES)


def least_response_bytes(
    inputs: int, dim: int, encoding: EncodingFormat, kind: EmbeddingType = EmbeddingType.FLOAT
) -> int:
    """Lower bound of a response's size: what it takes whatever the vectors, close for base64."""
    number_bytes = _LEAST_NUMBER_BYTES if kind is EmbeddingType.FLOAT else _LEAST_BYTE_NUMBER_BYTES
    return inputs * (_vector_bytes(dim, encoding, kind, number_bytes) + _LEAST_ENTRY_BYTES)


def sized_response_bytes(
    *,
    request_id: str,
    model: str,
    inputs: int,
    dim: int,
    encoding: EncodingFormat,
    kind: EmbeddingType,
    prompt_tokens: int,
    metadata: JsonObject | None = None,
) -> int:
    """Size of what `encode_response` will give, before there are vectors: exact for base64, else a lower bound."""
    frame = encode_response(
        request_id=request_id,
        model=model,
        vectors=_NO_VECTORS,
        encoding=encoding,
        prompt_tokens=prompt_tokens,
        metadata=metadata,
    )
    entries = inputs * (len(_ENTRY) + _sized_vector_bytes(dim, encoding, kind)) + _digits_below(inputs) + inputs - 1
    return len(frame) + entries


def sized_flat_bytes(
    *,
    request_id: str,
    model: str,
    dim: int,
    encoding: EncodingFormat,
    kind: EmbeddingType,
    metadata: JsonObject | None = None,
) -> int:
    """The same for `encode_flat`."""
    frame = encode_flat(
        request_id=request_id,
        model=model,
        vectors=_NO_NUMBERS,
        dim=dim,
        encoding=EncodingFormat.BASE64,
        metadata=metadata,
    )
    return len(frame) - len('""') + _sized_vector_bytes(dim, encoding, kind)


def _sized_vector_bytes(dim: int, encoding: EncodingFormat, kind: EmbeddingType) -> int:
    """With its quotes or brackets."""
    number_bytes = _LEAST_NUMBER_BYTES if kind is EmbeddingType.FLOAT else _LEAST_BYTE_NUMBER_BYTES
    # Of numbers, the last has no comma.
    around = 2 if encoding is EncodingFormat.BASE64 else 1
    return _vector_bytes(dim, encoding, kind, number_bytes) + around


def _digits_below(count: int) -> int:
    """Digits of all numbers from 0 up to `count`, itself left out, together."""
    digits, power = count, 10
    while power < count:
        digits, power = digits + count - power, power * 10
    return digits


def _vector_bytes(dim: int, encoding: EncodingFormat, kind: EmbeddingType, number_bytes: int) -> int:
    numbers = numbers_of(kind, dim)
    if encoding is EncodingFormat.BASE64:
        return 4 * -(-numbers * DTYPES[kind].itemsize // 3)
    return numbers * number_bytes
