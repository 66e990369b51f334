"""Cuts a large request into parts that several workers can share, and puts their answers together. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.requests import TokenIds

_TOKEN_ID_BYTES: Final = 8
"""Of a token id in JSON, with its comma: more than vocabularies need."""


class Part(NamedTuple):
    """Consecutive inputs of one request."""

    first_index: int
    inputs: list[str] | list[TokenIds]


def split(
    inputs: Sequence[str] | Sequence[TokenIds], *, max_inputs: int, max_bytes: int, reply_bytes_per_input: int
) -> list[Part]:
    """Cut inputs into parts, in order; a part holds at least one input.

    Args:
        inputs: All of them, at least one.
        max_inputs: Inputs of one part.
        max_bytes: Bound for the texts of a part, and for its reply.
        reply_bytes_per_input: Expected bytes of one vector in a reply.
    """
    parts: list[Part] = []
    current: list[Any] = []
    first_index = size_bytes = 0
    for index, given in enumerate(inputs):
        input_bytes = len(given.encode()) if isinstance(given, str) else len(given) * _TOKEN_ID_BYTES
        full = (
            len(current) >= max_inputs
            or size_bytes + input_bytes > max_bytes
            or (len(current) + 1) * reply_bytes_per_input > max_bytes
        )
        if current and full:
            parts.append(Part(first_index, current))
            current, first_index, size_bytes = [], index, 0
        current.append(given)
        size_bytes += input_bytes
    parts.append(Part(first_index, current))
    return parts


def first_error(parts: Sequence[Part], outcomes: Sequence[object]) -> BaseException | None:
    """What the whole request failed with: the error with the lowest index, rebased on the whole request.

    Args:
        parts: The parts.
        outcomes: What became of each: a result or an exception.
    """
    failures = [
        (part, outcome) for part, outcome in zip(parts, outcomes, strict=True) if isinstance(outcome, BaseException)
    ]
    if not failures:
        return None
    unexpected = next((error for _, error in failures if not isinstance(error, RequestError)), None)
    if unexpected is not None:
        return unexpected
    part, error = min(failures, key=lambda failure: failure[0].first_index + (getattr(failure[1], "index", 0) or 0))
    return rebase(error, part.first_index, alone=len(parts) == 1)


def rebase(error: BaseException, first_index: int, *, alone: bool) -> BaseException:
    """A part's error as the whole request's: its index, also in the message, counted from the first input."""
    if alone or not isinstance(error, RequestError) or error.index is None:
        return error
    index = first_index + error.index
    message = error.message.replace(f"input[{error.index}]", f"input[{index}]")
    return RequestError(ErrorCode(error.code), message, param=error.param, index=index)
