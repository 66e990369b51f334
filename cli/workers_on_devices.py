"""One worker process a device, started by one command, watched, restarted, and stopped together."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog

from worker.devices import threads_of_each

from .children import Child, parent_pipe, stop_children
from .errors import ChildStopError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from worker.settings import WorkerSettings

log = structlog.get_logger("cli")

_WATCH_SECONDS: Final = 0.1
_BEYOND_DRAIN_SECONDS: Final = 10.0
"""What a worker needs beside its drain: last commits, last beat, leaving its groups."""


def run_on_devices(
    devices: Sequence[str], arguments: Sequence[str], settings: WorkerSettings, stop: threading.Event
) -> None:
    """Run a worker on each device until stopped. Blocks.

    Args:
        devices: Named one by one.
        arguments: Command line of this command; each process gets it, with a device of its own.
        settings: What it comes to.
        stop: Set from outside to make all of them drain and end.

    Raises:
        ChildError: One of them cannot stay alive, or did not stop as told; the others were stopped and have drained.
    """
    threads = settings.model.threads or threads_of_each(len(devices))
    children: list[Child] = []
    with parent_pipe() as pipe:
        try:
            for number, (name, device) in enumerate(zip(_names(devices), devices, strict=True)):
                # The last one given of a flag counts.
                own = [*arguments, "--devices", device, "--threads", str(threads)]
                own += metrics_port_of(settings.metrics_port, number)
                children.append(Child(name, own, pipe, log.warning))
            log.info("workers started", devices=list(devices), threads=threads)
            while not stop.wait(_WATCH_SECONDS):
                now = time.monotonic()
                for child in children:
                    child.revive(now)
        finally:
            unwell = stop_children(children, settings.drain_timeout_seconds + _BEYOND_DRAIN_SECONDS)
    if unwell:
        raise ChildStopError(f"{'; '.join(unwell)}: what was not answered is answered again")


def metrics_port_of(first: int | None, number: int) -> list[str]:
    """Flags that give each of several workers a port of its own: the first one, and those that follow it.

    Args:
        first: The one that is set; 0: any free one, None: none.
        number: Which worker, counted from 0.
    """
    return [] if not first else ["--metrics-port", str(first + number)]


def _names(devices: Sequence[str]) -> Iterator[str]:
    """What each is called; numbered where a device has several."""
    times = Counter(devices)
    seen: Counter[str] = Counter()
    for device in devices:
        seen[device] += 1
        yield f"worker on {device}" if times[device] == 1 else f"worker {seen[device]} on {device}"
