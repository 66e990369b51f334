"""Replicas of the API that die, come back and share a reply partition: everybody gets the answer to his own question.

The worker of these tests answers when it is told to, each text with a vector of its own.
"""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from schemas.beats import Beat, WorkerState
from tests.client.conftest import PARTITIONS, new_topics
from tests.client.stand_in_worker import DIM, StandInWorker, vector_of
from tests.stack.stack import Api
from tests.stack.waiting import wait_until
from tests.transport.conftest import kafka

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from schemas.topics import TopicNames
    from tests.transport.testbed import Testbed
    from transport.messages import Message

__all__ = ["kafka"]

pytestmark = pytest.mark.slow

_MODEL: Final = "m"
_BEAT: Final = Beat(
    worker_id="w", model=_MODEL, state=WorkerState.READY, dim=DIM, max_tokens=256, revision="r", started_at_ms=1
)
_STRANGERS: Final = "unawaited_replies_total"


def _partition(instance_id: str) -> int:
    return zlib.crc32(instance_id.encode()) % PARTITIONS


_REPLICA: Final = "replica-0"
_OTHERS: Final = [f"replica-{number}" for number in range(1, 100)]
_NEIGHBOUR: Final = next(name for name in _OTHERS if _partition(name) == _partition(_REPLICA))
"""Another replica on the same reply partition."""
_ELSEWHERE: Final = next(name for name in _OTHERS if _partition(name) != _partition(_REPLICA))


class _Hesitant:
    """What a worker was asked; it answers what it is told to, when it is told to."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[StandInWorker, Message]] = {}

    def __call__(self, worker: StandInWorker, message: Message) -> None:
        text = (message.value or b"").decode()
        self._asked[text] = worker, message

    def _find(self, text: str) -> tuple[StandInWorker, Message] | None:
        return next((asked for body, asked in list(self._asked.items()) if f'"{text}"' in body), None)

    def has(self, text: str) -> bool:
        return self._find(text) is not None

    def answer(self, text: str) -> None:
        found = self._find(text)
        assert found is not None
        worker, message = found
        worker.answer(message)


class _Service:
    """Topics, a hesitant worker, and callers."""

    def __init__(self, testbed: Testbed, topics: TopicNames, threads: ThreadPoolExecutor) -> None:
        self._testbed = testbed
        self._topics = topics
        self._threads = threads
        self.asked = _Hesitant()

    @contextmanager
    def replica(self, instance_id: str) -> Iterator[Api]:
        place = ["--bootstrap", self._testbed.cluster.settings.bootstrap, "--prefix", self._topics.prefix]
        environment = {"KAFKA_EMBEDDINGS_CLIENT__INSTANCE_ID": instance_id}
        with Api("api", *place, "--port", "0", environment=environment) as api:
            api.wait_until_ready()
            yield api

    def ask(self, api: Api, text: str) -> Future[list[float] | None]:
        """Ask, and wait until the worker has the question: its vector, or None where the replica dies over it."""

        def post() -> list[float] | None:
            try:
                with httpx.Client(base_url=api.url, timeout=30, verify=False) as http:
                    answer = http.post("/v1/embeddings", json={"model": _MODEL, "input": text})
            except httpx.TransportError:
                return None
            assert answer.status_code == 200, answer.text
            vector: list[float] = answer.json()["data"][0]["embedding"]
            return vector

        asking = self._threads.submit(post)
        wait_until(lambda: self.asked.has(text), f"{text!r} with the worker")
        return asking


@pytest.fixture
def service(kafka: Testbed) -> Iterator[_Service]:
    topics = new_topics(kafka)
    with ThreadPoolExecutor() as threads:
        made = _Service(kafka, topics, threads)
        with StandInWorker(kafka, topics, made.asked, beat=_BEAT):
            yield made


def test_a_reply_for_a_dead_replica_is_dropped_by_its_neighbour_on_the_partition_whose_callers_are_answered(
    service: _Service,
) -> None:
    with service.replica(_REPLICA) as dies, service.replica(_NEIGHBOUR) as neighbour:
        lost = service.ask(dies, "lost")
        kept = service.ask(neighbour, "kept")
        dies.kill()
        assert lost.result(30) is None
        service.asked.answer("lost")
        service.asked.answer("kept")

        assert kept.result(30) == vector_of("kept")
        assert neighbour.metrics()[_STRANGERS] == 1
        assert neighbour.metrics()["pending_replies"] == 0
        later = service.ask(neighbour, "later")
        service.asked.answer("later")
        assert later.result(30) == vector_of("later")


def test_a_replica_that_comes_back_on_its_partition_gives_no_old_reply_to_a_new_caller(service: _Service) -> None:
    with service.replica(_REPLICA) as first:
        early, late = service.ask(first, "early"), service.ask(first, "late")
        first.kill()
    assert (early.result(30), late.result(30)) == (None, None)
    service.asked.answer("early")  # while nobody reads the partition

    with service.replica(_REPLICA) as back, service.replica(_ELSEWHERE) as elsewhere:
        new = service.ask(back, "new")
        other = service.ask(elsewhere, "other")
        for text in ("late", "new", "other"):
            service.asked.answer(text)

        assert new.result(30) == vector_of("new")
        assert other.result(30) == vector_of("other")
        # It begins at the end: of the two old ones it meets the one that came after that.
        assert back.metrics()[_STRANGERS] == 1
        assert elsewhere.metrics()[_STRANGERS] == 0
