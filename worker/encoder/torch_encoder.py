"""The encoder on torch: a forward pass, and what turns its vectors into unit vectors of the requested lengths.

The transformer computes in the chosen dtype; pooling and what follows it compute in float32, which keeps the cosine
to a float32 run at 0.9999 where pooling in bfloat16 gives 0.998.

A CPU gets one batch a slot, side by side, each on its share of the cores: the cores of one batch would wait for one
another at every product, and for whoever else uses the machine. A GPU gets a second batch while it computes one.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Protocol

import torch

from ..errors import DeviceLostError
from .device_errors import device_error
from .interface import Limits
from .layout import to_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

_MOST_CPU_SLOTS: Final = 8
"""Python's share of a pass is not done side by side."""
_GPU_SLOTS: Final = 2


class Forward(Protocol):
    """One way to compute a batch. Thread-safe; called in inference mode."""

    is_padded: bool

    def __call__(self, batch: Sequence[Sequence[int]], unpooled: Sequence[int] = ()) -> torch.Tensor:
        """Sentence vectors, shape `(inputs, dim)`, on the device; as `interface.Encoder.encode`."""


class TorchEncoder:
    """See `interface.Encoder`.

    Args:
        forward: Computes batches.
        in_float32: Makes the forward pass that recomputes; called once, when first needed.
        device: Where both compute.
        threads: CPU threads to use, shared out among the slots.
    """

    def __init__(
        self, forward: Forward, in_float32: Callable[[], Forward], device: torch.device, threads: int
    ) -> None:
        self._forward = forward
        self._in_float32 = in_float32
        self._recomputing: Forward | None = None
        self._making = threading.Lock()
        self._device = device
        on_cpu = device.type == "cpu"
        slots = min(threads, _MOST_CPU_SLOTS) if on_cpu else _GPU_SLOTS
        self._threads_of_slot = threads // slots if on_cpu else 1
        self._prepared = threading.local()
        self.limits = Limits(slots, computing=slots if on_cpu else 1, is_padded=forward.is_padded)

    def encode(
        self, batch: Sequence[Sequence[int]], dims: Sequence[int], unpooled: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        """See `interface.Encoder`."""
        self._prepare_thread()
        return self._told_apart(lambda: self._vectors(self._forward, batch, dims, unpooled))

    def recompute(self, ids: Sequence[int], dim: int, unpooled: int = 0) -> NDArray[np.float32]:
        """See `interface.Encoder`."""
        return self._told_apart(lambda: self._vectors(self._float32(), [ids], [dim], [unpooled])[0, :dim])

    def _float32(self) -> Forward:
        with self._making:
            if self._recomputing is None:
                self._recomputing = self._in_float32()
            return self._recomputing

    @staticmethod
    def _told_apart(compute: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """What is computed, or the device's own error in place of torch's."""
        try:
            return compute()
        except Exception as error:
            about_device = device_error(error)
            if about_device is None:
                raise
            if isinstance(about_device, DeviceLostError):
                raise about_device from error
        # Here the error is gone, whose traceback holds the tensors that the next, smaller try needs the room of.
        torch.cuda.empty_cache()
        raise about_device

    def _prepare_thread(self) -> None:
        """torch's number of threads, and its current GPU, belong to the thread that calls it."""
        if not getattr(self._prepared, "done", False):
            torch.set_num_threads(self._threads_of_slot)
            if self._device.type == "cuda":
                torch.cuda.set_device(self._device.index or 0)
            self._prepared.done = True

    @torch.inference_mode()
    def _vectors(
        self, forward: Forward, batch: Sequence[Sequence[int]], dims: Sequence[int], unpooled: Sequence[int]
    ) -> NDArray[np.float32]:
        vectors = unit_vectors(forward(batch, unpooled).float(), dims)
        array: NDArray[np.float32] = _to_host(vectors).numpy()
        return array


def unit_vectors(vectors: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """Cut each row to its length and scale it to unit length; a row that is zero or not finite becomes NaN.

    Args:
        vectors: Shape `(inputs, dim)`, float32.
        dims: Length of each row.

    Returns:
        The same shape, 0 beyond a row's length.
    """
    if any(dim != vectors.shape[1] for dim in dims):
        wanted = to_device(torch.tensor(dims), vectors.device).unsqueeze(1)
        vectors = vectors * (torch.arange(vectors.shape[1], device=vectors.device) < wanted)
    # The largest value first: float32 has no room for the squares of 1e25 or 1e-30.
    vectors = vectors / vectors.abs().amax(dim=1, keepdim=True)
    # A zero vector has become NaN by now, so that one check finds both.
    unit: torch.Tensor = vectors / vectors.norm(dim=1, keepdim=True)
    return unit


def _to_host(vectors: torch.Tensor) -> torch.Tensor:
    """Copy into pinned memory and wait for it without the GIL, so that the next batch can be launched meanwhile."""
    if vectors.device.type != "cuda":
        return vectors.cpu()
    host = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
    host.copy_(vectors, non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    # On the stream that copies: the current one is another device's where nobody chose this one.
    done.record(torch.cuda.current_stream(vectors.device))
    done.synchronize()
    return host
