"""A model that computes nothing: fixed vectors, to measure the path from topic to topic by itself."""

from __future__ import annotations

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


class NullTokenizer:
    """Counts four characters a token, with one token at either end."""

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens

    def tokenize(
        self,
        texts: Sequence[str],
        truncations: Sequence[Truncate],
        prefixes: Sequence[int] | None = None,  # noqa: ARG002
    ) -> list[Tokens]:
        """See `interface.Tokenizer`."""
        lengths = [len(text) // _CHARACTERS_PER_TOKEN + 3 for text in texts]
        return [
            Tokens(range(length if truncation is Truncate.NONE else min(length, self._max_tokens)), length)
            for length, truncation in zip(lengths, truncations, strict=True)
        ]


class NullEncoder:
    """Gives every input the same unit vector."""

    limits = Limits(is_padded=False)

    def encode(
        self,
        batch: Sequence[Sequence[int]],
        dims: Sequence[int],  # noqa: ARG002
        unpooled: Sequence[int] = (),  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """See `interface.Encoder`."""
        return np.full((len(batch), DIM), DIM**-0.5, dtype=np.float32)

    def recompute(self, ids: Sequence[int], dim: int, unpooled: int = 0) -> NDArray[np.float32]:  # noqa: ARG002
        """See `interface.Encoder`."""
        return np.full(dim, dim**-0.5, dtype=np.float32)


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
