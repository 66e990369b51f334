"""What is known of a broker and its topics: who it is, which topics it has, whether they fit the table."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType

from schemas.topics import REQUESTS, WORKERS, TopicNames
from transport.cluster import Cluster
from transport.errors import SettingsError, TopicSetupError
from transport.known_topics import KnownTopics
from transport.producer import FailureKind
from transport.profiles import EMBEDDED, KAFKA
from transport.topic_setup import TopicOutcome, check_topics, create_topics

from ..testbed import BOUND_SECONDS, wait_until

if TYPE_CHECKING:
    from ..testbed import Testbed


def test_a_probe_tells_which_broker_answers(testbed: Testbed, request: pytest.FixtureRequest) -> None:
    expected = {"embedded": EMBEDDED, "kafka": KAFKA}[request.node.callspec.params["testbed"]]

    assert Cluster.probe(testbed.cluster.settings).profile == expected


def test_topics_are_told_with_their_partitions_and_asking_creates_none(testbed: Testbed) -> None:
    topic = testbed.new_topic(3)
    never_made = f"never-made-{uuid.uuid4().hex}"

    assert testbed.cluster.topics()[topic] == 3
    assert not KnownTopics(testbed.cluster).has(never_made, None)
    assert never_made not in testbed.cluster.topics()


def test_a_known_topic_is_known_up_to_its_last_partition(testbed: Testbed) -> None:
    topic = testbed.new_topic(3)
    known = KnownTopics(testbed.cluster)

    assert known.has(topic, None)
    assert known.has(topic, 2)
    assert not known.has(topic, 3)


def test_a_topic_made_later_becomes_known_within_the_time_between_two_look_ups(testbed: Testbed) -> None:
    known = KnownTopics(testbed.cluster)
    name = f"later-{uuid.uuid4().hex}"
    assert not known.has(name, None)
    asked_at = time.monotonic()
    testbed.make_topic(name, 1)

    assert wait_until(lambda: known.has(name, 0))
    assert time.monotonic() - asked_at < 5


def test_missing_topics_are_named_with_the_command_that_makes_them(testbed: Testbed) -> None:
    names = TopicNames(f"missing-{uuid.uuid4().hex}")

    with pytest.raises(TopicSetupError) as missing:
        check_topics(testbed.cluster, names.all())

    bootstrap = testbed.cluster.settings.bootstrap
    assert f"no topic {names.requests}, {names.requests_interactive}, " in str(missing.value)
    assert f"`kafka-embeddings topics create --bootstrap {bootstrap}`" in str(missing.value)


def test_a_broker_without_admin_api_says_that_it_makes_its_topics_itself(embedded: Testbed) -> None:
    with pytest.raises(SettingsError, match="creates its topics itself, when `kafka-embeddings up` starts"):
        create_topics(embedded.cluster, TopicNames().all())


def test_topics_are_created_as_the_table_says_and_a_second_time_nothing_happens(with_admin: Testbed) -> None:
    cluster, names = with_admin.cluster, TopicNames(f"table-{uuid.uuid4().hex}")

    first = create_topics(cluster, names.all())
    assert wait_until(lambda: names.all().keys() <= cluster.topics().keys())
    second = create_topics(cluster, names.all())

    assert first == [TopicOutcome(name, created=True) for name in names.all()]
    assert second == [TopicOutcome(name, created=False) for name in names.all()]
    found = cluster.topics()
    for name, spec in names.all().items():
        assert found[name] == spec.partitions
        assert spec.config.items() <= _config_of(with_admin, name).items()


def test_a_topic_that_takes_less_than_the_table_promises_is_refused_naming_the_setting(with_admin: Testbed) -> None:
    name = f"small-{uuid.uuid4().hex}"
    _create(with_admin, NewTopic(name, REQUESTS.partitions, 1, config={"max.message.bytes": "1000000"}))

    with pytest.raises(TopicSetupError) as small:
        create_topics(with_admin.cluster, {name: REQUESTS})

    assert f"topic {name} takes messages of 1000000 bytes, {REQUESTS.max_message_bytes} are needed" in str(
        small.value
    )
    assert f"--add-config max.message.bytes={REQUESTS.max_message_bytes}" in str(small.value)


def test_differences_that_do_no_harm_are_noted(with_admin: Testbed) -> None:
    name = f"other-{uuid.uuid4().hex}"
    _create(with_admin, NewTopic(name, 2, 1, config={**WORKERS.config, "cleanup.policy": "delete"}))

    (outcome,) = create_topics(with_admin.cluster, {name: WORKERS})

    assert outcome == TopicOutcome(
        name,
        created=False,
        notes=("2 partitions, the table says 1", "cleanup.policy=delete, the table says compact"),
    )


def test_a_topic_the_broker_refuses_to_create_is_named_with_its_reason(with_admin: Testbed) -> None:
    name = f"refused-{uuid.uuid4().hex}"

    with pytest.raises(TopicSetupError, match=f"cannot create topic {name}: .*[Pp]artitions"):
        create_topics(with_admin.cluster, {name: replace(REQUESTS, partitions=0)})


def test_a_message_the_broker_refuses_fails_as_refused_and_the_producer_goes_on(with_admin: Testbed) -> None:
    name = f"compacted-{uuid.uuid4().hex}"
    create_topics(with_admin.cluster, {name: WORKERS})
    with with_admin.producer() as publisher:
        # A compacted topic takes no message without a key, nor one that shares a batch with it.
        publisher.send(name, key=None, value=b"v")
        (keyless,) = publisher.outcomes()
        publisher.send(name, key=b"k", value=b"v")
        keyed = publisher.outcomes()[1]

    assert keyless is not None
    assert keyless.kind is FailureKind.REFUSED
    assert keyed is None


def _create(testbed: Testbed, topic: NewTopic) -> None:
    admin = testbed.cluster.admin()
    admin.create_topics([topic])[topic.topic].result(BOUND_SECONDS)
    assert wait_until(lambda: topic.topic in testbed.cluster.topics())


def _config_of(testbed: Testbed, topic: str) -> dict[str, str]:
    admin, resource = testbed.cluster.admin(), ConfigResource(ResourceType.TOPIC, topic)
    entries = admin.describe_configs([resource])[resource].result(BOUND_SECONDS)
    return {name: entry.value for name, entry in entries.items()}
