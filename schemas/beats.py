"""What a worker says of itself once a second on `<prefix>.workers`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from .requests import EmbeddingType
from .topics import Lane

BEAT_EVERY_SECONDS: Final = 1.0
GONE_AFTER_SECONDS: Final = 5.0
"""A worker silent this long counts as gone."""


class WorkerState(StrEnum):
    """Where a worker is in its life."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class Beat(BaseModel):
    """One sign of life; keyed by worker id, compacted; a tombstone says the worker has left."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    worker_id: str
    model: str
    """Name the model is served under."""
    slug: str = ""
    """Names the model's own topics; empty for the default model."""
    aliases: list[str] = []
    """Other names the worker answers to, `-query` and `-passage` not counted."""
    revision: str = ""
    """Hash of weights, tokenizer, pooling and prompts; empty until loaded."""
    dim: Annotated[int, Field(ge=0)] = 0
    """Native length of a vector."""
    dimensions: list[int] = []
    """Lengths a request may ask for."""
    max_tokens: Annotated[int, Field(ge=0)] = 0
    """Token limit of one input, special tokens and prefix included."""
    asymmetric: bool = False
    """Whether a request must say `query` or `passage`."""
    embedding_types: list[EmbeddingType] = [EmbeddingType.FLOAT]
    """Types of numbers a request may ask for."""
    clamp_dimensions: bool = False
    """Whether more `dimensions` than there are get the native length instead of an error."""
    vocabulary: Annotated[int, Field(ge=0)] = 0
    """Token ids below this are accepted as inputs; 0: no token ids are."""
    lanes: list[Lane] = list(Lane)
    """Lanes whose requests the worker reads."""
    state: WorkerState
    queued_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens read and not yet answered."""
    started_at_ms: int = 0
    """Start of the worker, epoch milliseconds."""
    device: str = ""
    dtype: str = ""

    @property
    def name(self) -> str:
        """The served name, as a model card says it."""
        return self.model
