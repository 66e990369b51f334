"""What callers must know of a model, and how a request is held against it. Pure, and no model is loaded here.

A worker's model card and its beats both tell a `ServedModel`, so the same rules decide for a message on a topic and,
before anything is published, for HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from .errors import ErrorCode, RequestError
from .requests import TOKEN_ARRAY_HINT, EmbeddingType, InputType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .requests import EmbeddingBody, TokenIds

ROLE_SUFFIXES: Final = {"-query": InputType.QUERY, "-passage": InputType.PASSAGE}
"""Behind a served name they stand in for `input_type`. Source: NVIDIA NIM's API reference."""

_BITS: Final = 8


class NamedModel(Protocol):
    """What a request's `model` is looked up in."""

    @property
    def name(self) -> str:
        """Name the model is served under."""

    @property
    def aliases(self) -> Sequence[str]:
        """Other names it answers to, `-query` and `-passage` not counted."""


class ServedModel(NamedModel, Protocol):
    """What is known of a model without loading it."""

    @property
    def dim(self) -> int:
        """Native length of a vector."""

    @property
    def dimensions(self) -> Sequence[int]:
        """Lengths a request may ask for; empty: the native one only."""

    @property
    def asymmetric(self) -> bool:
        """Whether a request must say `query` or `passage`."""

    @property
    def embedding_types(self) -> Sequence[EmbeddingType]:
        """Types of numbers a request may ask for."""

    @property
    def clamp_dimensions(self) -> bool:
        """Whether more `dimensions` than there are get the native length instead of an error."""

    @property
    def vocabulary(self) -> int:
        """Token ids below this are accepted as inputs; 0: no token ids are."""


AnyModel = TypeVar("AnyModel", bound=NamedModel)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a request is to be computed."""

    role: InputType | None
    """Of its inputs; None where the model knows no roles and none was named."""
    dim: int
    """Length of the vectors before their numbers take another type."""
    embedding_type: EmbeddingType


def models_named(name: str, models: Iterable[AnyModel]) -> list[AnyModel]:
    """The models a request's `model` means; a role's suffix counts only when the whole name is no model itself."""
    candidates = list(models)
    exact = [model for model in candidates if _is_named(model, name)]
    return exact or [model for model in candidates if any(_is_named(model, base) for base in _bases(name))]


def plan(body: EmbeddingBody, model: ServedModel) -> Plan:
    """Decide how to compute a request on a model that its name means.

    Raises:
        RequestError: It asks for what this model does not do.
    """
    role = _role(body, model)
    _check_token_ids(body, model)
    if model.asymmetric and role is None:
        raise RequestError(
            ErrorCode.INPUT_TYPE_REQUIRED,
            "'input_type' parameter is required for asymmetric models",  # NIM's own words, which clients match
            param="input_type",
        )
    if body.modality == "image":
        raise RequestError(
            ErrorCode.INVALID_REQUEST, f"model {model.name} takes text: leave 'modality' out", param="modality"
        )
    dim = _dim(body, model)
    return Plan(role, dim, _embedding_type(body, model, dim))


def too_long(tokens: int, limit: int, index: int, *, is_counted: bool = True) -> RequestError:
    """The error of an input over the limit under `truncate: NONE`; both phrases are matched by clients.

    Args:
        tokens: Tokens of the input.
        limit: The model's limit.
        index: Position of the input.
        is_counted: Whether the input has no more tokens than that.
    """
    requested = str(tokens) if is_counted else f"at least {tokens}"
    return RequestError(
        ErrorCode.CONTEXT_LENGTH_EXCEEDED,
        f"This model's maximum context length is {limit} tokens, however you requested {requested} tokens in "
        f"input[{index}]. Input length {tokens} exceeds maximum allowed token size {limit}",
        param="input",
        index=index,
    )


def _is_named(model: NamedModel, name: str) -> bool:
    return name == model.name or name in model.aliases


def _bases(name: str) -> list[str]:
    return [name.removesuffix(suffix) for suffix in ROLE_SUFFIXES if name.endswith(suffix)]


def _role(body: EmbeddingBody, model: ServedModel) -> InputType | None:
    """The role the request names; an explicit field wins over the suffix of the model's name.

    Raises:
        RequestError: Its name means another model.
    """
    if not models_named(body.model, [model]):
        raise RequestError(
            ErrorCode.MODEL_NOT_FOUND,
            f"no model {body.model!r} here: this topic serves {model.name!r}",
            param="model",
        )
    if body.input_type is not None or _is_named(model, body.model):
        return body.input_type
    return next(role for suffix, role in ROLE_SUFFIXES.items() if body.model.endswith(suffix))


def _check_token_ids(body: EmbeddingBody, model: ServedModel) -> None:
    inputs: Sequence[str | TokenIds] = body.inputs
    for index, tokens in enumerate(inputs):
        if isinstance(tokens, str):
            return  # then all are
        if not model.vocabulary:
            raise RequestError(
                ErrorCode.INVALID_REQUEST,
                f"input[{index}] holds token ids; {TOKEN_ARRAY_HINT}",
                param="input",
                index=index,
            )
        largest = max(tokens)
        if largest >= model.vocabulary:
            raise RequestError(
                ErrorCode.INVALID_REQUEST,
                f"input[{index}] holds token id {largest}, the model's vocabulary ends at {model.vocabulary - 1}: "
                "use the model's own tokenizer, or send strings",
                param="input",
                index=index,
            )


def _dim(body: EmbeddingBody, model: ServedModel) -> int:
    wanted = body.dimensions
    if wanted is None or wanted == model.dim or (model.clamp_dimensions and wanted > model.dim):
        return model.dim
    if not model.dimensions:
        raise RequestError(
            ErrorCode.INVALID_REQUEST,
            f"This model does not support 'dimensions', but a value of '{wanted}' was provided.",
            param="dimensions",
        )
    if wanted not in model.dimensions:
        allowed = ", ".join(str(dim) for dim in sorted({*model.dimensions, model.dim}))
        raise RequestError(
            ErrorCode.INVALID_REQUEST, f"'dimensions' must be one of {allowed}, not {wanted}", param="dimensions"
        )
    return wanted


def _embedding_type(body: EmbeddingBody, model: ServedModel, dim: int) -> EmbeddingType:
    kind = body.embedding_type
    if kind not in model.embedding_types:
        allowed = ", ".join(f"'{one}'" for one in model.embedding_types)
        raise RequestError(
            ErrorCode.INVALID_REQUEST,
            f"model {model.name} has no embedding_type '{kind}': use {allowed}",
            param="embedding_type",
        )
    if kind.is_ranged and dim != model.dim:
        raise RequestError(
            ErrorCode.INVALID_REQUEST,
            f"the ranges of embedding_type '{kind}' are those of all {model.dim} dimensions: leave 'dimensions' out",
            param="dimensions",
        )
    if kind.is_packed and dim % _BITS:
        raise RequestError(
            ErrorCode.INVALID_REQUEST,
            f"embedding_type '{kind}' packs {_BITS} dimensions into a number, {dim} is no multiple of it",
            param="embedding_type",
        )
    return kind
