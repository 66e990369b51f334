"""What each text of the pool is to be answered with, computed here, one by one."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import numpy as np

from schemas.requests import Truncate
from worker.encoder.loading import load_model
from worker.settings import ModelSettings

from .traffic import pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LEAST_COSINE: Final = 0.9999
"""Of a real model's vector: what a text is batched with shows in the last digits."""


class Reference:
    """The right vectors.

    Args:
        encoder: As the workers' setting `model.encoder`: `null`, whose vectors are exact, or `auto`.
    """

    def __init__(self, encoder: str = "null") -> None:
        settings = ModelSettings.model_validate({"encoder": encoder})
        model = load_model(settings)
        tokens = model.tokenizer.tokenize(pool(), [Truncate.END] * len(pool()))
        rows = [model.encoder.encode([one.ids], [model.card.dim])[0] for one in tokens]
        self.vectors: NDArray[np.float32] = np.stack(rows)
        """Shape `(texts, dim)`, unit rows."""
        self._base64 = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in self.vectors]
        self._is_exact = encoder == "null"

    def is_right(self, text: int, embedding: str | Sequence[float]) -> bool:
        """Whether an embedding, base64 or numbers, is the text's."""
        if isinstance(embedding, str):
            if embedding == self._base64[text]:
                return True
            vector = np.frombuffer(base64.b64decode(embedding), dtype="<f4")
        else:
            vector = np.asarray(embedding, dtype=np.float32)
        if vector.shape != self.vectors[text].shape:
            return False
        if self._is_exact:
            return bool((vector == self.vectors[text]).all())
        return bool(vector @ self.vectors[text] >= _LEAST_COSINE)
