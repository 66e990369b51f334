from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rich.console import Console

from cli.embed.errors import NoAnswerError
from cli.sample.report import SampleReport, show_report
from cli.sample.run import MAX_TASKS, run_sample
from schemas.codec import Vectors
from schemas.errors import ErrorCode, RequestError
from schemas.requests import EmbeddingBody, InputType, Truncate

from ..embed.fakes import MODEL, FakeEmbed, SilentProgress, vector_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    functions = "".join(f'def f{n}(): "text {n}"\n' for n in range(600))
    (tmp_path / "mod.py").write_text(f'"the module"\n{functions}')
    return tmp_path


def sample(embed: object, root: Path, question: str = "a question") -> tuple[SampleReport, SilentProgress]:
    progress = SilentProgress()
    running = run_sample(embed, progress, question, model=MODEL, root=root)  # type: ignore[arg-type]
    return asyncio.run(asyncio.wait_for(running, 60)), progress


def test_every_docstring_is_sent_once_and_the_nearest_are_found(sources: Path) -> None:
    embed = FakeEmbed()
    report, progress = sample(embed, sources, "text 77")
    assert (report.sent, report.received, report.errors, report.lost, report.duplicated) == (601, 601, 0, 0, 0)
    assert report.is_complete
    assert len(set(embed.request_ids)) == len(embed.request_ids) == 602
    assert {body.truncate for body in embed.bodies} == {Truncate.END}
    assert embed.bodies[0].input_type is InputType.PASSAGE
    assert embed.bodies[-1].input_type is InputType.QUERY
    assert embed.most_in_flight <= MAX_TASKS
    assert report.nearest[0].name == "mod.f77"
    assert report.nearest[0].cosine == pytest.approx(1.0)
    cosines = [near.cosine for near in report.nearest]
    assert cosines == sorted(cosines, reverse=True)
    assert len(cosines) == 3
    assert (progress.done, progress.total, progress.tokens, progress.finished) == (601, 601, 1202, True)


def test_the_books_count_errors_losses_and_duplicates(sources: Path) -> None:
    async def embed(body: EmbeddingBody, request_id: str) -> Vectors:
        text = body.inputs[0]
        if text == "text 1":
            raise RequestError(ErrorCode.TIMEOUT, "late")
        count = {"text 2": 0, "text 3": 2}.get(text, 1)
        return Vectors(np.stack([vector_of(text)] * 2)[:count], 1)

    report, progress = sample(embed, sources)
    assert (report.sent, report.received, report.errors, report.lost, report.duplicated) == (601, 599, 1, 1, 1)
    assert report.error_codes == {"timeout": 1}
    assert not report.is_complete
    assert progress.failed == 1


def test_what_the_embedder_gives_up_waiting_for_is_lost_and_no_more_is_sent(sources: Path) -> None:
    functions = "".join(f'def g{n}(): "more {n}"\n' for n in range(2 * MAX_TASKS))
    (sources / "more.py").write_text(functions)
    gave_up = asyncio.Event()
    asked = 0

    async def embed(body: EmbeddingBody, request_id: str) -> Vectors:
        nonlocal asked
        if request_id == "question":
            return Vectors(np.stack([vector_of("question")]), 1)
        asked += 1
        if asked <= 10:
            return Vectors(np.stack([vector_of(body.inputs[0])]), 1)
        if asked == MAX_TASKS + 10:
            gave_up.set()
        await gave_up.wait()
        raise NoAnswerError("no answer for 120 s")

    report, progress = sample(embed, sources)
    assert (report.sent, report.received, report.errors, report.lost) == (MAX_TASKS + 10, 10, 0, MAX_TASKS)
    assert not report.is_complete
    assert len(report.nearest) == 3
    assert progress.finished


def test_answers_to_what_was_answered_already_are_duplicates_and_the_run_is_complete(sources: Path) -> None:
    repeated = 7
    embed = FakeEmbed()

    async def doubling(body: EmbeddingBody, request_id: str) -> Vectors:
        nonlocal repeated
        repeated += body.inputs[0] in ("text 1", "text 2", "a question")
        return await embed(body, request_id)

    running = run_sample(
        doubling, SilentProgress(), "a question", model=MODEL, root=sources, repeated=lambda: repeated
    )
    report = asyncio.run(running)
    assert (report.received, report.lost, report.duplicated) == (601, 0, 3)
    assert report.is_complete


def test_a_run_that_gets_nothing_back_still_reports(sources: Path) -> None:
    report, _ = sample(FakeEmbed(fail_after=0), sources)
    assert (report.sent, report.errors, report.nearest) == (601, 601, ())
    assert report.error_codes == {"unavailable": 601}


def test_the_report_is_plain_lines_off_a_terminal(sources: Path) -> None:
    report, _ = sample(FakeEmbed(), sources, "text 77")
    shown = io.StringIO()
    show_report(report, Console(file=shown, width=40))
    lines = shown.getvalue().splitlines()
    assert lines[0] == "601 docstrings sent, 601 embeddings received, 0 errors, 0 lost, 0 duplicated"
    assert lines[2] == 'nearest to "text 77":'
    assert lines[3] == "  1.000  mod.f77  text 77"
    assert len(lines) == 6
