"""The encoder that runs any sentence-transformers model: batches padded to their longest row.

The transformer computes in the chosen dtype; pooling and what follows it compute in float32, which keeps the cosine
to a float32 run at 0.9999 where pooling in bfloat16 gives 0.998.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer


class PaddedEncoder:
    """Padded batches through the modules of a sentence-transformers model.

    Args:
        model: The model, its transformer in the dtype to compute in.
        pad_token_id: What rows are filled up with.
        pad_left: Whether the model wants its padding in front.
        token_types: Whether the model reads token type ids.
    """

    def __init__(self, model: SentenceTransformer, *, pad_token_id: int, pad_left: bool, token_types: bool) -> None:
        self._transformer, *self._after = list(model)
        for module in self._after:
            module.float()
        self._device = model.device
        self._pad_token_id = pad_token_id
        self._pad_left = pad_left
        self._token_types = token_types
        self._float32_transformer: torch.nn.Module | None = None

    def launch(self, batch: Sequence[Sequence[int]], dims: Sequence[int]) -> _LaunchedBatch:
        """See `interface.Encoder`."""
        return _LaunchedBatch(self._forward(self._transformer, batch, dims))

    def recompute(self, ids: Sequence[int], dim: int) -> NDArray[np.float32]:
        """See `interface.Encoder`; the float32 copy of the weights is made once, when first needed."""
        if self._float32_transformer is None:
            self._float32_transformer = copy.deepcopy(self._transformer).float()
        vectors = self._forward(self._float32_transformer, [ids], [dim])
        return _to_numpy(vectors)[0, :dim]

    @torch.inference_mode()
    def _forward(
        self, transformer: torch.nn.Module, batch: Sequence[Sequence[int]], dims: Sequence[int]
    ) -> torch.Tensor:
        features = transformer(self._features(batch))
        features["token_embeddings"] = features["token_embeddings"].float()
        for module in self._after:
            features = module(features)
        vectors = features["sentence_embedding"].float()
        if any(dim != vectors.shape[1] for dim in dims):
            wanted = torch.tensor(dims, device=vectors.device).unsqueeze(1)
            vectors = vectors * (torch.arange(vectors.shape[1], device=vectors.device) < wanted)
        # The largest value first: float32 has no room for the squares of 1e25 or 1e-30.
        vectors = vectors / vectors.abs().amax(dim=1, keepdim=True)
        # A zero vector has become NaN by now, so that one check finds both.
        unit: torch.Tensor = vectors / vectors.norm(dim=1, keepdim=True)
        return unit

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
        return {name: tensor.to(self._device, non_blocking=True) for name, tensor in features.items()}


class _LaunchedBatch:
    """Vectors on the device; on a CPU they are there already."""

    def __init__(self, vectors: torch.Tensor) -> None:
        self._vectors = vectors
        self._done: torch.cuda.Event | None = None
        if vectors.device.type == "cuda":
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record()

    def is_done(self) -> bool:
        return self._done is None or bool(self._done.query())  # type: ignore[no-untyped-call]

    def vectors(self) -> NDArray[np.float32]:
        return _to_numpy(self._vectors)


def _to_numpy(vectors: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = vectors.cpu().numpy()
    return array
