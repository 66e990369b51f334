"""What an exception of torch says about the device: no room now, lost, or nothing."""

from __future__ import annotations

from typing import Final

import torch

from ..errors import DeviceLostError, DeviceMemoryError

_NO_ROOM: Final = ("out of memory", "you tried to allocate", "_STATUS_ALLOC_FAILED")
"""Where torch has no class for it: CUDA's pinned memory, cuBLAS and cuDNN, MPS, and the CPU's allocator."""
_LOST: Final = ("CUDA error", "CUDA driver error", "HIP error", "cuDNN error", "CUBLAS_STATUS_", "CUDNN_STATUS_")


def device_error(error: Exception) -> DeviceMemoryError | DeviceLostError | None:
    """The device's error behind one of torch; None: it is none of the device's.

    After any other error than of memory every later call fails as well: CUDA's errors stay until the process ends.
    Source: the CUDA runtime's `cudaError` on errors that leave "the process in an inconsistent state".
    """
    message = str(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return DeviceMemoryError(message)
    if not isinstance(error, RuntimeError):
        return None
    if any(words in message for words in _NO_ROOM):
        return DeviceMemoryError(message)
    if isinstance(error, torch.AcceleratorError) or any(words in message for words in _LOST):
        return DeviceLostError(f"the device is lost, a new process is needed: {message}")
    return None
