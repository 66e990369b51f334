"""Limits of sizes that must agree along a message's way: of topics, of our clients, of the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, ResourceType

from .errors import SettingsError, TopicSetupError
from .topic_setup import topic_configs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from schemas.topics import Lane, TopicNames, TopicSpec

    from .cluster import Cluster

log = structlog.get_logger("transport")

_MAX_MESSAGE: Final = "max.message.bytes"
_DEAD_LETTER_HEADERS_BYTES: Final = 64 * 1024
"""What a dead letter has beside the original message: where it came from, and why."""
_FETCH_FRAME_BYTES: Final = 1024
_ASK_SECONDS: Final = 5.0


def message_limits(cluster: Cluster, topics: Iterable[str]) -> dict[str, int]:
    """Largest message that each topic takes, in bytes; those whose configuration cannot be read are left out."""
    if not cluster.profile.has_admin:
        return {}
    known = cluster.topics()
    configs = topic_configs(cluster, [name for name in topics if name in known])
    return {name: int(config[_MAX_MESSAGE]) for name, config in configs.items() if _MAX_MESSAGE in config}


def check_client_limits(cluster: Cluster, *, publishes: Iterable[TopicSpec], reads: Iterable[TopicSpec]) -> None:
    """Hold librdkafka's own limits, where they are set, against the largest messages of the table.

    Raises:
        SettingsError: A message within its topic's limit could not be published, or not be read.
    """
    largest = max(spec.max_message_bytes for spec in publishes)
    if cluster.profile.max_message_bytes is not None:
        largest = min(largest, cluster.profile.max_message_bytes)
    _need(cluster.producer_config("limits"), "message.max.bytes", largest)
    # fetch.max.bytes and fetch.message.max.bytes may be smaller: a first message is fetched whatever its size.
    fetched = max(spec.max_message_bytes for spec in reads) + _FETCH_FRAME_BYTES
    _need(cluster.consumer_config("limits", "limits"), "receive.message.max.bytes", fetched)


def _need(config: Mapping[str, object], option: str, least: int) -> None:
    given = config.get(option)
    if given is None:
        return
    try:
        found = int(str(given))
    except ValueError:
        return  # librdkafka will say what is wrong with it
    if found < least:
        raise SettingsError(f"librdkafka option {option}={found} is too small: {least} are needed, or leave it out")


def check_dead_letters(cluster: Cluster, topics: TopicNames, lanes: Iterable[Lane]) -> None:
    """Whatever may be requested in these lanes must fit the dead-letter topic with its reason.

    Raises:
        TopicSetupError: A request could be larger than a dead letter.
    """
    limits = message_limits(cluster, [*(topics.requests_of(lane) for lane in lanes), topics.dead_letters])
    room = limits.pop(topics.dead_letters, None)
    for topic, limit in limits.items():
        needed = limit + _DEAD_LETTER_HEADERS_BYTES
        if room is not None and room < needed:
            raise TopicSetupError(
                f"topic {topic} takes messages of {limit} bytes, its dead letters only {room}: raise the "
                f"{_MAX_MESSAGE} of {topics.dead_letters} to {needed}, or lower that of {topic}"
            )


def check_broker_limits(cluster: Cluster, largest_bytes: int) -> None:
    """Say which of a broker's own limits stand in the way of the largest message; only what can be read is checked.

    Raises:
        TopicSetupError: The broker would hang up on whoever sends it.
    """
    if not cluster.profile.has_admin:
        return
    config = _broker_config(cluster)
    limit = int(config.get("socket.request.max.bytes", largest_bytes))
    if limit < largest_bytes:
        raise TopicSetupError(
            f"the broker takes requests of {limit} bytes, messages have up to {largest_bytes}: raise its "
            "socket.request.max.bytes"
        )
    fetched = int(config.get("replica.fetch.max.bytes", largest_bytes))
    if fetched < largest_bytes:
        # No more than that: a replica fetches a first message whatever its size (KIP-74).
        log.warning(
            "replicas fetch the largest messages one at a time: raise the brokers' replica.fetch.max.bytes",
            found=fetched,
            largest_message=largest_bytes,
        )


def _broker_config(cluster: Cluster) -> dict[str, str]:
    broker = cluster.any_broker()
    if broker is None:
        return {}
    resource = ConfigResource(ResourceType.BROKER, str(broker))
    (future,) = cluster.admin().describe_configs([resource], request_timeout=_ASK_SECONDS).values()
    try:
        entries = future.result(timeout=_ASK_SECONDS)
    except (KafkaException, TimeoutError) as error:
        log.warning("cannot read the broker's configuration, so its limits are not checked", error=str(error))
        return {}
    return {name: entry.value for name, entry in entries.items() if entry.value is not None}
