"""The sample over a stack that runs, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..embed.patience import PatientEmbed
from ..embed.progress import open_progress
from ..sample.report import show_report
from ..sample.run import run_sample

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from schemas.beats import Beat
    from schemas.codec import Vectors
    from schemas.requests import EmbeddingBody

    from .stack import Stack

GIVE_UP_AFTER_SECONDS: Final = 120.0


async def sample_over(
    stack: Stack,
    worker: Beat,
    console: Console,
    *,
    root: Path | None = None,
    give_up_after_seconds: float = GIVE_UP_AFTER_SECONDS,
) -> None:
    """Run the sample and show its report.

    Args:
        stack: What answers.
        worker: A ready worker of the model to use.
        console: Where to show it.
        root: Sources to read; None: the standard library.
        give_up_after_seconds: Without any answer while a worker is ready; what is unanswered then counts as lost.
    """
    progress = open_progress(console)

    async def embed(body: EmbeddingBody, request_id: str) -> Vectors:
        return await stack.client.embed(body, request_id=request_id, worker=worker)

    patient = PatientEmbed(embed, give_up_after_seconds, progress.note, counts=lambda: stack.is_served)
    async with patient:
        report = await run_sample(
            patient, progress, model=worker.model, root=root, repeated=lambda: stack.client.repeated
        )
    show_report(report, console)
    if report.lost:
        console.print(
            f"no answer for {give_up_after_seconds:g} s while a worker was ready: what had none counts as lost",
            style="red",
        )
    if not report.is_complete:
        console.print("the sample is not complete: see the counts above", style="red")
    if report.duplicated:
        console.print("duplicated: answered again, as happens when a worker ends before its last commit")
    if stack.restarts:
        console.print(f"restarts on the way: {stack.restarts}")
