"""`worker/encoder/torch_encoder.py`: slots, threads, unit vectors, and a device without room."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from worker.encoder.torch_encoder import TorchEncoder, unit_vectors
from worker.errors import DeviceMemoryError

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.model

CPU = torch.device("cpu")


class Ones:
    """A forward pass whose vectors are ones, and that notes how many threads torch would use."""

    def __init__(self, is_padded: bool = True) -> None:
        self.is_padded = is_padded
        self.threads: list[int] = []

    def __call__(self, batch: Sequence[Sequence[int]], unpooled: Sequence[int] = ()) -> torch.Tensor:
        self.threads.append(torch.get_num_threads())
        if any(ids[0] == 13 for ids in batch):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return torch.ones(len(batch), 4)


def test_on_a_gpu_every_thread_works_on_the_gpu_of_its_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    encoder = TorchEncoder(Ones(), Ones, torch.device("cuda:1"), threads=4)
    for _ in range(2):
        encoder.encode([[1]], [4])
    assert chosen == [1]


@pytest.mark.parametrize(("threads", "slots", "each"), [(1, 1, 1), (2, 2, 1), (8, 8, 1), (32, 8, 4)])
def test_a_cpus_threads_are_shared_out_among_its_slots(threads: int, slots: int, each: int) -> None:
    forward = Ones()
    encoder = TorchEncoder(forward, Ones, CPU, threads)
    assert (encoder.limits.slots, encoder.limits.computing) == (slots, slots)
    slot = threading.Thread(target=encoder.encode, args=([[1]], [4]))
    slot.start()
    slot.join()
    assert forward.threads == [each]


def test_a_gpu_gets_one_batch_ahead_of_the_one_it_computes() -> None:
    limits = TorchEncoder(Ones(), Ones, torch.device("cuda"), 16).limits
    assert (limits.slots, limits.computing) == (2, 1)


def test_whether_batches_are_padded_is_told() -> None:
    assert TorchEncoder(Ones(), Ones, CPU, 1).limits.is_padded
    assert not TorchEncoder(Ones(is_padded=False), Ones, CPU, 1).limits.is_padded


def test_a_device_without_room_says_so_and_takes_the_next_batch() -> None:
    encoder = TorchEncoder(Ones(), Ones, CPU, 1)
    with pytest.raises(DeviceMemoryError, match=r"2\.00 GiB"):
        encoder.encode([[1], [13]], [4, 4])
    np.testing.assert_allclose(encoder.encode([[1]], [4]), [[0.5] * 4])


def test_the_pass_in_float32_is_made_once_and_only_when_needed() -> None:
    made: list[Ones] = []

    def make() -> Ones:
        made.append(Ones())
        return made[-1]

    encoder = TorchEncoder(Ones(), make, CPU, 1)
    encoder.encode([[1]], [4])
    assert made == []
    for _ in range(2):
        np.testing.assert_allclose(encoder.recompute([1], 1), [1.0])
    assert len(made) == 1


def test_rows_are_cut_to_their_length_and_of_unit_length() -> None:
    vectors = unit_vectors(torch.tensor([[3.0, 4.0, 12.0], [3.0, 4.0, 12.0]]), [3, 2])
    torch.testing.assert_close(vectors, torch.tensor([[3 / 13, 4 / 13, 12 / 13], [0.6, 0.8, 0.0]]))
