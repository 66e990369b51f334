"""`kafka-embeddings worker`: one worker, or one on each of several devices."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from .lifetime import follow_parent, leave_within, stop_on_signal
from .log import configure_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LEAVE_SECONDS: Final = 20.0


def run_worker(flags: dict[str, Any], config: Path | None, arguments: Sequence[str]) -> None:
    """Serve until stopped.

    Args:
        flags: What the command line says, nested as the settings are.
        config: Settings file.
        arguments: The command line itself, for the processes of several devices.

    Raises:
        Exception: What stopped it otherwise; the process must exit non-zero.
    """
    from transport.errors import SettingsError
    from worker.catalogue import build_worker_settings
    from worker.devices import on_device, resolve_devices

    if flags["devices"] and flags["model"]["device"]:
        raise SettingsError("--device is one worker's, --devices are those of several: give one of them")
    settings = build_worker_settings(flags, config)
    configure_log(settings.log_level, settings.log_format)
    devices = resolve_devices([] if flags["model"]["device"] else settings.devices)
    stop = stop_on_signal()
    follow_parent()
    if len(devices) > 1:
        if "group.instance.id" in settings.kafka.librdkafka_options():
            raise SettingsError(
                "group.instance.id names one worker: start a command for each device, each with its own"
            )
        from .workers_on_devices import run_on_devices

        run_on_devices(devices, arguments, settings, stop)
        return
    if settings.model.threads is not None:
        # The tokenizer's own threads, which it makes when it first computes; one a core if nobody says.
        os.environ.setdefault("RAYON_NUM_THREADS", str(settings.model.threads))
    from worker.pipeline import Worker

    try:
        Worker(on_device(settings, devices[0]) if devices else settings, stop).run()
    except Exception:
        leave_within(_LEAVE_SECONDS)
        raise
