"""A layer's product with its weights and what follows it at once: by torch, or by oneDNN where that is faster.

On a CPU torch gives products in float32 to MKL, which does not use all of an AMD processor; oneDNN does. oneDNN also
keeps the weights in an order of its own, made once, and applies the activation while the product is in the cache.
Which one is faster is tried out once for each dtype (decision 23).
Source of the operators: what `torch.compile` calls on a CPU, `torch/_inductor/fx_passes/mkldnn_fusion.py`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog
import torch
from torch.nn.functional import linear

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger("worker")

Linear: TypeAlias = "Callable[[torch.Tensor], torch.Tensor]"
"""Takes and gives shape `(tokens, features)`."""

_FUSED: Final = {"gelu": ("gelu", "none"), "relu": ("relu", "")}
"""Activations that oneDNN applies, by their name in transformers: its own name, and which way to compute it."""
_TRIED_ROWS: Final = (12, 256)
"""A short text, for which it must not be slower, and a batch, for which it must be faster."""
_TRIED_FEATURES: Final = 512
_TRIES: Final = 7
"""The fastest one counts: a neighbour may have taken the core during the others."""
_WORTH: Final = 0.97


@dataclass(frozen=True, slots=True)
class _ByTorch:
    weight: torch.Tensor
    bias: torch.Tensor
    activation: Callable[[torch.Tensor], torch.Tensor] | None

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        product = linear(states, self.weight, self.bias)
        return product if self.activation is None else self.activation(product)


@dataclass(frozen=True, slots=True)
class _ByOneDnn:
    weight: torch.Tensor
    """In oneDNN's order."""
    bias: torch.Tensor
    fused: tuple[str, str]
    activation: Callable[[torch.Tensor], torch.Tensor] | None

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        name, how = self.fused
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(states, self.weight, self.bias, name, [], how)
        return product if self.activation is None else self.activation(product)


def linear_of(
    weight: torch.Tensor,
    bias: torch.Tensor,
    activation: Callable[[torch.Tensor], torch.Tensor] | None = None,
    activation_name: str = "",
) -> Linear:
    """`activation(states @ weight.T + bias)`.

    Args:
        weight: Shape `(features out, features in)`; shared by torch, copied by oneDNN.
        bias: Shape `(features out,)`.
        activation: What follows; None: nothing.
        activation_name: Its name in transformers.
    """
    if weight.device.type == "cpu" and onednn_is_faster(weight.dtype):
        return _by_onednn(weight, bias, activation, activation_name)
    return _ByTorch(weight, bias, activation)


@cache
@torch.inference_mode()
def onednn_is_faster(dtype: torch.dtype) -> bool:
    """Whether it is on this machine, tried out within some tens of milliseconds; also False where it is not there."""
    weight, bias = torch.randn(_TRIED_FEATURES, _TRIED_FEATURES).to(dtype), torch.zeros(_TRIED_FEATURES, dtype=dtype)
    threads = torch.get_num_threads()
    # As a slot of the encoder computes; on all cores at once a product of this size would be waiting for them.
    torch.set_num_threads(1)
    try:
        ways = _ByTorch(weight, bias, None), _by_onednn(weight, bias, None, "")
        ratios = []
        for rows in _TRIED_ROWS:
            states = torch.randn(rows, _TRIED_FEATURES).to(dtype)
            by_torch, by_onednn = (_seconds(way, states) for way in ways)
            ratios.append(by_onednn / by_torch)
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        log.debug("no products by oneDNN", dtype=str(dtype), reason=repr(error))
        return False
    finally:
        torch.set_num_threads(threads)
    log.debug("products tried out", dtype=str(dtype), onednn_to_torch=[round(ratio, 2) for ratio in ratios])
    short, batch = ratios
    return short <= 1 and batch < _WORTH


def _by_onednn(
    weight: torch.Tensor, bias: torch.Tensor, activation: Callable[[torch.Tensor], torch.Tensor] | None, name: str
) -> Linear:
    ordered = torch.ops.mkldnn._reorder_linear_weight(weight)
    if name in _FUSED:
        return _ByOneDnn(ordered, bias, _FUSED[name], None)
    return _ByOneDnn(ordered, bias, ("none", ""), activation)


def _seconds(product: Linear, states: torch.Tensor) -> float:
    fastest = float("inf")
    for _ in range(_TRIES):
        started_at = time.perf_counter()
        product(states)
        fastest = min(fastest, time.perf_counter() - started_at)
    return fastest
