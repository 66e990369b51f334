from __future__ import annotations

import signal
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from schemas.topics import TopicNames
from tests.stack.command import Command, run_command
from tests.stack.stack import Stack

from .forwarder import Forwarder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def late_broker() -> Iterator[Forwarder]:
    with Forwarder() as forwarder:
        yield forwarder


@pytest.mark.slow
@pytest.mark.parametrize("command", ["worker", "api"])
def test_a_missing_broker_is_told_at_once_and_found_when_it_comes(late_broker: Forwarder, command: str) -> None:
    flags = ["--encoder", "null"] if command == "worker" else ["--port", "0"]
    with Command(command, "--bootstrap", late_broker.address, *flags) as process, Stack() as stack:
        warned = process.wait_for(r".*no Kafka broker answers at [^\n]*")
        assert f"{late_broker.address}: start one, or set --bootstrap" in warned.group()
        assert process.is_running

        late_broker.open(stack.bootstrap)

        process.wait_for('"ready"' if command == "worker" else '"connected"')
        assert process.own_lines == []
        process.signal(signal.SIGTERM)
        assert process.wait() == 0, process.quote()


@pytest.mark.slow
def test_a_worker_without_a_broker_stops_when_told_to() -> None:
    with Command("worker", "--bootstrap", "127.0.0.1:1", "--encoder", "null") as worker:
        worker.wait_for("no Kafka broker answers")
        told_at = time.monotonic()
        worker.signal(signal.SIGTERM)

        assert worker.wait() == 0, worker.quote()
        assert time.monotonic() - told_at < 8


def test_missing_topics_end_it_in_one_line_that_names_the_command(kafka_bootstrap: str) -> None:
    names = TopicNames(f"worker-test-{uuid.uuid4().hex}")

    status, worker = run_command(
        "worker", "--encoder", "null", "--bootstrap", kafka_bootstrap, "--prefix", names.prefix
    )

    assert status == 2, worker.quote()
    [line] = worker.own_lines
    assert line.startswith(f"kafka-embeddings: no topic {names.requests}, ")
    assert f"`kafka-embeddings topics create --bootstrap {kafka_bootstrap}" in line


def test_a_model_directory_that_is_not_there_ends_it_in_one_line(null_stack: Stack, tmp_path: Path) -> None:
    missing = tmp_path / "no-model"

    status, worker = run_command("worker", "--bootstrap", null_stack.bootstrap, "--model", str(missing))

    assert status == 2, worker.quote()
    assert worker.own_lines == [
        f"kafka-embeddings: no model directory {missing}: set --model to a directory or a hub id"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("option", ["no.such.option=1", "fetch.no.such=1", "message.send.max.retries=many"])
def test_an_option_that_librdkafka_does_not_know_ends_it_in_one_line_without_a_secret(
    null_stack: Stack, option: str
) -> None:
    arguments = ("worker", "--encoder", "null", "--bootstrap", null_stack.bootstrap, "--log-level", "debug")

    status, worker = run_command(*arguments, "--kafka", option, "--kafka", "sasl.password=s3cr3t-word")

    assert status == 2, worker.quote()
    [line] = worker.own_lines
    assert line.startswith("kafka-embeddings: librdkafka refuses the settings: ")
    assert option.partition("=")[0] in line
    assert "s3cr3t-word" not in worker.stderr + worker.stdout
