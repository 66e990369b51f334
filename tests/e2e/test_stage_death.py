"""No stage dies quietly: the process ends, says why, and has committed nothing that was not answered."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest
from confluent_kafka.admin import AdminClient

from schemas.topics import Lane
from worker.attempts import Attempt

from .conftest import kafka_place_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kafka_broker import KafkaBroker

    from .conftest import WorkerProcess
    from .place import Place


_DIES: Final = """
from importlib import import_module

def dies(*_):
    raise RuntimeError("injected")

setattr(getattr(import_module({module!r}), {name!r}), {method!r}, dies)

from cli.main import run

run()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "module", "name", "method"),
    [
        ("intake-bulk", "worker.intake", "Intake", "_admit"),
        ("tokenization", "worker.tokenization", "Tokenization", "_tokenize"),
        ("encoder", "worker.scheduler", "Scheduler", "next_batch"),
        ("publisher-bulk", "worker.publisher", "Publisher", "_publish"),
    ],
)
def test_a_worker_one_of_whose_stages_dies_exits_with_status_1_names_it_and_commits_nothing(
    stage: str, module: str, name: str, method: str, kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    script = _DIES.format(module=module, name=name, method=method)
    worker = start_worker(kafka_place, "--encoder", "null", script=script)

    kafka_place.send({"id": "a", "model": "all-MiniLM-L6-v2", "input": "x"})
    kafka_place.flush()

    assert worker.command.wait(60) == 1
    events = [json.loads(line) for line in worker.log.splitlines() if line.startswith("{")]
    (died,) = [event for event in events if event["event"].startswith("stage died")]
    assert died["stage"] == stage
    assert died["causes"][0].startswith("RuntimeError at ")
    # A stage that holds texts must not be quoted: its words may be those of an input.
    assert ("injected" in worker.log) is (stage == "encoder")
    assert set(kafka_place.committed(Lane.BULK).values()) <= {0}
    # It may be the request's doing: the next worker looks more closely.
    assert kafka_place.remembered(Lane.BULK) == {Attempt(1, 1)}


_LOSES_ITS_DEVICE: Final = """
from worker.encoder.device_errors import device_error
from worker.encoder.null import NullEncoder

def lost(*_):
    raise device_error(RuntimeError("CUDA error: an illegal memory access was encountered"))

NullEncoder.encode = lost

from cli.main import run

run()
"""


@pytest.mark.slow
def test_a_worker_that_loses_its_device_exits_with_status_1_says_so_and_commits_nothing(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker(kafka_place, "--encoder", "null", script=_LOSES_ITS_DEVICE)

    kafka_place.send({"id": "a", "model": "all-MiniLM-L6-v2", "input": "x"})
    kafka_place.flush()

    assert worker.command.wait(60) == 1
    assert worker.command.own_lines[-1].startswith("kafka-embeddings: the device is lost, a new process is needed")
    assert set(kafka_place.committed(Lane.BULK).values()) <= {0}
    # It may be the request's doing.
    assert kafka_place.remembered(Lane.BULK) == {Attempt(1, 1)}


@pytest.mark.slow
def test_a_worker_whose_broker_is_silent_when_it_is_told_to_stop_gives_up_and_says_what_that_means(
    kafka_broker: KafkaBroker, start_worker: Callable[..., WorkerProcess]
) -> None:
    place = kafka_place_on(kafka_broker.bootstrap)
    # Nothing is committed before it is told to stop.
    seldom = {"KAFKA_EMBEDDINGS_COMMIT_EVERY_SECONDS": "600"}
    worker = start_worker(place, "--encoder", "null", "--drain-timeout", "1", environment=seldom)
    place.send({"id": "a", "model": "all-MiniLM-L6-v2", "input": "x"})
    place.flush()
    with closing(place.reader(place.topics.responses)) as reader:
        reader.until_count(1)

    kafka_broker.pause()
    try:
        worker.command.signal(signal.SIGTERM)
        assert worker.command.wait(60) == 1
    finally:
        kafka_broker.resume()
    assert worker.command.own_lines[-1] == (
        "kafka-embeddings: the broker did not take the last commits in time: what it lacks is answered again"
    )
    assert "Traceback" not in worker.log


@pytest.mark.slow
def test_a_worker_whose_responses_topic_is_gone_exits_with_status_1_and_names_it(
    kafka_place: Place, start_worker: Callable[..., WorkerProcess]
) -> None:
    place = kafka_place
    # Otherwise librdkafka hopes for half a minute that the topic comes back.
    worker = start_worker(place, "--encoder", "null", "--kafka", "topic.metadata.propagation.max.ms=500")
    admin = AdminClient({"bootstrap.servers": place.bootstrap, "log_level": 0})
    admin.delete_topics([place.topics.responses])[place.topics.responses].result(timeout=30)

    place.send({"id": "a", "model": "all-MiniLM-L6-v2", "input": "x"})
    place.flush()

    assert worker.command.wait(60) == 1
    (line,) = worker.command.own_lines
    assert line.startswith("kafka-embeddings: ")
    assert place.topics.responses in line
    assert "Traceback" not in worker.log
    assert set(place.committed(Lane.BULK).values()) <= {0}
    # That is no request's doing.
    assert place.remembered(Lane.BULK) == {Attempt()}
