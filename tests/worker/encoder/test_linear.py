"""Products by oneDNN give what torch's do, and are taken only where they are faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn.functional import gelu, relu, silu

from worker.encoder import linear as linear_module
from worker.encoder.linear import linear_of, onednn_is_faster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACTIVATIONS = {"": None, "gelu": gelu, "relu": relu, "silu": silu}
CLOSE = {torch.float32: 1e-4, torch.bfloat16: 0.05}


needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
needs_bfloat16 = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()),
    reason="oneDNN has no products in bfloat16 for this processor",
)


@pytest.fixture(autouse=True)
def _tried_anew() -> Iterator[None]:
    onednn_is_faster.cache_clear()
    yield
    onednn_is_faster.cache_clear()


def by_onednn() -> bool:
    """Whether products made now are oneDNN's."""
    return isinstance(linear_of(torch.randn(4, 4), torch.zeros(4)), linear_module._ByOneDnn)


def taking(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
    """Let the next products take so long: of a short text by torch and by oneDNN, then of a batch by both."""
    told = iter(seconds)
    monkeypatch.setattr(linear_module, "_seconds", lambda *_: next(told))


@pytest.mark.parametrize("rows", [1, 3, 70, 300])
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(
    "dtype",
    [pytest.param(torch.float32, marks=needs_onednn), pytest.param(torch.bfloat16, marks=needs_bfloat16)],
)
@torch.inference_mode()
def test_both_ways_give_the_same(dtype: torch.dtype, name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    weight, bias, states = torch.randn(48, 32).to(dtype), torch.randn(48).to(dtype), torch.randn(rows, 32).to(dtype)
    activation = ACTIVATIONS[name]
    products: list[torch.Tensor] = []
    for is_faster in (False, True):
        monkeypatch.setattr(linear_module, "onednn_is_faster", lambda _, is_faster=is_faster: is_faster)
        products.append(linear_of(weight, bias, activation, name)(states))

    plain, fused = products
    assert fused.dtype == dtype
    assert torch.allclose(plain.float(), fused.float(), rtol=CLOSE[dtype], atol=CLOSE[dtype])
    assert (plain.float() != 0).any()


@needs_onednn
@pytest.mark.parametrize(
    ("short", "batch", "taken"),
    [(0.5, 0.5, True), (1.0, 0.9, True), (0.5, 0.98, False), (1.0, 2.0, False), (4.0, 0.9, False)],
)
def test_it_is_taken_where_a_batch_is_faster_and_a_short_text_not_slower(
    short: float, batch: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking(monkeypatch, 1.0, short, 1.0, batch)

    assert by_onednn() is taken
    assert by_onednn() is taken  # without another trial, for which no time is told


@needs_bfloat16
def test_each_dtype_is_tried_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    taking(monkeypatch, *(1.0, 0.5) * 2, *(0.5, 1.0) * 2)

    assert onednn_is_faster(torch.float32)
    assert not onednn_is_faster(torch.bfloat16)


@needs_onednn
def test_it_is_tried_on_one_thread_as_a_slot_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, before = [], torch.get_num_threads()
    monkeypatch.setattr(linear_module, "_seconds", lambda *_: threads.append(torch.get_num_threads()) or 1.0)
    torch.set_num_threads(2)
    try:
        onednn_is_faster(torch.float32)

        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {1}


@pytest.mark.parametrize("problem", [AttributeError, NotImplementedError, RuntimeError])
def test_where_it_is_not_there_or_does_not_take_the_dtype_torch_computes(
    problem: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> Callable[[torch.Tensor], torch.Tensor]:
        raise problem

    monkeypatch.setattr(linear_module, "_by_onednn", lacking)

    assert not by_onednn()


def test_a_trial_tells_one_from_the_other() -> None:
    assert isinstance(onednn_is_faster(torch.float32), bool)
    assert by_onednn() is onednn_is_faster(torch.float32)
