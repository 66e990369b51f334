"""`kafka-embeddings worker`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .lifetime import follow_parent, stop_on_signal
from .log import configure_log

if TYPE_CHECKING:
    from pathlib import Path


def run_worker(flags: dict[str, Any], config: Path | None) -> None:
    """Serve until stopped.

    Raises:
        Exception: What stopped it otherwise; the process must exit non-zero.
    """
    from worker.catalogue import build_worker_settings
    from worker.pipeline import Worker

    settings = build_worker_settings(flags, config)
    configure_log(settings.log_level, settings.log_format)
    stop = stop_on_signal()
    follow_parent()
    Worker(settings, stop).run()
