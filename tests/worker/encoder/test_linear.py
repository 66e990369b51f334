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


@pytest.fixture(autouse=True)
def _tried_anew() -> Iterator[None]:
    onednn_is_faster.cache_clear()
    yield
    onednn_is_faster.cache_clear()


def by_onednn() -> bool:
    """Whether products made now are oneDNN's."""
    return isinstance(linear_of(torch.randn(4, 4), torch.zeros(4)), linear_module._ByOneDnn)


def taking(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
    """Let the next trials take so long: torch's first, then oneDNN's."""
    told = iter(seconds)
    monkeypatch.setattr(linear_module, "_seconds", lambda *_: next(told))


@pytest.mark.parametrize("rows", [1, 3, 70, 300])
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", CLOSE)
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


@pytest.mark.parametrize(("by_torch", "its_own", "taken"), [(1.0, 0.5, True), (1.0, 0.98, False), (0.5, 1.0, False)])
def test_the_faster_one_is_taken(
    by_torch: float, its_own: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking(monkeypatch, by_torch, its_own)

    assert by_onednn() is taken
    assert by_onednn() is taken  # without another trial, for which no time is told


def test_each_dtype_is_tried_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    taking(monkeypatch, 1.0, 0.5, 0.5, 1.0)

    assert onednn_is_faster(torch.float32)
    assert not onednn_is_faster(torch.bfloat16)


@pytest.mark.parametrize("problem", [AttributeError, NotImplementedError, RuntimeError])
def test_where_it_is_not_there_or_does_not_take_the_dtype_torch_computes(
    problem: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> Callable[[torch.Tensor], torch.Tensor]:
        raise problem("no such operator\nand more")

    monkeypatch.setattr(linear_module, "_by_onednn", lacking)

    assert not by_onednn()


def test_a_trial_tells_one_from_the_other() -> None:
    assert isinstance(onednn_is_faster(torch.float32), bool)
    assert by_onednn() is onednn_is_faster(torch.float32)
