"""What a user lacks is named at once, each right with the command that gives it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType
from structlog.testing import capture_logs

from tests.docs.rights import given_by
from transport.access import Operation, Resource, Right, acl_commands, check_access, lacking_rights, reading, writing
from transport.cluster import Cluster
from transport.errors import AccessDeniedError
from transport.settings import KafkaSettings

if TYPE_CHECKING:
    from tests.kafka_broker import KafkaBroker
    from tests.kafka_broker.secured import SecuredBroker

    from .testbed import Testbed


def _binding(
    kind: ResourceType,
    name: str,
    operation: AclOperation,
    pattern: ResourcePatternType = ResourcePatternType.LITERAL,
) -> AclBinding:
    return AclBinding(kind, name, pattern, "User:stranger", "*", operation, AclPermissionType.ALLOW)


@pytest.fixture
def cluster(secured_broker: SecuredBroker) -> Cluster:
    """The secured broker as its least user reaches it."""
    bootstrap, options = secured_broker.address("plain"), secured_broker.options("stranger", "plain")
    return Cluster.probe(KafkaSettings.model_validate({"bootstrap": bootstrap, "options": options}))


@pytest.fixture
def topic(secured_broker: SecuredBroker) -> str:
    """A topic there is."""
    name = f"access-{uuid.uuid4().hex[:8]}"
    secured_broker.create_topic(name)
    return name


def test_everything_lacking_is_named_in_one_line_with_its_commands(cluster: Cluster, topic: str) -> None:
    group = Right(Operation.READ, Resource.GROUP, f"{topic}.bulk")

    with pytest.raises(AccessDeniedError) as lacking:
        check_access(cluster, [*reading(topic), *writing(topic), group])

    bootstrap = cluster.settings.bootstrap
    add = f"`kafka-acls.sh --bootstrap-server {bootstrap} --add --allow-principal User:stranger --operation"
    assert str(lacking.value) == (
        f"the brokers at {bootstrap} do not let stranger "
        f"Read group {topic}.bulk, Read topic {topic}, Write topic {topic}: allow it, for instance with "
        f"{add} Read --group {topic}.bulk`; {add} Read --topic {topic}`; {add} Write --topic {topic}`"
    )


def test_the_commands_give_what_was_lacking(cluster: Cluster, topic: str, secured_broker: SecuredBroker) -> None:
    needed = [*reading(topic), *writing(topic), Right(Operation.READ, Resource.GROUP, f"{topic}.bulk")]

    assert lacking_rights(cluster, needed) == sorted(needed)
    secured_broker.allow(*given_by("\n".join(acl_commands(cluster.settings, needed))))
    assert lacking_rights(cluster, needed) == []


@pytest.mark.parametrize(
    ("allowed", "lacks"),
    [
        (AclOperation.READ, [Operation.WRITE]),
        (AclOperation.WRITE, [Operation.READ]),
        (AclOperation.DESCRIBE, [Operation.READ, Operation.WRITE]),
        (AclOperation.ALL, []),
    ],
)
def test_a_right_is_told_from_another_one_on_the_same_topic(
    allowed: AclOperation, lacks: list[Operation], cluster: Cluster, topic: str, secured_broker: SecuredBroker
) -> None:
    secured_broker.allow(_binding(ResourceType.TOPIC, topic, allowed))

    assert [right.operation for right in lacking_rights(cluster, [*reading(topic), *writing(topic)])] == lacks


def test_a_right_on_names_that_begin_alike_counts(
    cluster: Cluster, topic: str, secured_broker: SecuredBroker
) -> None:
    secured_broker.allow(_binding(ResourceType.TOPIC, topic[:-2], AclOperation.READ, ResourcePatternType.PREFIXED))

    assert lacking_rights(cluster, reading(topic)) == []


def test_a_topic_that_is_not_there_lacks_nothing_where_one_may_know_that(
    cluster: Cluster, topic: str, secured_broker: SecuredBroker
) -> None:
    absent = f"{topic}-absent"
    assert lacking_rights(cluster, writing(absent)) == writing(absent)
    secured_broker.allow(_binding(ResourceType.TOPIC, absent, AclOperation.DESCRIBE))

    assert lacking_rights(cluster, writing(absent)) == []


def test_brokers_without_an_authorizer_let_everybody_do_everything(testbed: Testbed) -> None:
    topic = testbed.new_topic()

    check_access(
        testbed.cluster, [*reading(topic), *writing(topic), Right(Operation.READ, Resource.GROUP, f"{topic}.group")]
    )


@pytest.mark.slow
def test_a_coordinator_that_says_nothing_is_no_refusal(
    kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transport.access._PATIENCE_SECONDS", 0.0)
    cluster = Cluster.probe(KafkaSettings(bootstrap=kafka_broker.bootstrap))
    kafka_broker.pause()

    with capture_logs() as said:
        lacking = lacking_rights(cluster, [Right(Operation.READ, Resource.GROUP, "g")])

    assert lacking == []
    assert [line["of"] for line in said if line["event"].startswith("cannot tell what is allowed")] == ["g"]


def test_a_user_with_a_certificate_is_named_by_the_brokers_alone(topic: str, secured_broker: SecuredBroker) -> None:
    bootstrap, options = secured_broker.address("certificate"), secured_broker.options("stranger", "certificate")
    cluster = Cluster.probe(KafkaSettings.model_validate({"bootstrap": bootstrap, "options": options}))

    with pytest.raises(AccessDeniedError, match=r"do not let this user Read topic .* --allow-principal User:<name> "):
        check_access(cluster, reading(topic))
