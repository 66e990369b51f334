"""A loaded model's encoder by itself, over batches that are cut beforehand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from schemas.requests import Truncate
from worker.encoder.calibration import calibrated_budget, default_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from worker.encoder.interface import LoadedModel


class Encoding:
    """Our encoder over batches, from as many threads as it has slots."""

    def __init__(self, model: LoadedModel, batches: Sequence[Sequence[Sequence[int]]]) -> None:
        self._model, self._batches = model, batches
        self._slots = ThreadPoolExecutor(model.encoder.limits.slots, "slot")

    def compute(self) -> NDArray[np.float32]:
        """Vectors of all inputs, in order; shape `(inputs, dim)`."""
        return np.concatenate(list(self._slots.map(self._encode, self._batches)))

    def _encode(self, batch: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        return self._model.encoder.encode(batch, [self._model.card.dim] * len(batch))


def cut(model: LoadedModel, texts: Sequence[str], *, is_padded: bool) -> list[list[list[int]]]:
    """Token ids in batches: ordered by length, as many as fit the model's budget.

    Args:
        model: Whose tokenizer and budget.
        texts: Any; too long ones are truncated.
        is_padded: Whether padding counts.
    """
    budget_tokens = calibrated_budget(model, default_folder())
    tokens = model.tokenizer.tokenize(texts, [Truncate.END] * len(texts))
    batches: list[list[list[int]]] = [[]]
    for ids in sorted((list(one.ids) for one in tokens), key=len):
        others = batches[-1]
        cost = (len(others) + 1) * len(ids) if is_padded else sum(map(len, others)) + len(ids)
        if others and cost > budget_tokens:
            batches.append([])
        batches[-1].append(ids)
    return batches
