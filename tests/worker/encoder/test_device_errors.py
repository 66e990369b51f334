"""`worker/encoder/device_errors.py`: what torch's exceptions say about the device, by the texts it has for them."""

from __future__ import annotations

import pytest
import torch

from worker.encoder.device_errors import device_error
from worker.encoder.torch_encoder import TorchEncoder
from worker.errors import DeviceLostError, DeviceMemoryError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 9 GiB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you "
                     "tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"),
        MemoryError(),
    ],
)  # fmt: skip
def test_a_device_without_room_is_known_by_its_many_names(error: Exception) -> None:
    assert isinstance(device_error(error), DeviceMemoryError)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: unspecified launch failure"),
        torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"),
        torch.AcceleratorError("whatever a later version says"),
        RuntimeError("CUDA driver error: unknown error"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ],
)
def test_after_any_other_error_of_the_device_it_is_lost(error: Exception) -> None:
    about = device_error(error)
    assert isinstance(about, DeviceLostError)
    assert str(error) in str(about)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1"),
        ValueError("CUDA error, says a text"),
        IndexError("index out of range in self"),
    ],
)
def test_what_is_no_trouble_of_the_device_is_left_as_it_is(error: Exception) -> None:
    assert device_error(error) is None


class Fails:
    """A forward pass that does nothing else."""

    is_padded = True

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, batch: object, unpooled: object = ()) -> torch.Tensor:
        raise self._error


@pytest.mark.parametrize("again", [False, True], ids=["encode", "recompute"])
@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (RuntimeError("CUDA error: device-side assert triggered"), DeviceLostError),
        (RuntimeError("CUDA error: out of memory"), DeviceMemoryError),
        (RuntimeError("shapes do not match"), RuntimeError),
    ],
)
def test_the_encoder_raises_the_devices_error_in_place_of_torchs(
    error: Exception, becomes: type[Exception], again: bool
) -> None:
    encoder = TorchEncoder(Fails(error), lambda: Fails(error), CPU, 1)
    with pytest.raises(becomes) as raised:
        encoder.recompute([1], 4) if again else encoder.encode([[1]], [4])
    assert type(raised.value) is becomes
