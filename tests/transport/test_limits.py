"""`transport/limits.py`: what must agree along a message's way, on a real Kafka; what is wrong is named."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from pydantic import SecretStr
from structlog.testing import capture_logs

from schemas.topics import DEAD_LETTERS, ERRORS, REQUESTS, RESPONSES, Lane, TopicNames
from tests.stack.waiting import wait_until
from transport import limits as limits_module
from transport.cluster import Cluster
from transport.errors import SettingsError, TopicSetupError
from transport.limits import check_broker_limits, check_client_limits, check_dead_letters, message_limits
from transport.profiles import EMBEDDED, KAFKA
from transport.settings import KafkaSettings
from transport.topic_setup import create_topics

if TYPE_CHECKING:
    from transport.profiles import BrokerProfile


def a_cluster(profile: BrokerProfile = KAFKA, **options: str) -> Cluster:
    """One that nobody has asked yet."""
    given = {name.replace("_", "."): SecretStr(value) for name, value in options.items()}
    return Cluster(KafkaSettings(bootstrap="127.0.0.1:1", options=given), profile)


# --- our clients ------------------------------------------------------------------------------------------


def test_clients_left_as_they_are_take_every_message_of_the_table() -> None:
    for profile in (KAFKA, EMBEDDED):
        check_client_limits(a_cluster(profile), publishes=[RESPONSES, ERRORS], reads=[REQUESTS])


@pytest.mark.parametrize(
    ("option", "needed"),
    [
        ("message_max_bytes", RESPONSES.max_message_bytes),
        ("receive_message_max_bytes", REQUESTS.max_message_bytes + 1024),
    ],
)
def test_a_clients_limit_below_a_topics_is_refused_with_the_option_and_what_is_needed(
    option: str, needed: int
) -> None:
    check_client_limits(a_cluster(**{option: str(needed)}), publishes=[RESPONSES], reads=[REQUESTS])
    with pytest.raises(SettingsError, match=f"{option.replace('_', '.')}={needed - 1} .* {needed} are needed"):
        check_client_limits(a_cluster(**{option: str(needed - 1)}), publishes=[RESPONSES], reads=[REQUESTS])


def test_fetch_sizes_may_be_small_since_a_first_message_is_fetched_whatever_its_size() -> None:
    options = {"fetch_max_bytes": "1000", "fetch_message_max_bytes": "1000"}
    check_client_limits(a_cluster(**options), publishes=[RESPONSES], reads=[REQUESTS])


# --- topics -----------------------------------------------------------------------------------------------


@pytest.fixture
def place(kafka_bootstrap: str) -> tuple[Cluster, TopicNames]:
    cluster, names = (
        Cluster.probe(KafkaSettings(bootstrap=kafka_bootstrap)),
        TopicNames(f"limits-{uuid.uuid4().hex[:8]}"),
    )
    create_topics(cluster, {name: spec for name, spec in names.all().items() if spec in (REQUESTS, DEAD_LETTERS)})
    return cluster, names


def set_limit(cluster: Cluster, topic: str, size_bytes: int) -> None:
    entry = ConfigEntry("max.message.bytes", str(size_bytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": cluster.settings.bootstrap, "log_level": 0})
    admin.incremental_alter_configs([resource])[resource].result(timeout=10)
    wait_until(lambda: message_limits(cluster, [topic]) == {topic: size_bytes}, "the limit to be told")


def test_the_limits_of_topics_are_read_and_those_that_are_not_there_left_out(
    place: tuple[Cluster, TopicNames],
) -> None:
    cluster, names = place
    set_limit(cluster, names.dead_letters, 12_345_678)
    limits = message_limits(cluster, [names.requests, names.dead_letters, names.responses])
    assert limits == {names.requests: REQUESTS.max_message_bytes, names.dead_letters: 12_345_678}


def test_a_request_that_may_be_larger_than_a_dead_letter_is_refused_with_the_setting_to_change(
    place: tuple[Cluster, TopicNames],
) -> None:
    cluster, names = place
    check_dead_letters(cluster, names, Lane)
    set_limit(cluster, names.requests, 2 * REQUESTS.max_message_bytes)
    with pytest.raises(
        TopicSetupError, match=f"max.message.bytes of {names.dead_letters} to {2**24 + 65536}, or lower"
    ):
        check_dead_letters(cluster, names, Lane)


def test_the_requests_of_a_lane_that_is_left_to_other_workers_may_be_larger_than_a_dead_letter(
    place: tuple[Cluster, TopicNames],
) -> None:
    cluster, names = place
    set_limit(cluster, names.requests, 2 * REQUESTS.max_message_bytes)
    check_dead_letters(cluster, names, [Lane.INTERACTIVE])
    with pytest.raises(TopicSetupError, match=f"topic {names.requests} takes"):
        check_dead_letters(cluster, names, [Lane.BULK])


# --- brokers ----------------------------------------------------------------------------------------------


def test_a_broker_as_it_comes_takes_the_largest_message(place: tuple[Cluster, TopicNames]) -> None:
    with capture_logs() as logs:
        check_broker_limits(place[0], RESPONSES.max_message_bytes)
    assert logs == []


@pytest.mark.parametrize("config", [{}, {"socket.request.max.bytes": "16777216"}])
def test_a_broker_that_would_hang_up_is_refused_and_one_whose_settings_cannot_be_read_is_not(
    config: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_module, "_broker_config", lambda _: config)
    check_broker_limits(a_cluster(), 16_777_216)
    if config:
        with pytest.raises(TopicSetupError, match=r"socket\.request\.max\.bytes"):
            check_broker_limits(a_cluster(), 16_777_217)


def test_small_fetches_of_replicas_are_told_of_and_harm_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "_broker_config", lambda _: {"replica.fetch.max.bytes": "1048576"})
    with capture_logs() as logs:
        check_broker_limits(a_cluster(), 16_777_216)
    [line] = logs
    assert (line["log_level"], line["found"], line["largest_message"]) == ("warning", 1_048_576, 16_777_216)
    assert "replica.fetch.max.bytes" in line["event"]


def test_a_broker_that_lets_nobody_read_its_settings_is_not_checked_and_that_is_told(
    place: tuple[Cluster, TopicNames], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, _ = place
    # No broker has this number: refused, as it is without the right to describe.
    monkeypatch.setattr(cluster, "any_broker", lambda: 12345)
    monkeypatch.setattr(limits_module, "_ASK_SECONDS", 1.0)
    with capture_logs() as logs:
        check_broker_limits(cluster, RESPONSES.max_message_bytes)
    assert ["its limits are not checked" in line["event"] for line in logs] == [True]


def test_the_embedded_broker_has_no_settings_to_read() -> None:
    cluster: Any = a_cluster(EMBEDDED)
    check_broker_limits(cluster, 10**9)
    assert message_limits(cluster, ["a"]) == {}
