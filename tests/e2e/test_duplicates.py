"""Same inputs on the topics are computed once, and every occurrence is answered and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from schemas.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import WorkerProcess
    from .place import Place

_TELLS_WHAT_IT_COMPUTES: Final = """
import sys
import numpy as np
from worker.encoder.null import DIM, NullEncoder

def encode(self, batch, dims, unpooled=()):
    vectors = np.zeros((len(batch), DIM), dtype=np.float32)
    for row, ids in zip(vectors, batch):
        row[len(ids)] = 1
        sys.stderr.write(f"computed {len(ids)} tokens\\n")
    return vectors

NullEncoder.encode = encode

from cli.main import run

run()
"""
TEXTS = ["a" * 8, "b" * 40, "c" * 80]
TOKENS = [len(text) // 4 + 3 for text in TEXTS]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_same_inputs_are_computed_once_answered_each_and_counted_each(
    place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    cache = {"KAFKA_EMBEDDINGS_BATCH__CACHE_BYTES": "1000000"}
    worker = start_worker(place, "--encoder", "null", script=_TELLS_WHAT_IT_COMPUTES, environment=cache)
    reader = place.reader(place.topics.responses)
    # The second wave finds the vectors in the cache, the third one does so from the other lane.
    for wave, lane in enumerate((Lane.BULK, Lane.BULK, Lane.INTERACTIVE)):
        for number in range(20):
            place.send({"id": f"{wave}-{number}", "model": "all-MiniLM-L6-v2", "input": TEXTS * 20}, lane=lane)
        place.flush()
        reader.until_count(20 * (wave + 1))
    answers = reader.up_to_now()
    reader.close()
    assert worker.terminate() == 0

    assert [worker.log.count(f"computed {tokens} tokens") for tokens in TOKENS] == [1, 1, 1]
    assert len({answer.body["id"] for answer in answers}) == len(answers) == 60
    for answer in answers:
        given = [embedding["embedding"] for embedding in answer.body["data"]]
        assert [vector.index(1) for vector in given] == TOKENS * 20
        assert answer.body["usage"]["prompt_tokens"] == 20 * sum(TOKENS)
