"""What repeated inputs save: streams of which 0, 30 and 60 % are repetitions, in turn, in one run.

    python -m benchmarks.duplicates

The engine in process gets streams of the same number of texts. Repetitions stand anywhere in the stream, each of a
text that occurs in it anyway. Counted is how many inputs reach the encoder. Last, a stream of different texts comes
once more to an engine that keeps vectors in its cache.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from worker.vector_cache import VectorCache

from .command import measuring, parser
from .corpus import mixed_texts
from .engine_in_process import EngineInProcess, load
from .turns import in_turn, rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from worker.encoder.interface import Encoder

_SHARES: Final = (0, 30, 60)
"""Percent."""
_CACHE_BYTES: Final = 64 * 2**20


class CountingEncoder:
    """See `worker.encoder.interface.Encoder`; counts what it is given."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.limits = encoder.limits
        self.inputs = 0

    def encode(
        self, batch: Sequence[Sequence[int]], dims: Sequence[int], unpooled: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        """See `interface.Encoder`."""
        self.inputs += len(batch)
        return self._encoder.encode(batch, dims, unpooled)

    def recompute(self, ids: Sequence[int], dim: int, unpooled: int = 0) -> NDArray[np.float32]:
        """See `interface.Encoder`."""
        self.inputs += 1
        return self._encoder.recompute(ids, dim, unpooled)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    wanted = parser(__doc__, rounds=5, texts=2000)
    wanted.add_argument("--dtype", default="auto")
    options = wanted.parse_args(arguments)
    with measuring("duplicates", options) as (results, leaving):
        model = load(options.dtype)
        encoder = CountingEncoder(model.encoder)
        engine = leaving.enter_context(EngineInProcess(replace(model, encoder=encoder)))
        streams = {percent: _stream(options.texts, percent) for percent in _SHARES}
        for stream in streams.values():
            engine.warm_up(stream)
        for percent, stream in streams.items():
            before = encoder.inputs
            engine.embed(stream)
            results.measure(f"saved-{percent}", [len(stream) / (encoder.inputs - before)])
        sides = {
            str(percent): rate(partial(engine.embed, stream), len(stream)) for percent, stream in streams.items()
        }
        rates = in_turn(sides, options.rounds)
        for percent in _SHARES[1:]:
            results.compare(f"rate-{percent}", rates[str(percent)], rates["0"])
        cached = leaving.enter_context(EngineInProcess(model, VectorCache(_CACHE_BYTES)))
        cached.embed(streams[0])
        again = {"cached": rate(partial(cached.embed, streams[0]), options.texts), "computed": sides["0"]}
        rates = in_turn(again, options.rounds)
        results.compare("rate-cached", rates["cached"], rates["computed"])


def _stream(count: int, percent: int) -> list[str]:
    """So many texts, of which a share repeats others."""
    chance = random.Random(percent)
    texts = mixed_texts(count - count * percent // 100)
    stream = texts + chance.choices(texts, k=count - len(texts))
    chance.shuffle(stream)
    return stream


if __name__ == "__main__":
    main()
