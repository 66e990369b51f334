"""Runs texts through a loaded model in batches of any make-up, and holds the vectors against others."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

from schemas.requests import Truncate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from worker.encoder.interface import LoadedModel


def random_batches(count: int, seed: int, most: int = 24) -> list[list[int]]:
    """Every number below `count` once, in batches of 1 to `most` thrown together by chance."""
    chance = random.Random(seed)
    left = list(range(count))
    chance.shuffle(left)
    batches = []
    while left:
        size = chance.randint(1, most)
        batches.append(left[:size])
        left = left[size:]
    return batches


def encode(
    model: LoadedModel, texts: Sequence[str], batches: Sequence[Sequence[int]], dim: int | None = None
) -> NDArray[np.float32]:
    """Vectors of texts cut at the model's limit, shape `(texts, dim)`, computed in these batches."""
    dim = dim or model.card.dim
    tokenized = model.tokenizer.tokenize(texts, [Truncate.END] * len(texts))
    vectors = np.full((len(texts), dim), np.nan, dtype=np.float32)
    for batch in batches:
        computed = model.encoder.encode([tokenized[index].ids for index in batch], [dim] * len(batch))
        vectors[list(batch)] = computed[:, :dim]
    return vectors


def least_cosine(vectors: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Cosine of the two rows that differ most."""
    ours, theirs = vectors.astype(np.float64), others.astype(np.float64)
    cosines = (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    return float(cosines.min())
