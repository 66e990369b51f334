"""What a benchmark measures through: a broker with topics of its own, a worker process, an API process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from functools import cached_property
from typing import IO, TYPE_CHECKING, Final

from confluent_kafka.admin import AdminClient, NewTopic

from client.workers import WorkersView
from schemas.topics import TopicNames
from transport.cluster import Cluster
from transport.embedded import EmbeddedBroker
from transport.settings import KafkaSettings
from transport.topic_setup import create_topics

if TYPE_CHECKING:
    from contextlib import ExitStack

MODEL: Final = "all-MiniLM-L6-v2"
_READY_SECONDS: Final = 300.0
_DELETED_SECONDS: Final = 10.0
_RESPONSE_BYTES: Final = 16_384
"""More than a response of one input takes."""


class Broker:
    """A broker given, or the embedded one; topics made here are deleted when the benchmark ends.

    Args:
        leaving: Ends the embedded one.
        bootstrap: Address of a broker; None: the embedded one.
        replication: Replicas of the topics that are made.
    """

    def __init__(self, leaving: ExitStack, bootstrap: str | None, replication: int = 1) -> None:
        self._leaving = leaving
        self._embedded = None if bootstrap else leaving.enter_context(EmbeddedBroker())
        self.bootstrap = bootstrap or (self._embedded.bootstrap if self._embedded else "")
        self.cluster = Cluster.probe(KafkaSettings(bootstrap=self.bootstrap, replication=replication))
        self.name = self.cluster.profile.name

    @property
    def most_outstanding(self) -> int:
        """Requests that may be unanswered at once: the embedded broker drops what nobody has read in time."""
        profile = self.cluster.profile
        if profile.partitions is None:
            return sys.maxsize
        return profile.partitions * profile.reply_window_bytes // _RESPONSE_BYTES

    def topics(self) -> TopicNames:
        """Our topics under a prefix of their own."""
        topics = TopicNames(f"benchmark-{uuid.uuid4().hex[:8]}")
        if self._embedded:
            self._embedded.create_topics(topics)
        else:
            create_topics(self.cluster, topics.all())
            self._leaving.callback(self._delete, list(topics.all()))
        return topics

    def plain_topic(self) -> str:
        """A topic of one partition."""
        name = f"benchmark-{uuid.uuid4().hex[:8]}"
        if self._embedded:
            self._embedded.create_topic(name, 1)
        else:
            self._admin.create_topics([NewTopic(name, 1)])[name].result()
            self._leaving.callback(self._delete, [name])
        return name

    def _delete(self, names: list[str]) -> None:
        for future in self._admin.delete_topics(names).values():
            future.result(_DELETED_SECONDS)

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap})


def launch_worker(
    leaving: ExitStack, broker: Broker, topics: TopicNames, *flags: str, log: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """A worker process, which ends with the benchmark; it is not ready yet.

    Args:
        leaving: Ends it.
        broker: Where its topics are.
        topics: Their names.
        flags: Further ones of the command.
        log: Where to log everything; None: warnings on standard error.
    """
    level = "info" if log else "warning"
    common = ("--bootstrap", broker.bootstrap, "--prefix", topics.prefix, "--log-level", level)
    return _launch(leaving, "worker", *common, *flags, log=log)


def start_worker(
    leaving: ExitStack, broker: Broker, topics: TopicNames, *flags: str, log: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """A worker process that takes requests; arguments as of `launch_worker`.

    Raises:
        SystemExit: It ended, or is not ready in time.
    """
    worker = launch_worker(leaving, broker, topics, *flags, log=log)
    view = WorkersView(broker.cluster, topics)
    until = time.monotonic() + _READY_SECONDS
    while not view.ready():
        if worker.poll() is not None or time.monotonic() > until:
            raise SystemExit("the worker does not become ready")
        view.refresh(0.2)
    view.close()
    return worker


def start_api(leaving: ExitStack, broker: Broker, topics: TopicNames) -> str:
    """An API process that has found its worker.

    Returns:
        Its address.

    Raises:
        SystemExit: It ended, or is not ready in time.
    """
    port = free_port()
    common = ("--bootstrap", broker.bootstrap, "--prefix", topics.prefix, "--log-level", "warning")
    api = _launch(leaving, "api", *common, "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    wait_until_answered(f"{url}/v1/health/ready", api)
    return url


def wait_until_answered(url: str, server: subprocess.Popen[bytes]) -> None:
    """Until the address answers with 200.

    Raises:
        SystemExit: The server ended, or does not answer in time.
    """
    until = time.monotonic() + _READY_SECONDS
    while not _is_answered(url):
        if server.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"{url} does not answer")
        time.sleep(0.1)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a process and wait for its end."""
    process.terminate()
    process.wait()


def _launch(leaving: ExitStack, *command: str, log: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    # A setting in the caller's environment would be measured without anybody knowing.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_EMBEDDINGS_")}
    process = subprocess.Popen([sys.executable, "-m", "cli.main", *command], env=inherited, stderr=log)
    leaving.callback(end, process)
    return process


def _is_answered(url: str) -> bool:
    try:
        with urllib.request.urlopen(url) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False
