"""What the worker needs of a model: its card, its tokenizer, its encoder. Nothing else is ever asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from schemas.requests import EmbeddingType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from schemas.requests import InputType, Truncate


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model once it is loaded; beats tell it to the rest of the world."""

    name: str
    aliases: tuple[str, ...]
    slug: str
    revision: str
    """Hash of weights, tokenizer, pooling and prompts."""
    dim: int
    """Native length of a vector."""
    dimensions: tuple[int, ...]
    """Lengths a request may ask for; empty: the native one only."""
    max_tokens: int
    """Token limit of one input, special tokens and prefix included."""
    asymmetric: bool
    """Whether a request must say `query` or `passage`."""
    device: str
    dtype: str
    budget_tokens: int
    """Tokens of one batch that suit the device, padding counted where there is any."""
    prefixes: Mapping[InputType | None, str] = field(default_factory=dict)
    """Text put before an input, by its role; None: without one."""
    unpooled: Mapping[str, int] = field(default_factory=dict)
    """By prefix, tokens at an input's front that pooling leaves out; empty: it takes all."""
    embedding_types: tuple[EmbeddingType, ...] = (EmbeddingType.FLOAT,)
    """Types of numbers a request may ask for."""
    ranges: NDArray[np.float32] | None = None
    """Shape `(2, dim)`: lowest and highest value of each dimension, for int8 and uint8."""
    clamp_dimensions: bool = False
    """Whether more `dimensions` than there are get the native length instead of an error."""
    vocabulary: int = 0
    """Token ids below this are accepted as inputs; 0: no token ids are."""


class Tokens(NamedTuple):
    """One input as the model reads it."""

    ids: Sequence[int]
    """Token ids after truncation, special tokens included."""
    length_before: int
    """Tokens before truncation."""
    is_counted: bool = True
    """Whether `length_before` is all of them; of a text far over the limit only a part is read."""


class Tokenizer(Protocol):
    """Text to token ids. Called from several threads at once."""

    def tokenize(
        self, texts: Sequence[str], truncations: Sequence[Truncate], prefixes: Sequence[int] | None = None
    ) -> list[Tokens]:
        """Tokenize texts, prefix already in front.

        Args:
            texts: The inputs.
            truncations: For each text, what happens beyond the model's limit; under `NONE` it is left too long.
            prefixes: For each text, characters of its prefix, which `START` leaves in place; None: no prefixes.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """What an encoder takes at once."""

    slots: int = 1
    """Batches it may be given at once, each from a thread of its own."""
    computing: int = 1
    """How many of them the device computes side by side; one beyond waits on the device, launched ahead."""
    is_padded: bool = True
    """Whether a batch costs as if all its rows were as long as the longest."""


class Encoder(Protocol):
    """Token ids to vectors on one device. Called from several threads at once, as its limits say."""

    limits: Limits

    def encode(
        self, batch: Sequence[Sequence[int]], dims: Sequence[int], unpooled: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        """Compute one batch. Blocks until the vectors are there.

        Args:
            batch: Token ids, one sequence an input.
            dims: Length of each input's vector.
            unpooled: Tokens at each input's front that pooling leaves out; none given: it takes all.

        Returns:
            Shape `(inputs, dim)`, batch order. A row is of unit length over its requested length and 0 beyond it; a
            row that is not finite is NaN.

        Raises:
            DeviceMemoryError: The device has no room for this batch; a smaller one may fit.
            DeviceLostError: The device computes nothing any more.
        """

    def recompute(self, ids: Sequence[int], dim: int, unpooled: int = 0) -> NDArray[np.float32]:
        """One input once more, in float32 throughout, after its vector was not finite; shape `(dim,)`."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to serve."""

    card: ModelCard
    tokenizer: Tokenizer
    encoder: Encoder
