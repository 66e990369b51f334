"""What a process of this machine has used, as the kernel counts it. Linux only."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Final, Self

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_EVERY_SECONDS: Final = 0.05


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all its threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mebibytes(pid: int) -> float:
    """Memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES / 2**20


class MemoryLog:
    """Memory of a process as time goes by; use as a context manager around what is watched."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self._seen: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._watch, name="memory-log", daemon=True)

    def tenth(self, number: int) -> float:
        """Mean over one tenth of the time watched, 0 the first, 9 the last."""
        begin, length = self._seen[0][0], self._seen[-1][0] - self._seen[0][0]
        places = ((min(9, int(10 * (at - begin) / length)) if length else 0, held) for at, held in self._seen)
        held = [held for place, held in places if place == number] or [self._seen[-1][1]]
        return sum(held) / len(held)

    def _watch(self) -> None:
        while True:
            self._seen.append((time.monotonic(), resident_mebibytes(self._pid)))
            if self._stop.wait(_EVERY_SECONDS):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
