"""An embedded broker in this process, workers and APIs as processes over it."""

from __future__ import annotations

import os
import time
from functools import cached_property
from typing import TYPE_CHECKING, Self

import httpx

from cli.lifetime import PARENT_PIPE
from schemas.beats import Beat, WorkerState
from schemas.codec import encode_beat
from schemas.topics import TopicNames
from transport.cluster import Cluster
from transport.embedded import EmbeddedBroker
from transport.producer import DeliveringProducer
from transport.settings import KafkaSettings

from .command import Command
from .waiting import BOUND_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL = "all-MiniLM-L6-v2"


def http_client(url: str = "") -> httpx.Client:
    """A client for plain HTTP: loading certificates would cost more than all its requests."""
    return httpx.Client(base_url=url, timeout=30, verify=False)


class Api(Command):
    """An API process on a free port."""

    @property
    def url(self) -> str:
        """Where it listens; waits until it does."""
        return self.wait_for(r"http://[\d.]+:\d+").group()

    @cached_property
    def http(self) -> httpx.Client:
        """A client of it."""
        return http_client(self.url)

    def kill(self) -> None:
        if "http" in vars(self):
            self.http.close()
        super().kill()

    def readiness(self) -> int:
        """Status of its readiness probe."""
        return self.http.get("/v1/health/ready").status_code

    def metrics(self) -> dict[str, float]:
        """What it tells of itself, labels as they are written, without the prefix of every name."""
        lines = self.http.get("/metrics").text.splitlines()
        told = (line.removeprefix("kafka_embeddings_api_").rpartition(" ") for line in lines if line[0] != "#")
        return {name: float(number) for name, _, number in told}

    def wait_until_ready(self, within_seconds: float = BOUND_SECONDS) -> None:
        wait_until(lambda: self.readiness() == 200, "a ready API", within_seconds, self.quote)


class Stack:
    """A broker, and what was started over it; leave by `close` or as a context manager.

    The processes end with this one, however it ends: they hold the other end of a pipe of ours.
    """

    def __init__(self) -> None:
        self._broker = EmbeddedBroker()
        self._broker.create_topics(TopicNames())
        self._theirs, self._ours = os.pipe()
        self.workers: list[Command] = []
        self.apis: list[Api] = []
        self._producer: DeliveringProducer | None = None

    # --- what runs ------------------------------------------------------------------------------------

    @property
    def bootstrap(self) -> str:
        """Address of the broker."""
        return self._broker.bootstrap

    @property
    def api(self) -> Api:
        """The API started last."""
        return self.apis[-1]

    @property
    def api_url(self) -> str:
        """Address of the API started last."""
        return self.api.url

    @property
    def worker(self) -> Command:
        """The worker started last."""
        return self.workers[-1]

    @property
    def worker_pid(self) -> int:
        """Process id of the worker started last."""
        return self.worker.pid

    def kafka_settings(self) -> KafkaSettings:
        return KafkaSettings(bootstrap=self.bootstrap)

    def cluster(self) -> Cluster:
        """The broker as our own code reaches it."""
        return Cluster.probe(self.kafka_settings())

    # --- starting -------------------------------------------------------------------------------------

    def start_worker(self, *flags: str, environment: Mapping[str, str] | None = None) -> Command:
        """Start one more worker; does not wait until it is ready."""
        arguments = ("worker", "--bootstrap", self.bootstrap, *flags)
        worker = Command(*arguments, environment=self._bound(environment), pass_fds=(self._theirs,))
        self.workers.append(worker)
        return worker

    def start_api(self, *flags: str, environment: Mapping[str, str] | None = None) -> Api:
        """Start one more API on a free port; waits until it listens and has found the broker."""
        arguments = ("api", "--bootstrap", self.bootstrap, "--port", "0", *flags)
        api = Api(*arguments, environment=self._bound(environment), pass_fds=(self._theirs,))
        self.apis.append(api)
        api.wait_for('"connected"')
        return api

    def start(self, *worker_flags: str) -> Self:
        """Start a worker and an API and wait until requests are answered."""
        worker = self.start_worker(*worker_flags)
        self.start_api()
        worker.wait_for('"ready"', within_seconds=120)
        self.api.wait_until_ready()
        return self

    def say_beat(self, state: WorkerState, model: str = MODEL) -> None:
        """Publish a beat of a worker that is not there, one a model; it lives for 5 s and answers nothing."""
        if self._producer is None:
            self._producer = DeliveringProducer(self.cluster(), "pretended-worker", linger_ms=0)
        beat = Beat(
            worker_id=f"pretended-{model}",
            model=model,
            state=state,
            dim=384,
            max_tokens=256,
            started_at_ms=int(time.time() * 1000),
        )
        self._producer.produce(
            TopicNames().workers, key=beat.worker_id.encode(), value=encode_beat(beat), on_delivery=lambda _: None
        )
        assert self._producer.flush(BOUND_SECONDS) == 0

    def _bound(self, environment: Mapping[str, str] | None) -> dict[str, str]:
        return {PARENT_PIPE: str(self._theirs), **(environment or {})}

    # --- the end --------------------------------------------------------------------------------------

    def close(self) -> None:
        """Kill every process, then end the broker."""
        if self._producer is not None:
            self._producer.close()
        for process in (*self.apis, *self.workers):
            process.kill()
        os.close(self._ours)
        os.close(self._theirs)
        self._broker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
