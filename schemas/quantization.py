"""Unit vectors as smaller numbers: one byte a dimension by fixed ranges, or one bit a dimension by sign.

The formulas are sentence-transformers' `quantize_embeddings` (`util/quantization.py`), with ranges that are given
once for a model instead of taken from each batch: vectors of different requests stay comparable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .requests import EmbeddingType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_STEPS: Final = 255
_INT8_SHIFT: Final = 128
_BITS: Final = 8

DTYPES: Final[Mapping[EmbeddingType, np.dtype[Any]]] = {
    EmbeddingType.FLOAT: np.dtype("<f4"),
    EmbeddingType.INT8: np.dtype("i1"),
    EmbeddingType.UINT8: np.dtype("u1"),
    EmbeddingType.BINARY: np.dtype("i1"),
    EmbeddingType.UBINARY: np.dtype("u1"),
}
"""How the numbers of each type lie in memory and in base64."""


def numbers_of(kind: EmbeddingType, dim: int) -> int:
    """How many numbers a vector of `dim` dimensions has."""
    return -(-dim // _BITS) if kind.is_packed else dim


def quantize(vectors: NDArray[np.float32], kind: EmbeddingType, ranges: NDArray[np.float32] | None) -> NDArray[Any]:
    """Vectors with numbers of a type.

    Args:
        vectors: Shape `(inputs, dim)`, unit rows.
        kind: The type.
        ranges: Shape `(2, dim)`: lowest and highest value of each dimension, for int8 and uint8; a value beyond them
            becomes the nearest that there is.

    Returns:
        Shape `(inputs, numbers_of(kind, dim))`, of `DTYPES[kind]`.

    Raises:
        ValueError: A value is not finite, or a type that needs ranges has none.
    """
    if kind is EmbeddingType.FLOAT:
        return vectors
    if not np.isfinite(vectors).all():
        raise ValueError("a vector holds NaN or infinity")
    if kind.is_packed:
        packed = np.packbits(vectors > 0, axis=1)
        return packed if kind is EmbeddingType.UBINARY else _shifted(packed)
    if ranges is None:
        raise ValueError(f"embedding_type {kind} needs ranges")
    lowest, highest = ranges
    steps = np.clip((vectors - lowest) / (highest - lowest) * _STEPS, 0, _STEPS).astype(np.uint8)
    return steps if kind is EmbeddingType.UINT8 else _shifted(steps)


def _shifted(numbers: NDArray[np.uint8]) -> NDArray[np.int8]:
    return (numbers.astype(np.int16) - _INT8_SHIFT).astype(np.int8)
