"""Which devices a command serves on, and what each of several processes on one machine gets of it.

Nothing here imports torch: `auto` asks a short-lived process, so that whoever only starts workers stays small.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from transport.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .settings import WorkerSettings

AUTO: Final = "auto"
_DEVICE: Final = re.compile(r"cpu|mps|(cuda|xpu)(:\d+)?")
_COUNT_CUDA: Final = "import torch; print(torch.cuda.device_count())"
_COUNT_SECONDS: Final = 120.0


def count_cuda_devices() -> int:
    """CUDA devices that torch can use here, by `CUDA_VISIBLE_DEVICES` and the driver. Takes seconds.

    Raises:
        SettingsError: torch does not say.
    """
    command = [sys.executable, "-P", "-c", _COUNT_CUDA]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=_COUNT_SECONDS
        )
        return int(done.stdout.split()[-1])
    except (subprocess.SubprocessError, IndexError, ValueError) as error:
        said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else ""
        why = (said or str(error)).splitlines()[-1]
        raise SettingsError(
            f"torch does not say which devices there are ({why}): name them with --devices"
        ) from error


def resolve_devices(given: Sequence[str], count_cuda: Callable[[], int] = count_cuda_devices) -> list[str]:
    """The devices to serve on, a process each; a device may be named more than once.

    Args:
        given: What the settings name. `auto` alone: every CUDA device, or where there is none what one worker takes
            by itself.
        count_cuda: Asked for `auto` only.

    Raises:
        SettingsError: One of them is not the name of a device.
    """
    if list(given) == [AUTO]:
        return [f"cuda:{index}" for index in range(count_cuda())] or [AUTO]
    for device in given:
        if not _DEVICE.fullmatch(device):
            raise SettingsError(
                f"no device {device!r}: --devices takes auto, or cpu, cuda:0, cuda:1, mps, with commas"
            )
    return list(given)


def on_device(settings: WorkerSettings, device: str) -> WorkerSettings:
    """The settings of a worker on one device."""
    return settings.model_copy(update={"model": settings.model.model_copy(update={"device": device})})


def threads_of_each(processes: int, cores: int | None = None) -> int:
    """CPU threads of each of several encoders on one machine: as `OMP_NUM_THREADS` says, else its share of the cores.

    Args:
        processes: How many there are.
        cores: To share out; None: those that this process may use.
    """
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdigit() and int(said):
        return int(said)
    return max(1, (cores or _usable_cores()) // processes)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
