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
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation

from .errors import AccessDeniedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from concurrent.futures import Future
    from typing import Any

    from .cluster import Cluster
    from .settings import KafkaSettings

log = structlog.get_logger("transport")

_ANSWER_SECONDS: Final = 2.0
_PATIENCE_SECONDS: Final = 10.0
_AGAIN_AFTER_SECONDS: Final = 0.1
_DENIED: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})
_ABSENT: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND})
# A cluster that no group has used yet makes the topic of their offsets first; a coordinator may be moving.
_NOT_YET: Final = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)


class Resource(StrEnum):
    """What a right is for, as `kafka-acls.sh` names it."""

    TOPIC = "topic"
    GROUP = "group"


class Operation(StrEnum):
    """What a right allows, as `kafka-acls.sh` names it; each implies Describe."""

    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DESCRIBE = "Describe"


_TOLD_AS: Final = {
    AclOperation.READ: Operation.READ,
    AclOperation.WRITE: Operation.WRITE,
    AclOperation.CREATE: Operation.CREATE,
    AclOperation.DESCRIBE: Operation.DESCRIBE,
}


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One operation on one topic or group."""

    operation: Operation
    resource: Resource
    name: str

    def __str__(self) -> str:
        return f"{self.operation} {self.resource} {self.name}"


def reading(*topics: str) -> list[Right]:
    """The right to read topics."""
    return [Right(Operation.READ, Resource.TOPIC, topic) for topic in topics]


def writing(*topics: str) -> list[Right]:
    """The right to write topics."""
    return [Right(Operation.WRITE, Resource.TOPIC, topic) for topic in topics]


def check_access(cluster: Cluster, needed: Collection[Right]) -> None:
    """Hold what the brokers allow against what is needed. Topics that are not there count as allowed.

    Raises:
        AccessDeniedError: Something is not allowed; all of it is named, with the ACLs that give it.
    """
    lacking = lacking_rights(cluster, needed)
    if lacking:
        raise denied(cluster.settings, lacking)


def lacking_rights(cluster: Cluster, needed: Collection[Right]) -> list[Right]:
    """Those of the rights that the brokers do not give; none where they do not tell."""
    if not cluster.profile.has_admin:
        return []
    allowed = {
        Resource.TOPIC: _allowed_on_topics(cluster, _names(needed, Resource.TOPIC)),
        Resource.GROUP: _allowed_on_groups(cluster, _names(needed, Resource.GROUP)),
    }
    return sorted(
        right
        for right in set(needed)
        if (told := allowed[right.resource].get(right.name)) is not None and right.operation not in told
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

    def kind(right: Right) -> tuple[Operation, Resource]:
        return right.operation, right.resource

    return [
        f"kafka-acls.sh --bootstrap-server {settings.bootstrap} --add "
        f"--allow-principal User:{_user(settings) or '<name>'} --operation {operation} "
        + " ".join(f"--{resource} {right.name}" for right in of_kind)
        for (operation, resource), of_kind in groupby(sorted(rights, key=kind), kind)
    ]


def _user(settings: KafkaSettings) -> str | None:
    """The name to be let in by; a certificate's is the brokers' to tell."""
    return settings.librdkafka_options().get("sasl.username")


def _names(needed: Iterable[Right], resource: Resource) -> list[str]:
    return sorted({right.name for right in needed if right.resource is resource})


def _allowed_on_topics(cluster: Cluster, names: list[str]) -> dict[str, frozenset[Operation]]:
    return _told(
        names,
        lambda asked: cluster.admin().describe_topics(
            TopicCollection(asked), include_authorized_operations=True, request_timeout=_ANSWER_SECONDS
        ),
    )


def _allowed_on_groups(cluster: Cluster, names: list[str]) -> dict[str, frozenset[Operation]]:
    return _told(
        names,
        lambda asked: cluster.admin().describe_consumer_groups(
            asked, include_authorized_operations=True, request_timeout=_ANSWER_SECONDS
        ),
    )


def _told(names: list[str], ask: Callable[[list[str]], Mapping[str, Future[Any]]]) -> dict[str, frozenset[Operation]]:
    """What is allowed on each; a name is missing where the brokers do not tell."""
    told: dict[str, frozenset[Operation]] = {}
    until = time.monotonic() + _PATIENCE_SECONDS
    while names:
        again = []
        for name, answer in ask(names).items():
            try:
                operations = answer.result(2 * _ANSWER_SECONDS).authorized_operations
            except KafkaException as error:
                code = error.args[0].code()
                if code in _DENIED:
                    told[name] = frozenset()
                elif code in _NOT_YET and time.monotonic() < until:
                    again.append(name)
                elif code not in _ABSENT:
                    log.warning(
                        "cannot tell what is allowed, so it is not checked", of=name, error=error.args[0].str()
                    )
                continue
            if operations is not None:
                told[name] = frozenset(_TOLD_AS[operation] for operation in operations if operation in _TOLD_AS)
        names = again
        if names:
            time.sleep(_AGAIN_AFTER_SECONDS)
    return told
