"""A group of rows to outcomes: a row the embedder refuses is set apart, its neighbours are unharmed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from schemas.errors import ErrorCode, RequestError
from schemas.requests import EmbeddingBody, EncodingFormat

from .errors import EmbedderError, NoAnswerError
from .rows import BadRow, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from schemas.codec import Vectors

    from .embedder import Embed
    from .grouping import Group
    from .options import EmbedOptions

_ROW_CODES: Final = {
    ErrorCode.INVALID_REQUEST,
    ErrorCode.CONTEXT_LENGTH_EXCEEDED,
    ErrorCode.REQUEST_TOO_LARGE,
    ErrorCode.RESPONSE_TOO_LARGE,
}
_ROW_PARAMS: Final = {None, "input"}


@dataclass(frozen=True, slots=True)
class Embedded:
    """A row and its vector, shape `(dim,)`."""

    row: Row
    vector: NDArray[np.float32]


Outcome: TypeAlias = Embedded | BadRow


@dataclass(frozen=True, slots=True)
class GroupResult:
    """What became of a group: an outcome a row, in the group's order."""

    outcomes: tuple[Outcome, ...]
    tokens: int


class Isolation:
    """Embeds groups, one request each, and asks again without the row at fault."""

    def __init__(self, embed: Embed, options: EmbedOptions) -> None:
        self._embed = embed
        self._options = options

    async def embed_group(self, group: Group) -> GroupResult:
        """Outcomes of the group's rows.

        Raises:
            EmbedderError: The fault is the embedder's or the run's, not a row's.
        """
        settled: dict[int, Outcome] = {}
        tokens = 0
        asked: list[list[Row]] = [rows] if (rows := group.rows) else []
        attempt = 0
        while asked:
            rows = asked.pop()
            attempt += 1
            try:
                answer = await self._ask(rows, attempt)
            except RequestError as error:
                if not _is_a_rows_fault(error):
                    raise self._fatal(error) from error
                at_fault = 0 if len(rows) == 1 else error.index
                if at_fault is None or not 0 <= at_fault < len(rows):
                    asked.extend([row] for row in reversed(rows))
                    continue
                bad = rows[at_fault]
                settled[bad.number] = BadRow(bad.number, bad.line, error.message, bad.id, error.code.value)
                if rest := rows[:at_fault] + rows[at_fault + 1 :]:
                    asked.append(rest)
                continue
            except NoAnswerError as error:
                raise self._unanswered(rows, error) from error
            tokens += answer.prompt_tokens
            for row, vector in zip(rows, answer.vectors, strict=True):
                settled[row.number] = Embedded(row, vector)
        outcomes = tuple(settled[item.number] if isinstance(item, Row) else item for item in group.items)
        return GroupResult(outcomes, tokens)

    async def _ask(self, rows: Sequence[Row], attempt: int) -> Vectors:
        body = request_body(self._options, [row.text for row in rows])
        request_id = f"rows-{rows[0].number}-{rows[-1].number}.{attempt}"
        answer = await self._embed(body, request_id)
        if len(answer.vectors) != len(rows):
            raise EmbedderError(f"{request_id} sent {len(rows)} texts and got {len(answer.vectors)} vectors")
        if not np.isfinite(answer.vectors).all():
            raise EmbedderError(f"{request_id}: a vector holds NaN or infinity: look at the worker's log")
        return answer

    def _fatal(self, error: RequestError) -> EmbedderError:
        if not error.kind.ours:
            return EmbedderError(f"the request was refused ({error.code}): {error.message}")
        return EmbedderError(f"the embedder failed ({error.code}): {error.message}{self._resume_hint}")

    def _unanswered(self, rows: Sequence[Row], error: NoAnswerError) -> EmbedderError:
        return NoAnswerError(
            f"{error}, and row {rows[0].number} is the first without one: see the group's lag, the dead letters and "
            f"the workers' log{self._resume_hint}; --give-up-after sets how long to wait"
        )

    @property
    def _resume_hint(self) -> str:
        return "; --resume continues" if self._options.resumable else ""


def request_body(options: EmbedOptions, texts: list[str]) -> EmbeddingBody:
    """The body of one request of this run.

    Raises:
        pydantic.ValidationError: An option is against the contract.
    """
    return EmbeddingBody(
        model=options.model,
        input=texts,
        input_type=options.input_type,
        encoding_format=EncodingFormat.BASE64,
        truncate=options.truncate,
        dimensions=options.dimensions,
    )


def _is_a_rows_fault(error: RequestError) -> bool:
    """Whether another row may fare better: an unknown model or a bad `dimensions` fails all of them."""
    return error.code in _ROW_CODES and error.param in _ROW_PARAMS
