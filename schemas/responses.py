"""What comes back: the HTTP body and the message on a response topic."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .errors import ErrorBody


class _Response(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Embedding(_Response):
    """The vector of one input."""

    object: Literal["embedding"] = "embedding"
    index: Annotated[int, Field(ge=0)]
    """Position of the input in the request."""
    embedding: list[float] | str
    """The vector, unit length: numbers, or base64 of them (little-endian float32, or bytes)."""


class Usage(_Response):
    """What the request cost, in tokens of the model, prefixes and special tokens included."""

    prompt_tokens: Annotated[int, Field(ge=0)]
    """Tokens of all inputs."""
    total_tokens: Annotated[int, Field(ge=0)]
    """Always equal to `prompt_tokens`."""


class EmbeddingList(_Response):
    """The body of a 200 from `POST /v1/embeddings`."""

    object: Literal["list"] = "list"
    data: Annotated[list[Embedding], Field(min_length=1)]
    """One entry an input, in input order."""
    model: str
    """The model's name as the request gave it."""
    usage: Usage


class EmbeddingResponse(EmbeddingList):
    """The value of a message on `<prefix>.responses` and `<prefix>.replies`, when all went well."""

    id: str
    """The request's id, which is also the message's key."""
    metadata: dict[str, Any] | None = None
    """The request's metadata, untouched."""


class ErrorResponse(_Response):
    """The value of a message on `<prefix>.responses` and `<prefix>.replies`, when it did not."""

    id: str
    """The request's id, which is also the message's key."""
    error: ErrorBody
    metadata: dict[str, Any] | None = None
    """The request's metadata, untouched."""


class FlatResponse(BaseModel):
    """The value of a message on a destination with the `flat` profile, for sink connectors.

    The request's metadata are fields of their own beside these; on a clash these win.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, extra="allow")

    id: str
    embedding: list[float] | str
    model: str
    dimensions: int
    """Length of the vector."""
