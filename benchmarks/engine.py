"""The engine in process against `SentenceTransformer.encode`, on the same texts, in turn, in one run.

    python -m benchmarks.engine

The engine is what a worker has between its topics: tokenization, scheduler and encoder. `encode` gets the whole list
in one call. Vectors are held against those of `encode` in float32, and those of an input that is computed alone
against those it has among all the others. Tokenization and encoder are timed by themselves too.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from schemas.requests import Truncate

from .command import measuring, parser
from .corpus import CORPORA
from .encoding import Encoding, cut
from .engine_in_process import EngineInProcess, load
from .plain_encode import Library, worst_cosine
from .turns import in_turn, rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_ALONE: Final = 200
"""Inputs that are computed alone."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    options = parser(__doc__, rounds=5, texts=3000).parse_args(arguments)
    with measuring("engine", options) as (results, leaving):
        encode = {dtype: leaving.enter_context(Library(dtype)) for dtype in ("float32", "bfloat16")}
        engine = {dtype: leaving.enter_context(EngineInProcess(load(dtype))) for dtype in ("float32", "auto")}
        results.detail("dtype auto", engine["auto"].model.card.dtype)
        for corpus, make in CORPORA.items():
            texts = make(options.texts)
            sides: dict[str, Callable[[], object]] = {
                **{f"encode-{dtype}": partial(one.warm_up(texts).encode, texts) for dtype, one in encode.items()},
                **{f"engine-{dtype}": partial(one.warm_up(texts).embed, texts) for dtype, one in engine.items()},
            }
            sides["tokenization"] = partial(
                engine["auto"].model.tokenizer.tokenize, texts, [Truncate.END] * len(texts)
            )
            for dtype, one in engine.items():
                sides[f"encoder-{dtype}"] = Encoding(one.model, cut(one.model, texts, is_padded=False)).compute
            rates = in_turn({name: rate(side, len(texts)) for name, side in sides.items()}, options.rounds)
            results.compare("float32", rates["engine-float32"], rates["encode-float32"], corpus)
            results.compare("auto", rates["engine-auto"], rates["encode-float32"], corpus)
            results.compare("auto-bfloat16", rates["engine-auto"], rates["encode-bfloat16"], corpus)
            for key in ("tokenization", "encoder-float32", "encoder-auto"):
                results.measure(key, rates[key], corpus)
            expected = encode["float32"].encode(texts)
            for dtype, one in engine.items():
                vectors = one.embed(texts)
                results.measure(f"cosine-{dtype}", [worst_cosine(vectors, expected)], corpus)
                results.measure(f"alone-{dtype}", [_apart(one, texts, vectors)], corpus)


def _apart(engine: EngineInProcess, texts: list[str], vectors: NDArray[np.float32]) -> float:
    """Worst cosine of vectors to those of the same inputs alone, and in other batches: the texts in another order."""
    step = max(1, len(texts) // _ALONE)
    alone = np.concatenate([engine.embed([text]) for text in texts[::step]])
    order = random.Random(0).sample(range(len(texts)), len(texts))
    elsewhere = engine.embed([texts[place] for place in order])
    return min(worst_cosine(alone, vectors[::step]), worst_cosine(elsewhere, vectors[order]))


if __name__ == "__main__":
    main()
