"""Holds a request against the model that is to answer it: its name, role, length of vectors, types.

Pure: the same rules decide for messages on a topic and, through the worker's beats, for HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas.errors import ErrorCode, RequestError
from schemas.requests import InputType

if TYPE_CHECKING:
    from schemas.requests import EmbeddingRequest

    from .encoder.interface import ModelCard

_ROLE_SUFFIXES: Final = {"-query": InputType.QUERY, "-passage": InputType.PASSAGE}


@dataclass(frozen=True, slots=True)
class Plan:
    """How a request is to be computed."""

    prefix: str
    """Text put before each input."""
    dim: int
    """Length of the vectors."""


def plan(request: EmbeddingRequest, card: ModelCard) -> Plan:
    """Decide how to compute a request.

    Raises:
        RequestError: It asks for what this model does not do.
    """
    role = _role(request, card)
    if card.asymmetric and role is None:
        raise RequestError(
            ErrorCode.INPUT_TYPE_REQUIRED,
            "'input_type' parameter is required for asymmetric models: send 'query' or 'passage'",
            param="input_type",
        )
    if request.modality == "image":
        raise RequestError(
            ErrorCode.INVALID_REQUEST, f"model {card.name} takes text: leave 'modality' out", param="modality"
        )
    if request.embedding_type not in (None, "float"):
        raise RequestError(
            ErrorCode.INVALID_REQUEST,
            f"model {card.name} has no embedding_type {request.embedding_type!r}: use 'float'",
            param="embedding_type",
        )
    return Plan(prefix=card.prefixes.get(role, "") if role else "", dim=_dim(request, card))


def _role(request: EmbeddingRequest, card: ModelCard) -> InputType | None:
    """The role the request names; an explicit field wins over the suffix of the model's name.

    Raises:
        RequestError: The model is not the one served here.
    """
    if request.model in card.names:
        return request.input_type
    for suffix, role in _ROLE_SUFFIXES.items():
        if request.model.endswith(suffix) and request.model.removesuffix(suffix) in card.names:
            return request.input_type or role
    raise RequestError(
        ErrorCode.MODEL_NOT_FOUND,
        f"no model {request.model!r} here: this topic serves {card.name!r}",
        param="model",
    )


def _dim(request: EmbeddingRequest, card: ModelCard) -> int:
    wanted = request.dimensions
    if wanted is None or wanted == card.dim:
        return card.dim
    if not card.dimensions:
        raise RequestError(
            ErrorCode.INVALID_REQUEST,
            f"This model does not support 'dimensions', but a value of '{wanted}' was provided.",
            param="dimensions",
        )
    if wanted not in card.dimensions:
        allowed = ", ".join(str(dim) for dim in sorted({*card.dimensions, card.dim}))
        raise RequestError(
            ErrorCode.INVALID_REQUEST, f"'dimensions' must be one of {allowed}, not {wanted}", param="dimensions"
        )
    return wanted


def too_long(tokens: int, limit: int, index: int) -> RequestError:
    """The error of an input over the limit under `truncate: NONE`; both phrases are matched by clients."""
    return RequestError(
        ErrorCode.CONTEXT_LENGTH_EXCEEDED,
        f"This model's maximum context length is {limit} tokens, however you requested {tokens} tokens in "
        f"input[{index}]. Input length {tokens} exceeds maximum allowed token size {limit}",
        param="input",
        index=index,
    )
