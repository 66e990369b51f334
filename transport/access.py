"""What a process may do on the brokers, held at its start against what it needs.

Brokers tell a user which operations it may do on a topic or group, so that everything lacking is named at once, with
the ACL that gives it, instead of one refusal at a time while it works.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AclOperation

from .cluster import new_client
from .errors import AccessDeniedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from .cluster import Cluster
    from .settings import KafkaSettings

log = structlog.get_logger("transport")

_NOT_TOLD: Final = "cannot tell what is allowed, so it is not checked"
_ANSWER_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 10.0
_AGAIN_AFTER_SECONDS: Final = 0.1


class Resource(StrEnum):
    """What a right is for, as `kafka-acls.sh` names it."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"
    """Brokers do not tell what is allowed on one: they refuse its first use."""


class Operation(StrEnum):
    """What a right allows, as `kafka-acls.sh` names it; each implies Describe."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DELETE = "Delete"
    DESCRIBE = "Describe"


_TOLD_AS: Final = {
    AclOperation.READ: Operation.READ,
    AclOperation.WRITE: Operation.WRITE,
    AclOperation.CREATE: Operation.CREATE,
    AclOperation.DELETE: Operation.DELETE,
    AclOperation.DESCRIBE: Operation.DESCRIBE,
}


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One operation on one resource, or on all whose names begin so."""

    operation: Operation
    resource: Resource
    name: str
    is_prefix: bool = False

    def __str__(self) -> str:
        return f"{self.operation} {self.resource} {self.name}{'*' if self.is_prefix else ''}"


def reading(*topics: str) -> list[Right]:
    """The right to read topics."""
    return [Right(Operation.READ, Resource.TOPIC, topic) for topic in topics]


def writing(*topics: str) -> list[Right]:
    """The right to write topics."""
    return [Right(Operation.WRITE, Resource.TOPIC, topic) for topic in topics]


def check_access(cluster: Cluster, needed: Collection[Right]) -> None:
    """Hold what the brokers allow against what is needed. Topics that are not there count as allowed.

    Transactional ids do as well, for brokers do not tell: `TransactionalProducer.start` finds out about its own.

    Blocks up to 10 s for the topics, and as long for the groups, where the brokers do not answer.

    Raises:
        AccessDeniedError: Something is not allowed; all of it is named, with the ACLs that give it.
    """
    lacking = lacking_rights(cluster, needed)
    if lacking:
        raise denied(cluster.settings, lacking)


def lacking_rights(cluster: Cluster, needed: Collection[Right]) -> list[Right]:
    """Those of the rights that the brokers do not give; none where they do not tell. Blocks as `check_access`."""
    if not cluster.profile.has_admin:
        return []
    until = time.monotonic() + _PATIENCE_SECONDS
    denied_groups = [name for name in _names(needed, Resource.GROUP) if not _lets_into(cluster, name, until)]
    allowed = {
        Resource.TOPIC: _allowed_on_topics(cluster, _names(needed, Resource.TOPIC)),
        Resource.GROUP: dict.fromkeys(denied_groups, frozenset[Operation]()),
    }
    return sorted(
        right
        for right in set(needed)
        if (told := allowed.get(right.resource, {}).get(right.name)) is not None and right.operation not in told
    )


def denied(settings: KafkaSettings, lacking: Sequence[Right]) -> AccessDeniedError:
    """The error that names what is lacking and gives the commands that allow it."""
    who = _user(settings)
    commands = "; ".join(f"`{command}`" for command in acl_commands(settings, lacking))
    return AccessDeniedError(
        f"the brokers at {settings.bootstrap} do not let {who or 'this user'} "
        f"{', '.join(map(str, lacking))}: allow it, for instance with {commands}"
    )


def acl_commands(settings: KafkaSettings, rights: Iterable[Right]) -> list[str]:
    """Command lines of Kafka's own tool that give the rights, one for each operation and kind of resource."""

    def kind(right: Right) -> tuple[Operation, Resource, bool]:
        return right.operation, right.resource, right.is_prefix

    return [
        f"kafka-acls.sh --bootstrap-server {settings.bootstrap} --add "
        f"--allow-principal User:{_user(settings) or '<name>'} --operation {operation} "
        + ("--resource-pattern-type prefixed " if is_prefix else "")
        + " ".join(f"--{resource} {right.name}" for right in of_kind)
        for (operation, resource, is_prefix), of_kind in groupby(sorted(rights, key=kind), kind)
    ]


def _user(settings: KafkaSettings) -> str | None:
    """The name to be let in by; a certificate's is the brokers' to tell."""
    return settings.librdkafka_options().get("sasl.username")


def _names(needed: Iterable[Right], resource: Resource) -> list[str]:
    return sorted({right.name for right in needed if right.resource is resource})


def _allowed_on_topics(cluster: Cluster, names: list[str]) -> dict[str, frozenset[Operation]]:
    """What is allowed on each; a name is missing where the brokers do not tell."""
    told: dict[str, frozenset[Operation]] = {}
    until = time.monotonic() + _PATIENCE_SECONDS
    while names:
        again = []
        answers = cluster.admin().describe_topics(
            TopicCollection(names), include_authorized_operations=True, request_timeout=_ANSWER_SECONDS
        )
        for name, answer in answers.items():
            try:
                operations = answer.result(_ANSWER_SECONDS + _PATIENCE_SECONDS).authorized_operations
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    told[name] = frozenset()
                elif code == KafkaError._TIMED_OUT and time.monotonic() < until:
                    again.append(name)
                elif code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    log.warning(_NOT_TOLD, of=name, error=error.args[0].str())
                continue
            if operations is not None:
                told[name] = frozenset(_TOLD_AS[operation] for operation in operations if operation in _TOLD_AS)
        names = again
        if names:
            time.sleep(_AGAIN_AFTER_SECONDS)
    return told


def _lets_into(cluster: Cluster, group: str, until: float) -> bool:
    """Whether the group's coordinator answers this user; also where it says nothing in time.

    Told by what the group committed, which whoever may read also sees: librdkafka 2.16.0 aborts the process where the
    admin client describes a group whose coordinator is not there yet. Who may describe a group and not read it is
    refused a moment later, when it joins.
    """
    consumer = new_client(Consumer, cluster.consumer_config("access", group))
    try:
        while True:
            try:
                consumer.committed([TopicPartition(group, 0)], timeout=_ANSWER_SECONDS)
            except KafkaException as error:
                # The coordinator's refusal to be found comes as a message, while the question just times out.
                told = [error.args[0], *(message.error() for message in consumer.consume(1, 0))]
                if any(each.code() == KafkaError.GROUP_AUTHORIZATION_FAILED for each in told if each is not None):
                    return False
                if time.monotonic() > until:
                    log.warning(_NOT_TOLD, of=group, error=error.args[0].str())
                    return True
                time.sleep(_AGAIN_AFTER_SECONDS)
            else:
                return True
    finally:
        consumer.close()
