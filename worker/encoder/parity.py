"""Checks at start that packed batches give the vectors that padded ones do, and chooses between them.

An architecture that ignores our attention, or counts its positions otherwise, would mix inputs without a word: the
vectors would look like any others. So a few made-up inputs of different lengths, long and short together, are
computed both ways. What both are held against is computed in float32: rounding is forgiven as far as padding rounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import structlog
import torch
from torch.nn.functional import cosine_similarity

from .packed import PackedForward

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from .padded import PaddedForward
    from .torch_encoder import Forward

log = structlog.get_logger("worker")

_LENGTHS: Final = (3, 9, 9, 40, 40, 300)
"""The longest is over ModernBERT's window of 128; neighbours of one length make a group."""
_TIMES_PADDED: Final = 3.0
_FLOAT32_ROUNDING: Final = 1e-5


def probe_inputs(vocabulary: int, most_tokens: int, special: frozenset[int]) -> list[list[int]]:
    """Inputs of different lengths and made-up tokens, ordered by length."""
    chance = np.random.default_rng(0)
    ordinary = np.array([token for token in range(min(vocabulary, 30_000)) if token not in special])
    return [chance.choice(ordinary, min(length, most_tokens)).tolist() for length in _LENGTHS]


@torch.inference_mode()
def sentence_vectors(forward: Forward, inputs: list[list[int]], *, together: bool) -> torch.Tensor:
    """Vectors of inputs computed in one batch, or each alone; shape `(inputs, dim)`, float32, on the CPU."""
    batches = [inputs] if together else [[ids] for ids in inputs]
    return torch.cat([forward(batch).float().cpu() for batch in batches])


def choose_forward(
    model: SentenceTransformer, padded: PaddedForward, inputs: list[list[int]], expected: torch.Tensor
) -> Forward:
    """The packed pass where it gives the model's vectors, else the padded one; says once why.

    Args:
        model: In the dtype to compute in; its attention is left as the pass that is returned needs it.
        padded: The padded pass over it.
        inputs: Probes.
        expected: Their vectors by the padded pass in float32, each computed alone.
    """
    rounded = _error(sentence_vectors(padded, inputs, together=False), expected)
    module: Any = model[0]
    transformer = module.auto_model
    attention: str = transformer.config._attn_implementation
    try:
        packed = PackedForward(model)
        error = _error(sentence_vectors(packed, inputs, together=True), expected)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the padded pass serves
        reason = f"{type(problem).__name__}: {str(problem).splitlines()[0][:200] if str(problem) else ''}"
    else:
        if error <= _TIMES_PADDED * rounded + _FLOAT32_ROUNDING:
            return packed
        reason = f"its vectors are off by {error:.1e} in cosine where padded ones are by {rounded:.1e}"
    transformer.set_attn_implementation(attention)
    log.info(
        "packed batches do not fit this model: padding", architecture=transformer.config.model_type, reason=reason
    )
    return padded


def _error(vectors: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest distance in cosine; what is not a number is as far off as can be."""
    cosines = cosine_similarity(vectors.double(), expected.double(), dim=1)
    return float(torch.nan_to_num(1 - cosines, nan=2.0).max())
