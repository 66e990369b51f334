"""Which types of numbers a model's vectors can have, and the ranges that int8 and uint8 need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from schemas.requests import EmbeddingType

from ..errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..settings import ModelSettings


def embedding_types(settings: ModelSettings, dim: int) -> tuple[EmbeddingType, ...]:
    """Types of numbers that are served: those of the settings, else all that the model has what it takes for.

    Raises:
        ModelError: A type of the settings lacks its ranges, or does not fit the dimensions.
    """
    has_ranges = settings.embedding_ranges is not None
    possible = [
        kind for kind in EmbeddingType if (has_ranges or not kind.is_ranged) and (dim % 8 == 0 or not kind.is_packed)
    ]
    wanted = possible if settings.embedding_types is None else settings.embedding_types
    if impossible := [kind for kind in wanted if kind not in possible]:
        raise ModelError(
            f"embedding_types: {impossible[0]} "
            + ("needs 'embedding_ranges'" if impossible[0].is_ranged else f"packs 8 dimensions, {dim} is no multiple")
        )
    return tuple(wanted)


def load_ranges(settings: ModelSettings, dim: int) -> NDArray[np.float32] | None:
    """Lowest and highest value of each dimension, shape `(2, dim)`, if the settings say any.

    Raises:
        ModelError: The file cannot be read, or holds something else.
    """
    given = settings.embedding_ranges
    if given is None:
        return None
    try:
        stored = np.load(given, allow_pickle=False) if isinstance(given, Path) else np.array(given)[:, np.newaxis]
        ranges = np.broadcast_to(np.asarray(stored, dtype=np.float32), (2, dim))
    except (OSError, ValueError) as error:
        raise ModelError(f"embedding_ranges {given}: not a .npy file of shape (2, {dim}): {error}") from error
    if not (np.isfinite(ranges).all() and (ranges[0] < ranges[1]).all()):
        raise ModelError("embedding_ranges: the lowest value of each dimension must be below its highest")
    return ranges
