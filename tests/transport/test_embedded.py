"""The embedded broker as an object: starts on loopback, makes topics, ends, and says why where it cannot run."""

from __future__ import annotations

import ctypes
import re
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import confluent_kafka
import pytest

from transport import embedded
from transport.cluster import Cluster
from transport.embedded import EmbeddedBroker
from transport.errors import EmbeddedBrokerError
from transport.settings import KafkaSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_it_answers_on_loopback_while_it_is_open_and_is_gone_after() -> None:
    with EmbeddedBroker() as broker:
        address = broker.bootstrap
        found = re.fullmatch(r"127\.0\.0\.1:(\d+)", address)
        assert found is not None
        assert Cluster.probe(KafkaSettings(bootstrap=address)).profile.name == "embedded"

    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(found.group(1)))) != 0


def test_a_second_close_does_nothing() -> None:
    broker = EmbeddedBroker()
    broker.close()
    broker.close()

    assert broker._cluster is None


def test_two_brokers_live_beside_each_other() -> None:
    with EmbeddedBroker() as one, EmbeddedBroker() as other:
        one.create_topic("only-here", 1)

        assert one.bootstrap != other.bootstrap
        assert "only-here" not in Cluster.probe(KafkaSettings(bootstrap=other.bootstrap)).topics()


def test_it_is_kept_awake_while_it_makes_a_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    @contextmanager
    def keeping(address: str) -> Iterator[None]:
        said.append(address)
        yield

    monkeypatch.setattr(embedded, "_kept_awake", keeping)
    with EmbeddedBroker() as broker:
        broker.create_topic("made-awake", 1)

        assert said == [broker.bootstrap]


def test_it_is_kept_awake_by_connections_as_long_as_it_takes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sleeper:
        sleeper.settimeout(20)
        with embedded._kept_awake(f"127.0.0.1:{sleeper.getsockname()[1]}"):
            calls = [sleeper.accept()[0] for _ in range(2)]

    for call in calls:
        assert call.recv(1) == b""
        call.close()


def test_a_topic_that_exists_is_left_as_it_is(embedded_broker: EmbeddedBroker) -> None:
    embedded_broker.create_topic("made-twice", 3)
    embedded_broker.create_topic("made-twice", 5)

    assert Cluster.probe(KafkaSettings(bootstrap=embedded_broker.bootstrap)).topics()["made-twice"] == 3


def test_a_build_that_lacks_a_function_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(embedded._FUNCTIONS, "rd_kafka_mock_of_the_future", (ctypes.c_int, []))

    with pytest.raises(EmbeddedBrokerError, match="lacks rd_kafka_mock_of_the_future: use a Kafka broker"):
        EmbeddedBroker()


def test_an_install_without_the_wheels_library_is_told_to_use_a_broker(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(confluent_kafka, "__file__", str(tmp_path / "confluent_kafka" / "__init__.py"))

    with pytest.raises(EmbeddedBrokerError, match="this install has none: use a Kafka broker with --bootstrap"):
        EmbeddedBroker()
