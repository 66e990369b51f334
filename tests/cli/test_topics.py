from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient

from schemas.topics import TopicNames
from tests.stack.command import run_command

if TYPE_CHECKING:
    from tests.stack.stack import Stack


def test_what_is_missing_is_created_and_a_second_time_found(kafka_bootstrap: str) -> None:
    names = TopicNames(f"topics-test-{uuid.uuid4().hex}")
    arguments = ("topics", "create", "--bootstrap", kafka_bootstrap, "--prefix", names.prefix)

    status, first = run_command(*arguments)
    again, second = run_command(*arguments)

    assert (status, again) == (0, 0), first.quote() + second.quote()
    for name, spec in names.all().items():
        assert re.search(rf"^{re.escape(name)} +created *$", first.stdout, re.MULTILINE), first.quote()
        assert re.search(rf"^{re.escape(name)} +exists *$", second.stdout, re.MULTILINE), second.quote()
        topics = AdminClient({"bootstrap.servers": kafka_bootstrap}).list_topics(name, timeout=10).topics
        assert len(topics[name].partitions) == spec.partitions


def test_a_further_model_gets_request_topics_of_its_own(kafka_bootstrap: str) -> None:
    names = TopicNames(f"topics-test-{uuid.uuid4().hex}", "other")
    arguments = ("topics", "create", "--bootstrap", kafka_bootstrap, "--prefix", names.prefix)

    run_command(*arguments)
    status, command = run_command(*arguments, "--slug", "other")

    assert status == 0, command.quote()
    created = {line.split()[0] for line in command.stdout.splitlines() if "created" in line}
    assert created == {f"{names.prefix}.other.requests", f"{names.prefix}.other.requests.interactive"}


def test_the_embedded_broker_is_refused_clearly(null_stack: Stack) -> None:
    status, command = run_command("topics", "create", "--bootstrap", null_stack.bootstrap)

    assert status == 2, command.quote()
    [line] = command.stderr.splitlines()
    assert line.startswith("kafka-embeddings: the embedded broker creates its topics itself")


@pytest.mark.slow
def test_a_broker_that_is_not_there_is_named() -> None:
    status, command = run_command("topics", "create", "--bootstrap", "127.0.0.1:1")

    assert status == 1, command.quote()
    [line] = command.stderr.splitlines()
    assert line.startswith("kafka-embeddings: no Kafka broker answers at 127.0.0.1:1: start one, or set --bootstrap")
