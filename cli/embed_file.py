"""`kafka-embeddings embed`: wires the file side to a client, and to a stack of its own when no broker is given."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from schemas.requests import InputType, Truncate
from transport.errors import SettingsError
from transport.settings import ProcessSettings
from worker.settings import WorkerSettings

from .embed.command import EmbedSummary, embed_file
from .embed.destination import check_destination
from .embed.formats import InputFormat
from .embed.options import EmbedOptions
from .embed.patience import PatientEmbed
from .embed.progress import open_progress
from .embed.readers.selection import open_reader
from .log import configure_log
from .up.stack import Stack, running_stack
from .up.workers import WorkerCommand, worker_commands

if TYPE_CHECKING:
    from pathlib import Path

    from schemas.codec import Vectors
    from schemas.requests import EmbeddingBody


def run_embed(
    file: Path,
    output: Path,
    *,
    format_name: str | None,
    field: str,
    id_field: str | None,
    errors: Path | None,
    resume: bool,
    force: bool,
    input_type: str | None,
    truncate: str,
    dimensions: int | None,
    give_up_after_seconds: float,
    model_flags: dict[str, str | None],
    kafka_flags: dict[str, Any],
    config: Path | None,
) -> None:
    """Embed the file and say what came of it.

    Raises:
        EmbedError: One line that names the next move; what is done so far is kept for `--resume`.
        SystemExit: 130 after Ctrl-C.
    """
    if not give_up_after_seconds > 0:
        raise SettingsError(f"--give-up-after takes seconds above 0, not {give_up_after_seconds:g}")
    settings = ProcessSettings.build(kafka_flags, config, "embed")
    worker = None if settings.kafka.is_given else _own_worker(model_flags, config)
    options = EmbedOptions(
        input_path=file,
        output_path=output,
        model=worker.name if worker else _served_name(model_flags, config),
        format=_choice(InputFormat, format_name, "--format"),
        field=field,
        id_field=id_field,
        errors_path=errors,
        resume=resume,
        force=force,
        input_type=_choice(InputType, input_type, "--input-type"),
        truncate=_choice(Truncate, truncate, "--truncate") or Truncate.END,
        dimensions=dimensions,
    )
    _refuse_at_once(options)
    configure_log("warning", "auto")
    console = Console(stderr=True, highlight=False)
    try:
        summary = asyncio.run(_embed(options, settings, worker, give_up_after_seconds, console))
    except (asyncio.CancelledError, KeyboardInterrupt):
        hint = "continue with --resume" if options.resumable else "nothing to resume from here"
        sys.stderr.write(f"kafka-embeddings: interrupted: {hint}\n")
        raise SystemExit(130) from None
    _report(summary, options, console)


def _own_worker(model_flags: dict[str, str | None], config: Path | None) -> WorkerCommand:
    [worker] = worker_commands(model_flags, None, config)
    shared = [*(("--config", str(config)) if config else ()), "--log-level", "warning"]
    return replace(worker, flags=[*worker.flags, *shared])


def _served_name(model_flags: dict[str, str | None], config: Path | None) -> str:
    """The name a worker would serve its model under, by the same settings."""
    return WorkerSettings.build({"model": {"name": model_flags["--name"]}}, config, "worker").model.name


def _refuse_at_once(options: EmbedOptions) -> None:
    """Raise what the run would raise of its files, before anybody waits for a model to load. Changes nothing."""
    open_reader(options)
    check_destination(options)


async def _embed(
    options: EmbedOptions,
    settings: ProcessSettings,
    worker: WorkerCommand | None,
    give_up_after_seconds: float,
    console: Console,
) -> EmbedSummary:
    loop = asyncio.get_running_loop()
    running = running_stack(
        settings,
        own_broker=worker is not None,
        workers=[] if worker is None else [worker],
        api_flags=None,
        say=lambda line: console.print(line, style="yellow"),
    )
    async with running as stack:
        embedding = asyncio.ensure_future(
            _embed_over(stack, options, give_up_after_seconds, own_stack=worker is not None, console=console)
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, embedding.cancel)
        return await stack.supervised(embedding)


async def _embed_over(
    stack: Stack, options: EmbedOptions, give_up_after_seconds: float, *, own_stack: bool, console: Console
) -> EmbedSummary:
    waiting = (
        "starting an embedded broker and a worker; loading the model takes about 15 seconds"
        if own_stack
        else f"waiting for a worker on {stack.kafka.bootstrap} (start one with `kafka-embeddings worker`)"
    )
    with console.status(waiting):
        if not console.is_terminal:
            console.print(waiting, soft_wrap=True)
        worker = await stack.client.wait_for_worker(options.model)

    async def embed(body: EmbeddingBody, request_id: str) -> Vectors:
        return await stack.client.embed(body, request_id=request_id, worker=worker)

    progress = open_progress(console)
    async with PatientEmbed(embed, give_up_after_seconds, progress.note) as patient:
        return await embed_file(options, patient, progress)


def _choice(kind: type[Any], given: str | None, flag: str) -> Any:
    if given is None:
        return None
    try:
        return kind(given)
    except ValueError:
        allowed = ", ".join(member.value for member in kind)
        raise SettingsError(f"{flag} takes one of {allowed}, not {given!r}") from None


def _report(summary: EmbedSummary, options: EmbedOptions, console: Console) -> None:
    resumed = f", {summary.resumed:,} of them by an earlier run" if summary.resumed else ""
    console.print(
        f"{summary.embedded:,} embedded{resumed}, {summary.failed:,} failed, {summary.tokens:,} tokens, "
        f"{summary.seconds:.1f} s: {options.output_path}",
        soft_wrap=True,
    )
    if summary.failed:
        console.print(f"rows that failed, each with its reason: {options.errors_file}", soft_wrap=True)
