"""How long a process lives: until a signal, or until the process that started it is gone."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from typing import Final

PARENT_PIPE: Final = "KAFKA_EMBEDDINGS_PARENT_PIPE"
"""Names the descriptor that a supervising parent holds the other end of."""


def stop_on_signal() -> threading.Event:
    """An event set by the first SIGTERM or SIGINT; the second one exits at once, without draining."""
    stop = threading.Event()

    def received(number: int, _: object) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, received)
    return stop


def leave_within(seconds: float) -> None:
    """End with 1 at the latest after so long, showing where every thread is, although something at exit hangs.

    A device that does not answer also holds up the driver's own clean-up. No thread of Python is needed for it.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)


def follow_parent() -> None:
    """Stop like by SIGTERM when the parent is gone: its end of the pipe closes, however it died."""
    descriptor = os.environ.pop(PARENT_PIPE, None)
    if descriptor is None:
        return

    def watch() -> None:
        while os.read(int(descriptor), 1):
            pass
        sys.stderr.write("kafka-embeddings: the process that started this one is gone, stopping\n")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="follow-parent", daemon=True).start()
