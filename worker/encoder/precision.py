"""Which number format the weights get on a device, and how many padded tokens one batch has room for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch

CPU_BUDGET_TOKENS: Final = 2048
"""Padded tokens of a CPU batch: 1024 to 4096 were equal, 8192 slower (caches); 2 cores of a Xeon."""
GPU_BUDGET_TOKENS: Final = 32_768

_BFLOAT16_GPUS: Final = 8
"""Compute capability from which a GPU computes in bfloat16; older ones emulate it.

Source: CUDA C++ Programming Guide, "Compute Capabilities".
"""
_BFLOAT16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})


def choose_device(wanted: str) -> torch.device:
    """The device asked for; `auto`: the first accelerator, else the CPU."""
    if wanted != "auto":
        return torch.device(wanted)
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")


def choose_dtype(wanted: str, device: torch.device, cpu_flags: frozenset[str] | None = None) -> torch.dtype:
    """The dtype asked for; `auto`: bfloat16 where the device computes in it, float32 elsewhere.

    A CPU without bfloat16 instructions emulates it, a hundred times slower; so its flags are looked at.

    Args:
        wanted: A dtype's name or `auto`.
        device: Where the model runs.
        cpu_flags: The CPU's feature flags; None: this machine's.
    """
    if wanted != "auto":
        dtype: torch.dtype = getattr(torch, wanted)
        return dtype
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= _BFLOAT16_GPUS else torch.float32
    if device.type == "cpu":
        flags = read_cpu_flags() if cpu_flags is None else cpu_flags
        return torch.bfloat16 if flags & _BFLOAT16_FLAGS else torch.float32
    return torch.float32


def read_cpu_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Feature flags of this machine's CPU; empty where the system does not tell."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return frozenset()
    return next((frozenset(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), frozenset())
