"""How the inputs of a batch lie one behind the other when nothing is padded."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Group(NamedTuple):
    """Neighbours of one length, which attention takes as one rectangle."""

    start: int
    """Where the first one begins, in tokens."""
    rows: int
    length: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each input lies among the tokens of its batch."""

    groups: tuple[Group, ...]
    ends: torch.Tensor
    """Shape `(inputs + 1,)`, int32: 0, and where each input ends; known as cu_seqlens."""
    positions: torch.Tensor
    """Shape `(tokens,)`, int64: each token's place within its input, counted from the model's first position."""
    places: torch.Tensor
    """Shape `(tokens,)`, int64: in which input of the batch each token is."""
    longest: int


def lay_out(batch: Sequence[NDArray[np.int64]], padding_idx: int | None, device: torch.device) -> Layout:
    """Lay inputs out in their order; neighbours of one length form groups.

    Args:
        batch: Token ids of each input.
        padding_idx: As `padding_idx_of` gives it.
        device: Where the tensors are wanted.
    """
    lengths = [len(ids) for ids in batch]
    groups, start = [], 0
    for length, alike in groupby(lengths):
        rows = sum(1 for _ in alike)
        groups.append(Group(start, rows, length))
        start += rows * length
    positions = np.concatenate([np.tile(np.arange(group.length), group.rows) for group in groups])
    if padding_idx is not None:
        positions += padding_idx + 1
        if any((ids == padding_idx).any() for ids in batch):
            positions = np.concatenate([_positions_beside_padding(ids, padding_idx) for ids in batch])
    ends = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
    places = np.repeat(np.arange(len(lengths)), lengths)
    return Layout(
        tuple(groups),
        to_device(ends, device),
        to_device(torch.from_numpy(positions), device),
        to_device(torch.from_numpy(places), device),
        max(lengths),
    )


def _positions_beside_padding(ids: NDArray[np.int64], padding_idx: int) -> NDArray[np.int64]:
    """A text may spell the padding token out: RoBERTa's family leaves it out of the count.

    Source: `create_position_ids_from_input_ids` in transformers' `modeling_roberta.py`.
    """
    counts = ids != padding_idx
    positions: NDArray[np.int64] = np.cumsum(counts) * counts + padding_idx
    return positions


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to the device without waiting for it: a GPU reads pinned memory on its own."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def padding_idx_of(transformer: torch.nn.Module) -> int | None:
    """Id of the padding token where positions count from behind it (RoBERTa's family); None: they count from 0."""
    for module in transformer.modules():
        table = getattr(module, "position_embeddings", None)
        padding_idx = getattr(module, "padding_idx", None)
        if isinstance(table, torch.nn.Embedding) and isinstance(padding_idx, int):
            return padding_idx
    return None
