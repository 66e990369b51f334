"""The forward pass without padding: inputs one behind the other, attention within each.

Where the architecture is BERT's the pass is written out (`fused_bert.py`); elsewhere transformers' own model runs
with our attention. Whether that gives the model's vectors is never taken on trust: `parity.py` checks it at start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .attention import PACKED
from .fused_bert import FusedBert, is_like_bert
from .layout import lay_out, padding_idx_of, to_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sentence_transformers import SentenceTransformer

    from .layout import Layout


class PackedForward:
    """Sentence vectors of packed batches through a sentence-transformers model. Thread-safe.

    Args:
        model: The model, its transformer in the dtype to compute in, what is behind it in float32.
    """

    is_padded = False

    def __init__(self, model: SentenceTransformer) -> None:
        transformer: Any
        transformer, *self._after = list(model)
        if not all(getattr(module, "include_prompt", True) for module in self._after):
            raise NotImplementedError("pooling leaves the prefix out")
        self._device = torch.device(model.device)
        inner: Any = transformer.auto_model
        self._padding_idx = padding_idx_of(inner)
        self._states: Callable[[torch.Tensor, Layout], torch.Tensor] = (
            FusedBert(inner) if is_like_bert(inner) else _TransformersStates(inner)
        )

    def __call__(self, batch: Sequence[Sequence[int]], unpooled: Sequence[int] = ()) -> torch.Tensor:  # noqa: ARG002
        """See `torch_encoder.Forward`."""
        inputs = [np.asarray(ids, dtype=np.int64) for ids in batch]
        layout = lay_out(inputs, self._padding_idx, self._device)
        ids = to_device(torch.from_numpy(np.concatenate(inputs)), self._device)
        states = self._states(ids, layout)
        features: dict[str, torch.Tensor] = {
            "token_embeddings": states.float().unsqueeze(0),
            # Under this name sentence-transformers' pooling takes packed states.
            "cu_seq_lens_q": layout.ends,
            # Without it pooling would make it, and wait for the device to tell its length.
            "seq_idx": layout.places.unsqueeze(0),
        }
        for module in self._after:
            features = module(features)
        return features["sentence_embedding"]


class _TransformersStates:
    """States of every token by transformers' own model."""

    def __init__(self, model: Any) -> None:
        self._model = model
        model.set_attn_implementation(PACKED)

    def __call__(self, ids: torch.Tensor, layout: Layout) -> torch.Tensor:
        output = self._model(input_ids=ids.unsqueeze(0), position_ids=layout.positions.unsqueeze(0), layout=layout)
        states: torch.Tensor = output.last_hidden_state[0]
        return states
