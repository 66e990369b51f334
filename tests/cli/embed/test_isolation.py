from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.embed.errors import EmbedderError, NoAnswerError
from cli.embed.formats import STANDARD
from cli.embed.grouping import Group
from cli.embed.isolation import Embedded, GroupResult, Isolation
from cli.embed.rows import BadRow, Row
from schemas.codec import Vectors
from schemas.errors import ErrorCode, RequestError

from .fakes import FakeEmbed, options, vector_of

OPTIONS = options(STANDARD, STANDARD)


def group(*texts: str | None) -> Group:
    """A row a text, a bad row where there is none."""
    return Group(
        tuple(
            BadRow(n, n, "bad") if text is None else Row(n, n, f"id{n}", text, {}, len(text))
            for n, text in enumerate(texts, start=5)
        )
    )


def embed(given_group: Group, fake: FakeEmbed) -> GroupResult:
    return asyncio.run(Isolation(fake, OPTIONS).embed_group(given_group))


@given(
    texts=st.lists(st.sampled_from(["BAD", "good", "other", None]), min_size=1, max_size=12),
    with_index=st.booleans(),
)
def test_every_row_has_its_own_outcome_in_order(texts: list[str | None], with_index: bool) -> None:
    result = embed(group(*texts), FakeEmbed(refuse="BAD", refuse_with_index=with_index))
    assert len(result.outcomes) == len(texts)
    for number, (text, outcome) in enumerate(zip(texts, result.outcomes, strict=True), start=5):
        if text in (None, "BAD"):
            assert isinstance(outcome, BadRow)
            assert outcome.number == number
            assert outcome.code == ("unreadable_row" if text is None else "context_length_exceeded")
        else:
            assert isinstance(outcome, Embedded)
            assert outcome.row.number == number
            assert np.array_equal(outcome.vector, vector_of(str(text)))
    assert result.tokens == sum(text in ("good", "other") for text in texts)


def test_one_bad_row_costs_one_more_request() -> None:
    fake = FakeEmbed(refuse="BAD")
    embed(group("a", "BAD", "c"), fake)
    assert [body.inputs for body in fake.bodies] == [["a", "BAD", "c"], ["a", "c"]]
    assert len(set(fake.request_ids)) == 2


def test_an_error_without_index_is_found_one_row_a_request() -> None:
    fake = FakeEmbed(refuse="BAD", refuse_with_index=False)
    embed(group("a", "BAD", "c"), fake)
    assert [body.inputs for body in fake.bodies] == [["a", "BAD", "c"], ["a"], ["BAD"], ["c"]]


def test_a_group_of_bad_rows_sends_nothing() -> None:
    fake = FakeEmbed()
    assert len(embed(group(None, None), fake).outcomes) == 2
    assert fake.bodies == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RequestError(ErrorCode.UNAVAILABLE, "away"), "the embedder failed"),
        (RequestError(ErrorCode.TIMEOUT, "late", index=0), "the embedder failed"),
        (RequestError(ErrorCode.MODEL_NOT_FOUND, "no such model"), "the request was refused"),
        (RequestError(ErrorCode.INVALID_REQUEST, "bad dimensions", param="dimensions"), "was refused"),
        (RequestError(ErrorCode.INPUT_TYPE_REQUIRED, "say --input-type"), "was refused"),
    ],
)
def test_a_fault_that_no_row_has_stops_the_run(error: RequestError, says: str) -> None:
    async def failing(body: object, request_id: str) -> Vectors:
        raise error

    with pytest.raises(EmbedderError, match=says) as caught:
        asyncio.run(Isolation(failing, OPTIONS).embed_group(group("a", "b")))
    assert caught.value.__cause__ is error
    assert "--resume" not in str(caught.value)  # standard input cannot be resumed


def test_rows_without_an_answer_stop_the_run_and_the_first_of_them_is_named(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.touch()

    async def silent(body: object, request_id: str) -> Vectors:
        raise NoAnswerError("no answer for 600 s")

    with pytest.raises(EmbedderError, match=r"^no answer for 600 s, and row 5 is the first .*; --resume continues"):
        asyncio.run(Isolation(silent, options(source, tmp_path / "out.jsonl")).embed_group(group("a", "b")))


def test_an_index_out_of_range_is_no_index() -> None:
    calls: list[list[str]] = []

    async def off_by_far(body: object, request_id: str) -> Vectors:
        inputs: list[str] = body.inputs  # type: ignore[attr-defined]
        calls.append(inputs)
        raise RequestError(ErrorCode.INVALID_REQUEST, "bad", index=99)

    result = asyncio.run(Isolation(off_by_far, OPTIONS).embed_group(group("a", "b")))
    assert calls == [["a", "b"], ["a"], ["b"]]
    assert all(isinstance(outcome, BadRow) for outcome in result.outcomes)


def test_an_answer_with_another_number_of_vectors_stops_the_run() -> None:
    async def short(body: object, request_id: str) -> Vectors:
        return Vectors(np.ones((1, 2), np.float32), 1)

    with pytest.raises(EmbedderError, match="sent 2 texts and got 1 vectors"):
        asyncio.run(Isolation(short, options(Path("in.txt"), STANDARD)).embed_group(group("a", "b")))
