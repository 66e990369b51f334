"""Kafka clients of other languages on a real Kafka: each text gets its own vector, by key and by correlation id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stack.stack import MODEL

from .vectors import TEXTS, assert_same_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .environments import JavaClients, NodeClients

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(900)]


# --- org.apache.kafka:kafka-clients -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def java(java_clients: JavaClients, kafka_worker: tuple[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = java_clients.run("WithKafkaClients", *kafka_worker, MODEL, *TEXTS)
    return answer


def test_javas_own_client_finds_each_response_by_the_key_of_its_request(
    java: dict[str, Any], expected: NDArray[np.float32]
) -> None:
    assert_same_vectors(java["by_key"]["vectors"], expected)


def test_javas_own_client_finds_each_reply_by_its_correlation_id(
    java: dict[str, Any], expected: NDArray[np.float32]
) -> None:
    assert_same_vectors(java["by_correlation"]["vectors"], expected)


def test_replies_to_requests_of_one_key_reach_javas_own_client_in_the_order_of_the_requests(
    java: dict[str, Any],
) -> None:
    assert java["by_correlation"]["arrived"] == java["by_correlation"]["ids"]


# --- spring-kafka -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spring(java_clients: JavaClients, kafka_worker: tuple[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = java_clients.run("WithSpring", *kafka_worker, MODEL, *TEXTS)
    return answer


def test_springs_template_completes_each_future_with_the_reply_to_its_request(
    spring: dict[str, Any], expected: NDArray[np.float32]
) -> None:
    assert spring["keys"] == spring["ids"]
    assert_same_vectors(spring["vectors"], expected)


def test_springs_template_fails_the_future_of_a_refused_request_with_the_reason(spring: dict[str, Any]) -> None:
    assert spring["refused"].startswith("context_length_exceeded: ")


# --- kafkajs ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kafkajs(node_clients: NodeClients, kafka_worker: tuple[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = node_clients.run("with_kafkajs.js", *kafka_worker, MODEL, *TEXTS)
    return answer


def test_kafkajs_finds_each_reply_by_its_correlation_id(
    kafkajs: dict[str, Any], expected: NDArray[np.float32]
) -> None:
    assert kafkajs["keys"] == kafkajs["ids"]
    assert_same_vectors(kafkajs["vectors"], expected)
