"""`worker/encoder/attention.py` and `layout.py`: within each input, against the formula written out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from worker.encoder.attention import attend
from worker.encoder.layout import Layout, lay_out, padding_idx_of

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.model

CPU = torch.device("cpu")
HEADS, DIM = 4, 8


def laid_out(lengths: Sequence[int], padding_idx: int | None = None) -> Layout:
    return lay_out([np.full(length, 5) for length in lengths], padding_idx, CPU)


def written_out(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, is_causal: bool, window: int | None
) -> torch.Tensor:
    """Attention of one input, shape `(tokens, heads, head_dim)`, with every score made and masked."""
    repeat = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeat, 1), value.repeat_interleave(repeat, 1)
    scores = torch.einsum("qhd,khd->hqk", query, key) * DIM**-0.5
    for here in range(len(query)):
        for there in range(len(query)):
            if (is_causal and there > here) or (window is not None and abs(here - there) >= window):
                scores[:, here, there] = -torch.inf
    return torch.einsum("hqk,khd->qhd", scores.softmax(-1), value)


@pytest.mark.parametrize("lengths", [[7], [3, 3, 3], [1, 4, 4, 9, 2]])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("window", [None, 1, 3, 50])
@pytest.mark.parametrize("key_heads", [HEADS, 2])
def test_each_input_attends_to_itself_alone(
    lengths: list[int], is_causal: bool, window: int | None, key_heads: int
) -> None:
    torch.manual_seed(0)
    tokens = sum(lengths)
    query = torch.randn(tokens, HEADS, DIM)
    key, value = torch.randn(2, tokens, key_heads, DIM)
    layout = laid_out(lengths)

    attended = attend(query, key, value, layout, scale=DIM**-0.5, is_causal=is_causal, window=window)

    start = 0
    for length in lengths:
        part = slice(start, start + length)
        expected = written_out(query[part], key[part], value[part], is_causal=is_causal, window=window)
        torch.testing.assert_close(attended[part], expected, atol=1e-5, rtol=1e-5)
        start += length


def test_neighbours_of_one_length_form_a_group() -> None:
    layout = laid_out([2, 2, 5, 2], padding_idx=2)
    assert layout.groups == ((0, 2, 2), (4, 1, 5), (9, 1, 2))
    assert layout.ends.tolist() == [0, 2, 4, 9, 11]
    assert layout.ends.dtype is torch.int32
    assert layout.positions.tolist() == [3, 4, 3, 4, 3, 4, 5, 6, 7, 3, 4]
    assert layout.longest == 5


def test_a_padding_token_that_a_text_spells_out_is_left_out_of_the_count() -> None:
    layout = lay_out([np.array([7, 1, 8, 1, 9]), np.array([7, 8])], 1, CPU)
    assert layout.positions.tolist() == [2, 1, 3, 1, 4, 2, 3]


def test_positions_begin_at_0_where_none_are_left_out() -> None:
    assert padding_idx_of(torch.nn.Linear(1, 1)) is None
    assert laid_out([2, 3]).positions.tolist() == [0, 1, 0, 1, 2]
