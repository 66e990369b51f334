"""The test broker itself: what every test on real Kafka leans on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.topics import RESPONSES, TopicNames

from .broker import KafkaBroker
from .controller import KafkaController
from .distribution import KAFKA_VERSION, java_major, why_no_kafka
from .process import BrokerError, free_port
from .properties import server_properties

if TYPE_CHECKING:
    from collections.abc import Callable

_BOUND_SECONDS = 30.0


def _create(bootstrap: str, topic: NewTopic) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([topic])[topic.topic].result(_BOUND_SECONDS)


def _produce(bootstrap: str, topic: str, value: bytes, key: bytes | None = None) -> None:
    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failures.append(error)

    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 17_000_000})
    producer.produce(topic, value, key, on_delivery=delivered)
    assert producer.flush(_BOUND_SECONDS) == 0
    assert failures == []


def _consume_one(bootstrap: str, topic: str) -> Message:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "probe", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        message = consumer.poll(_BOUND_SECONDS)
    finally:
        consumer.close()
    assert message is not None
    assert message.error() is None
    return message


def _wait_until(condition: Callable[[], bool], within_seconds: float = _BOUND_SECONDS) -> bool:
    deadline = time.monotonic() + within_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def prefix() -> str:
    """A topic prefix of the test's own: a given cluster keeps what earlier runs left."""
    return f"broker-test-{uuid.uuid4().hex}"


def test_a_message_produced_is_consumed_with_its_key(kafka_bootstrap: str, prefix: str) -> None:
    _create(kafka_bootstrap, NewTopic(prefix, 1))
    _produce(kafka_bootstrap, prefix, b"value", b"key")

    message = _consume_one(kafka_bootstrap, prefix)

    assert (message.key(), message.value()) == (b"key", b"value")


def test_every_topic_of_the_table_is_allowed_and_its_largest_message_passes(
    kafka_bootstrap: str, prefix: str
) -> None:
    names = TopicNames(prefix)
    for name, spec in names.all().items():
        _create(kafka_bootstrap, NewTopic(name, 1, config=spec.config))
    largest = b"x" * (RESPONSES.max_message_bytes - 1024)

    _produce(kafka_bootstrap, names.responses, largest)

    assert _consume_one(kafka_bootstrap, names.responses).value() == largest


@pytest.mark.skipif("KAFKA_BOOTSTRAP" in os.environ, reason="a given cluster may create topics by itself")
def test_a_topic_nobody_created_stays_unknown(kafka_bootstrap: str, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})

    found = admin.list_topics(prefix, timeout=_BOUND_SECONDS).topics[prefix]

    assert found.error is not None
    assert found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_data_survive_kill_9_and_restart_on_the_same_port(kafka_broker: KafkaBroker) -> None:
    _create(kafka_broker.bootstrap, NewTopic("kept", 1))
    _produce(kafka_broker.bootstrap, "kept", b"before the kill")
    before = kafka_broker.bootstrap

    kafka_broker.kill()
    assert not _listens(kafka_broker.port)
    kafka_broker.restart()

    assert kafka_broker.bootstrap == before
    assert _consume_one(before, "kept").value() == b"before the kill"


def test_a_controller_apart_lives_on_while_its_broker_is_dead_and_ends_when_the_broker_is_stopped(
    kafka_runs_here: None,
) -> None:
    controller = KafkaController()
    with KafkaBroker(controller=controller) as broker:
        broker.kill()
        assert _listens(controller.port)
        broker.restart()
        assert AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=_BOUND_SECONDS).brokers
    assert not _listens(controller.port)


def test_the_broker_ends_with_the_interpreter_that_started_it_even_by_kill_9(kafka_runs_here: None) -> None:
    script = (
        "import sys; from tests.kafka_broker import KafkaBroker; broker = KafkaBroker(); broker.start();"
        "print(broker.port, broker.data, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        port, data = owner.stdout.readline().split(maxsplit=1)
        assert _listens(int(port))
        owner.kill()

    # Seconds later it would end anyway, for want of the data the guard removes: hence the short bound.
    assert _wait_until(lambda: not _listens(int(port)), within_seconds=3.0)
    assert _wait_until(lambda: not Path(data.strip()).exists())


def test_the_foreground_command_says_where_it_answers_and_exits_0_on_ctrl_c(
    kafka_runs_here: None, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.kafka_broker", "--port", str(port), "--data", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as foreground:
        assert foreground.stdout is not None
        first = foreground.stdout.readline()
        foreground.send_signal(signal.SIGINT)
        code = foreground.wait(_BOUND_SECONDS)

    assert f"Apache Kafka {KAFKA_VERSION} answers on 127.0.0.1:{port}" in first
    assert code == 0
    assert (tmp_path / "data" / "log" / "meta.properties").is_file()


def test_an_id_that_begins_with_a_hyphen_is_no_flag(kafka_runs_here: None, tmp_path: Path) -> None:
    broker = KafkaBroker(data=tmp_path, cluster_id="-4-iIvWqRLyQ3S3Ip5nzJA")
    properties = tmp_path / "server.properties"
    properties.write_text(server_properties(free_port(), free_port(), tmp_path / "log"))

    broker.format(properties)

    assert "cluster.id=-4-iIvWqRLyQ3S3Ip5nzJA" in (tmp_path / "log" / "meta.properties").read_text()


def test_a_taken_port_is_named_and_nothing_is_started() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        broker = KafkaBroker(port=port)
        with pytest.raises(BrokerError, match=f"port {port} is taken"), broker:
            pass
    assert broker.exit_code is None
    assert not broker.data.exists()


@pytest.mark.parametrize(
    ("says", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_402"', 1),
        ("no version at all", None),
    ],
)
def test_the_java_version_is_read_from_what_java_says(says: str, major: int | None, tmp_path: Path) -> None:
    fake = tmp_path / "java"
    fake.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    fake.chmod(0o755)

    assert java_major(str(fake)) == major


def test_an_old_java_is_the_reason_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "java"
    fake.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    fake.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    assert why_no_kafka() == f"{fake} is Java 11: Kafka needs 17 or newer"


def test_a_missing_java_is_the_reason_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    reason = why_no_kafka()

    assert reason is not None
    assert "no java command found" in reason
