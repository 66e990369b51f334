"""The forward pass that runs any sentence-transformers model: batches padded to their longest row."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .layout import to_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer


class PaddedForward:
    """Sentence vectors of padded batches through the modules of a sentence-transformers model. Thread-safe.

    Args:
        model: The model, its transformer in the dtype to compute in, what is behind it in float32.
    """

    is_padded = True

    def __init__(self, model: SentenceTransformer) -> None:
        self._transformer: Any
        self._transformer, *self._after = list(model)
        self._attention: str = self._transformer.auto_model.config._attn_implementation
        self._device = torch.device(model.device)
        tokenizer: Any = model.tokenizer
        self._pad_token_id: int = tokenizer.pad_token_id or 0
        self._pad_left = tokenizer.padding_side == "left"
        self._token_types = "token_type_ids" in tokenizer.model_input_names

    def in_float32(self) -> PaddedForward:
        """The same pass with a copy of the weights in float32."""
        twin = copy.copy(self)
        twin._transformer = copy.deepcopy(self._transformer).float()
        # The packed pass may have put its attention into the weights that both share.
        twin._transformer.auto_model.set_attn_implementation(self._attention)
        return twin

    def __call__(self, batch: Sequence[Sequence[int]], unpooled: Sequence[int] = ()) -> torch.Tensor:
        """See `torch_encoder.Forward`."""
        features = self._transformer(self._features(batch))
        features["token_embeddings"] = features["token_embeddings"].float()
        if any(unpooled):
            mask = features["attention_mask"]
            # A row's own tokens, counted from 1.
            places = mask.cumsum(dim=1) * mask
            features["attention_mask"] = mask * (
                places > to_device(torch.tensor(unpooled), self._device).unsqueeze(1)
            )
        for module in self._after:
            features = module(features)
        vectors: torch.Tensor = features["sentence_embedding"]
        return vectors

    def _features(self, batch: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        longest = max(map(len, batch))
        ids = np.full((len(batch), longest), self._pad_token_id, dtype=np.int64)
        mask = np.zeros((len(batch), longest), dtype=np.int64)
        for row, tokens in enumerate(batch):
            where = slice(longest - len(tokens), longest) if self._pad_left else slice(0, len(tokens))
            ids[row, where] = tokens
            mask[row, where] = 1
        features = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if self._token_types:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        return {name: to_device(tensor, self._device) for name, tensor in features.items()}
