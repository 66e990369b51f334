"""Under exactly-once a read_committed reader sees one answer to each request, whatever happens to the workers."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from schemas import headers as names
from schemas.topics import Lane, TopicNames
from tests.exactly_once import has_open_transaction, open_transactions, problems
from tests.groups import shorten_sessions
from tests.stack.command import run_command
from tests.stack.stack import Api
from tests.stack.waiting import wait_until
from transport.embedded import EmbeddedBroker

from .conftest import kafka_place_on
from .place import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kafka_broker import KafkaBroker

    from .conftest import WorkerProcess

    StartWorker = Callable[..., WorkerProcess]

# Small batches and transactions without a pause, so that whatever happens meets one.
FLAGS = ("--encoder", "null", "--delivery", "exactly-once", "--budget-tokens", "256")
# A given cluster refuses less than 6 s.
SESSION_SECONDS = 6 if "KAFKA_BOOTSTRAP" in os.environ else 2
SETTINGS = {
    "KAFKA_EMBEDDINGS_COMMIT_EVERY_SECONDS": "0.01",
    "KAFKA_EMBEDDINGS_TRANSACTION_TIMEOUT_SECONDS": "5",
    "KAFKA_EMBEDDINGS_KAFKA__SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
}
# Of a worker that is to be met within a transaction: it publishes a hundred answers in a twentieth of a second.
SLOWLY = SETTINGS | {
    "KAFKA_EMBEDDINGS_KAFKA__OPTIONS": '{"linger.ms": "50", "queue.buffering.max.messages": "100"}',
}
BURST = 1500


class Load:
    """Requests, and how many of them the group has done with."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._sent = 0
        self._done = self._done_before = 0

    def send(self, count: int = BURST) -> None:
        self._done_before = self.done
        for number in range(self._sent, self._sent + count):
            self._place.send({"id": f"r{number}", "model": "all-MiniLM-L6-v2", "input": "word " * (number % 50 + 1)})
        self._place.flush()
        self._sent += count

    @property
    def done(self) -> int:
        """As the group has it; as it last had it, while the broker does not say."""
        with contextlib.suppress(TimeoutError, KafkaException):
            self._done = sum(self._place.committed(Lane.BULK).values())
        return self._done

    @property
    def is_done(self) -> bool:
        return self.done >= self._sent

    def reconnect(self) -> None:
        """Ask by a new client: one that met a broker without its partitions may get no answer any more."""
        self._place = Place(self._place.bootstrap, self._place.topics)

    def wait_until_done(self) -> None:
        wait_until(lambda: self.is_done, f"{self._sent} requests done", 60, lambda: f"{self.done} are")

    def wait_until_more_is_done(self) -> None:
        """Than when the last were sent."""
        wait_until(lambda: self.done > self._done_before, "progress", explain=lambda: f"{self.done} of {self._sent}")


def _pause_within_a_transaction(worker: WorkerProcess, place: Place, load: Load) -> None:
    """Leave the worker, which works under `SLOWLY`, paused while a transaction of its is open."""
    answers = place.bootstrap, place.topics.responses
    for _ in range(20):
        load.send()
        wait_until(
            lambda: load.is_done or has_open_transaction(*answers), "a transaction", explain=worker.command.quote
        )
        worker.command.pause()
        # One that the broker is just ending, or another worker's, does not stay, which takes a second look at least;
        # nor may the session pass meanwhile.
        until = time.monotonic() + SESSION_SECONDS / 4
        still_open = open_transactions(*answers)
        while still_open:
            still_open &= open_transactions(*answers)
            if time.monotonic() > until:
                break
        if still_open:
            return
        worker.command.resume()
    raise AssertionError("the worker was never met within a transaction")


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_each_request_is_answered_once_whatever_happens_to_two_workers(
    protocol: str, kafka_place: Place, start_worker: StartWorker
) -> None:
    place, load = kafka_place, Load(kafka_place)
    settings = {"KAFKA_EMBEDDINGS_KAFKA__GROUP_PROTOCOL": protocol}
    if protocol == "consumer":
        shorten_sessions(place.bootstrap, place.topics, SESSION_SECONDS)
    load.send()
    killed = start_worker(place, *FLAGS, environment=SLOWLY | settings)
    load.wait_until_more_is_done()

    # Another one joins while work is under way.
    load.send()
    other = start_worker(place, *FLAGS, environment=SETTINGS | settings)
    other.command.wait_for("partitions assigned")

    # The first is killed within a transaction, and comes back.
    _pause_within_a_transaction(killed, place, load)
    killed.command.kill()
    killed.start()
    load.send()
    load.wait_until_more_is_done()

    # One after the other leaves in order, with work under way: its last transaction commits.
    load.send()
    assert other.terminate() == 0, other.log
    load.wait_until_done()
    assert killed.terminate() == 0, killed.log

    assert problems(place.bootstrap, place.topics) == []


