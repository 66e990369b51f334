"""Vectors, and responses that hold them."""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas import codec
from schemas.requests import EncodingFormat


def unit_rows(rows: int, dim: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Shape `(rows, dim)`."""
    vectors = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def response(
    vectors: np.ndarray[Any, Any], encoding: EncodingFormat = EncodingFormat.BASE64, **changed: Any
) -> bytes:
    """A response that holds these vectors."""
    arguments: dict[str, Any] = {"request_id": "a", "model": "m", "prompt_tokens": 3} | changed
    return codec.encode_response(vectors=vectors, encoding=encoding, **arguments)
