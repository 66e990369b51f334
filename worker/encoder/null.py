"""A model that learned nothing: cheap vectors that tell texts apart, to measure and test the path by itself.

An input's first token stands for its whole text, and its vector follows from that token alone. So every answer can be
held to its text, whatever it was batched with.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from schemas.requests import Truncate

from .interface import Limits, LoadedModel, ModelCard, Tokens
from .number_types import embedding_types, load_ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..settings import ModelSettings

DIM: Final = 384
MAX_TOKENS: Final = 256
_BUDGET_TOKENS: Final = 65_536
_CHARACTERS_PER_TOKEN: Final = 4
_BITS: Final = 10
_ROWS: Final = 1 << _BITS
_TABLES: Final = 3
_FIRST_TOKEN_BITS: Final = _BITS * _TABLES
"""Two different texts share a vector once in about 2**30 pairs."""


class NullTokenizer:
    """Counts four characters a token, with one token at either end; the first one is a checksum of the text."""

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens

    def tokenize(
        self,
        texts: Sequence[str],
        truncations: Sequence[Truncate],
        prefixes: Sequence[int] | None = None,  # noqa: ARG002
    ) -> list[Tokens]:
        """See `interface.Tokenizer`."""
        return [self._tokens(text, truncation) for text, truncation in zip(texts, truncations, strict=True)]

    def _tokens(self, text: str, truncation: Truncate) -> Tokens:
        length = len(text) // _CHARACTERS_PER_TOKEN + 3
        kept = length if truncation is Truncate.NONE else min(length, self._max_tokens)
        first = zlib.crc32(text.encode("utf-8", "surrogatepass")) >> (32 - _FIRST_TOKEN_BITS)
        return Tokens(range(first, first + kept), length)


class NullEncoder:
    """Gives an input a unit vector by its first token: numbers of one size, whose signs come from three tables."""

    limits = Limits(is_padded=False)

    def __init__(self) -> None:
        signs = np.random.default_rng(0).integers(0, 2, (_TABLES, _ROWS, DIM), dtype=np.int8)
        self._signs = (2 * signs - 1).astype(np.float32)

    def encode(
        self,
        batch: Sequence[Sequence[int]],
        dims: Sequence[int],  # noqa: ARG002
        unpooled: Sequence[int] = (),  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """See `interface.Encoder`."""
        return self._signs_of([ids[0] for ids in batch]) * np.float32(DIM**-0.5)

    def recompute(self, ids: Sequence[int], dim: int, unpooled: int = 0) -> NDArray[np.float32]:  # noqa: ARG002
        """See `interface.Encoder`."""
        vector: NDArray[np.float32] = self._signs_of([ids[0]])[0, :dim] * np.float32(dim**-0.5)
        return vector

    def _signs_of(self, first_tokens: Sequence[int]) -> NDArray[np.float32]:
        """Shape `(inputs, DIM)`, of 1 and -1."""
        tokens = np.asarray(first_tokens, dtype=np.int64)
        signs: NDArray[np.float32] = self._signs[0][tokens % _ROWS]
        for table in range(1, _TABLES):
            signs *= self._signs[table][(tokens >> (_BITS * table)) % _ROWS]
        return signs


def load_null(settings: ModelSettings) -> LoadedModel:
    """The null model under the served name that the settings give."""
    max_tokens = settings.max_tokens or MAX_TOKENS
    card = ModelCard(
        name=settings.name,
        aliases=tuple(settings.aliases),
        slug=settings.slug,
        revision="null",
        dim=DIM,
        dimensions=(),
        max_tokens=max_tokens,
        asymmetric=settings.asymmetric,
        device="none",
        dtype="float32",
        budget_tokens=_BUDGET_TOKENS,
        embedding_types=embedding_types(settings, DIM),
        ranges=load_ranges(settings, DIM),
        clamp_dimensions=settings.clamp_dimensions,
    )
    return LoadedModel(card, NullTokenizer(max_tokens), NullEncoder())