@pytest.mark.slow
def test_a_worker_that_slept_while_its_id_was_taken_is_fenced_says_so_and_nothing_is_lost(
    kafka_place: Place, start_worker: StartWorker
) -> None:
    place, load = kafka_place, Load(kafka_place)
    load.send()
    asleep = start_worker(place, *FLAGS, environment=SLOWLY)
    transactional_id = asleep.command.wait_for(r'"transactional_id": "([^"]+)"').group(1)
    assert transactional_id.startswith(f"{place.topics.prefix}.bulk.")
    _pause_within_a_transaction(asleep, place, load)

    # Whoever takes the id aborts what was open under it, as the broker itself does after the timeout.
    Producer({"bootstrap.servers": place.bootstrap, "transactional.id": transactional_id}).init_transactions(30)
    start_worker(place, *FLAGS, environment=SETTINGS)
    load.wait_until_done()
    asleep.command.resume()
    load.send()

    load.wait_until_done()
    assert asleep.command.wait() == 1, asleep.log
    assert "was fenced" in asleep.command.own_lines[-1]
    assert problems(place.bootstrap, place.topics) == []


@pytest.mark.slow
def test_an_answer_too_large_for_its_topic_aborts_its_transaction_and_is_answered_by_an_error(
    kafka_place: Place, start_worker: StartWorker
) -> None:
    place, load = kafka_place, Load(kafka_place)
    small = f"{place.topics.replies}.small"
    admin = AdminClient({"bootstrap.servers": place.bootstrap})
    admin.create_topics([NewTopic(small, 1, 1, config={"max.message.bytes": "1500"})])[small].result(10)
    load.send(500)
    # Kafka's limit is one of compressed bytes.
    noise = base64.b64encode(os.urandom(6000)).decode()
    place.send(
        {"id": "large", "model": "all-MiniLM-L6-v2", "input": "text", "metadata": {"noise": noise}},
        headers=[(names.REPLY_TOPIC, small.encode())],
        partition=0,
    )
    load.send(500)
    worker = start_worker(place, *FLAGS, environment=SETTINGS)

    wait_until(lambda: load.done == 1001, "1001 requests done", 30, worker.command.quote)
    assert problems(place.bootstrap, place.topics, more=[small]) == []
    assert "transaction aborted" in worker.log
    reader = place.reader(small)
    [answer] = reader.until_count(1)
    assert answer.body["error"]["code"] == "response_too_large"
    reader.close()


@pytest.mark.slow
def test_each_request_is_answered_once_although_the_broker_is_killed(
    kafka_broker: KafkaBroker, start_worker: StartWorker
) -> None:
    place = kafka_place_on(kafka_broker.bootstrap)
    load = Load(place)
    worker = start_worker(place, *FLAGS, environment=SLOWLY)
    load.send()
    load.wait_until_done()

    # At the beginning of a transaction: of one whose commit it was just writing down, Apache Kafka 4.3.1 forgets
    # the rest when it is back, and nobody can mend it (see docs/reliability.md).
    load.send()
    answers = place.bootstrap, place.topics.responses
    wait_until(lambda: has_open_transaction(*answers), "a transaction", explain=worker.command.quote)
    kafka_broker.kill()
    kafka_broker.restart()
    load.reconnect()
    load.send()

    # A transaction that librdkafka does not come back from ends the worker, which somebody starts again.
    wait_until(lambda: load.is_done or not worker.command.is_running, "the end of the last transaction", 60)
    if not worker.command.is_running:
        # Of a coordinator's death in mid-transaction librdkafka may also abort the process.
        assert worker.command.wait() in (1, -signal.SIGABRT)
        worker.start()
    load.wait_until_done()
    assert worker.terminate() == 0, worker.log
    assert problems(place.bootstrap, place.topics) == []


# --- the start --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_embedded_broker_is_refused() -> None:
    with EmbeddedBroker() as broker:
        broker.create_topics(TopicNames())
        status, worker = run_command("worker", "--bootstrap", broker.bootstrap, *FLAGS)

    assert status == 2
    assert worker.own_lines[-1].startswith("kafka-embeddings: the embedded broker's transactions are hollow")


@pytest.mark.slow
def test_requests_of_the_interactive_lane_are_left_to_other_workers(
    kafka_place: Place, start_worker: StartWorker
) -> None:
    place, load = kafka_place, Load(kafka_place)
    start_worker(place, *FLAGS)
    with Api("api", *place.flags, "--port", "0") as api:
        api.wait_for('"connected"')
        load.send(1)
        load.wait_until_done()
        assert api.readiness() == 503

        start_worker(place, "--encoder", "null", "--lanes", "interactive")
        api.wait_until_ready()
        answer = api.http.post("/v1/embeddings", json={"model": "all-MiniLM-L6-v2", "input": "text"})
        assert answer.status_code == 200, answer.text
