"""The life of `up`: check the port, start everything, run the sample if asked, serve until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from api.settings import ApiSettings
from transport.listening import bind

from ..log import configure_log
from .banner import how_to_use, what_runs
from .sampling import sample_over
from .stack import Stack, running_stack
from .workers import WorkerCommand, worker_commands

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What `up` was asked to do."""

    host: str | None
    port: int | None
    sample: bool
    bootstrap: str | None
    """None: an embedded broker of our own."""
    models: Path | None
    """Catalogue of the models to serve; None: the one model of the flags."""
    model_flags: dict[str, str | None]
    shared_flags: list[str]
    api_flags: dict[str, Any]
    config: Path | None


def run_up(options: UpOptions) -> int:
    """Run until Ctrl-C. Blocks.

    Returns:
        Exit status: 0 after Ctrl-C or SIGTERM.

    Raises:
        SettingsError: The port is taken, or settings do not fit; nothing was started.
        ChildError: A worker or the API cannot stay alive.
    """
    settings = ApiSettings.build(options.api_flags, options.config, "api")
    workers = worker_commands(options.model_flags, options.models, options.config)
    configure_log(settings.log_level, settings.log_format)
    # Bound and let go: the API binds it again, but who starts `up` twice learns it before a model is loaded.
    listening = bind(settings.host, settings.port)
    port = listening.getsockname()[1]
    listening.close()
    console = Console(stderr=True, highlight=False)
    asyncio.run(_up(options, settings, workers, port, console))
    return 0


async def _up(
    options: UpOptions, settings: ApiSettings, workers: list[WorkerCommand], port: int, console: Console
) -> None:
    loop = asyncio.get_running_loop()
    running = running_stack(
        settings,
        own_broker=not settings.kafka.is_given,
        workers=[replace(worker, flags=[*worker.flags, *options.shared_flags]) for worker in workers],
        api_flags=["--host", settings.host, "--port", str(port), *_auth(settings), *options.shared_flags],
        say=lambda line: console.print(line, style="yellow"),
    )
    async with running as stack:
        serving = asyncio.ensure_future(_serve(options, settings, workers, port, stack, console))
        with contextlib.suppress(asyncio.CancelledError):
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, serving.cancel)
            await stack.supervised(serving)
        console.print("stopping")


def _auth(settings: ApiSettings) -> list[str]:
    return [] if settings.auth_file is None else ["--auth", str(settings.auth_file)]


async def _serve(
    options: UpOptions,
    settings: ApiSettings,
    workers: list[WorkerCommand],
    port: int,
    stack: Stack,
    console: Console,
) -> None:
    url = f"http://[{settings.host}]:{port}" if ":" in settings.host else f"http://{settings.host}:{port}"
    with console.status("starting broker, worker and API; loading the model takes about 15 seconds"):
        started_at = time.monotonic()
        ready = [await stack.client.wait_for_worker(worker.name, is_coming=True) for worker in workers]
        await _until_api_is_ready(settings.host, port)
    for line in what_runs(stack, ready, url, time.monotonic() - started_at):
        console.print(line, soft_wrap=True)
    if options.sample:
        await sample_over(stack, ready[0], console)
    for line in how_to_use(stack, ready[0], url):
        console.print(line, soft_wrap=True, markup=False)
    await asyncio.Event().wait()


async def _until_api_is_ready(host: str, port: int) -> None:
    """Wait until the API too has heard of a worker; for ever, since the supervisor ends what cannot stay alive."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /v1/health/ready HTTP/1.0\r\n\r\n")
            status_line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            if b" 200 " in status_line:
                return
        await asyncio.sleep(0.05)
