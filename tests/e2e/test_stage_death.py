"""No stage dies quietly: the process ends, says why, and has committed nothing that was not answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient

from schemas.topics import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import WorkerProcess
    from .place import Place


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
    assert place.committed(Lane.BULK) == {}
