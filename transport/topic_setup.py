"""Creates topics as the table says, and checks at start that those in place can hold what it promises."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType

from .access import Operation, Resource, Right, check_access, denied
from .errors import SettingsError, TopicSetupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from schemas.topics import TopicSpec

    from .cluster import Cluster

log = structlog.get_logger("transport")

_TIMEOUT_SECONDS: Final = 30.0
_SERVED_EVERY_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class TopicOutcome:
    """What became of one topic of the table."""

    name: str
    created: bool
    notes: tuple[str, ...] = ()
    """Where an existing topic differs from the table without harm."""


def create_topics(cluster: Cluster, topics: Mapping[str, TopicSpec]) -> list[TopicOutcome]:
    """Create what is missing; what exists is left as it is and compared with the table.

    Raises:
        AccessDeniedError: It does not let this user create or see them.
        SettingsError: The broker has no admin API.
        TopicSetupError: The broker refused to create one, or an existing one cannot hold what the table promises.
    """
    if not cluster.profile.has_admin:
        raise SettingsError("the embedded broker creates its topics itself, when `kafka-embeddings up` starts")
    # A topic that may not be seen looks like one that is not there.
    check_access(cluster, [Right(Operation.DESCRIBE, Resource.TOPIC, name) for name in topics])
    existing = cluster.topics()
    missing = {name: spec for name, spec in topics.items() if name not in existing}
    if missing:
        _create(cluster, missing)
        _wait_until_served(cluster, missing)
    notes = check_topics(cluster, {name: spec for name, spec in topics.items() if name in existing})
    return [TopicOutcome(name, name in missing, notes.get(name, ())) for name in topics]


def check_topics(cluster: Cluster, topics: Mapping[str, TopicSpec]) -> dict[str, tuple[str, ...]]:
    """Hold topics against the table: they are there, and take messages as large as promised.

    Returns:
        Harmless differences, where any: topic -> notes.

    Raises:
        TopicSetupError: One is missing or takes less than the table's largest message.
    """
    existing = cluster.topics()
    missing = [name for name in topics if name not in existing]
    if missing:
        raise TopicSetupError(
            f"no topic {', '.join(missing)} on {cluster.settings.bootstrap}: create the topics with "
            f"`kafka-embeddings topics create --bootstrap {cluster.settings.bootstrap}`"
        )
    if not cluster.profile.has_admin:
        return {}
    notes: dict[str, tuple[str, ...]] = {}
    for name, config in topic_configs(cluster, topics).items():
        spec = topics[name]
        limit = int(config.get("max.message.bytes", spec.max_message_bytes))
        if limit < spec.max_message_bytes:
            raise TopicSetupError(
                f"topic {name} takes messages of {limit} bytes, {spec.max_message_bytes} are needed: raise its "
                f"max.message.bytes (kafka-configs.sh --alter --entity-type topics --entity-name {name} "
                f"--add-config max.message.bytes={spec.max_message_bytes})"
            )
        found = tuple(_differences(spec, config, existing[name]))
        if found:
            notes[name] = found
    return notes


def _differences(spec: TopicSpec, config: Mapping[str, str], partitions: int) -> Iterable[str]:
    if partitions != spec.partitions:
        yield f"{partitions} partitions, the table says {spec.partitions}"
    for option in ("cleanup.policy", "retention.ms"):
        wanted = spec.config.get(option)
        if wanted is not None and config.get(option, wanted) != wanted:
            yield f"{option}={config[option]}, the table says {wanted}"


def _create(cluster: Cluster, topics: Mapping[str, TopicSpec]) -> None:
    replication = cluster.settings.replication
    wanted = [NewTopic(name, spec.partitions, replication, config=spec.config) for name, spec in topics.items()]
    # A client that nobody holds is destroyed, and its requests with it.
    admin = cluster.admin()
    refused = []
    for name, future in admin.create_topics(wanted, request_timeout=_TIMEOUT_SECONDS).items():
        try:
            future.result(timeout=_TIMEOUT_SECONDS)
        except KafkaException as error:
            reason = error.args[0]
            if reason.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
                refused.append(Right(Operation.CREATE, Resource.TOPIC, name))
                continue
            # Somebody else created it in the meantime: the goal is reached.
            if reason.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TopicSetupError(f"cannot create topic {name}: {reason.str()}") from error
        except TimeoutError as error:
            raise TopicSetupError(f"cannot create topic {name}: no answer in {_TIMEOUT_SECONDS:g} s") from error
    if refused:
        raise denied(cluster.settings, refused)


def _wait_until_served(cluster: Cluster, names: Iterable[str]) -> None:
    """Wait until a new topic is known to whoever asks: the broker answers "created" a moment before that.

    Raises:
        TopicSetupError: One is still not served when the time is up.
    """
    until = time.monotonic() + _TIMEOUT_SECONDS
    while absent := set(names) - cluster.served_topics():
        if time.monotonic() > until:
            raise TopicSetupError(
                f"created, but not served after {_TIMEOUT_SECONDS:g} s: {', '.join(sorted(absent))}"
            )
        time.sleep(_SERVED_EVERY_SECONDS)


def topic_configs(cluster: Cluster, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Configuration of each topic, the broker's defaults in it; what cannot be read is left out and told of."""
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    admin = cluster.admin()
    found: dict[str, dict[str, str]] = {}
    for resource, future in admin.describe_configs(resources, request_timeout=_TIMEOUT_SECONDS).items():
        try:
            entries = future.result(timeout=_TIMEOUT_SECONDS)
        except KafkaException as error:
            log.warning(
                "cannot read a topic's configuration, so it is not checked",
                topic=resource.name,
                error=error.args[0].str(),
            )
            continue
        found[resource.name] = {name: entry.value for name, entry in entries.items() if entry.value is not None}
    return found
