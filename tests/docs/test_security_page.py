"""`docs/security.md` against the code: its table is what the processes check at their start, its commands give it."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from client.access import client_rights
from schemas.topics import Lane, TopicNames
from transport.access import Resource
from worker.access import worker_rights, worker_topics
from worker.settings import WorkerSettings

from .pages import all_blocks
from .rights import given_by, in_words, processes, rights


@pytest.mark.parametrize(
    ("process", "settings"),
    [("worker", WorkerSettings()), ("worker-once", WorkerSettings(delivery="exactly-once"))],
)
def test_the_rows_of_a_worker_are_what_it_checks(process: str, settings: WorkerSettings) -> None:
    told = [right for right in rights(process) if right.restype is not ResourceType.TRANSACTIONAL_ID]

    assert set(map(in_words, told)) == set(map(str, worker_rights(TopicNames(), settings)))


@pytest.mark.parametrize("settings", [WorkerSettings(), WorkerSettings(lanes=[Lane.BULK])])
def test_a_worker_looks_for_the_topics_that_it_needs_a_right_to(settings: WorkerSettings) -> None:
    needed = worker_rights(TopicNames(), settings)

    assert worker_topics(TopicNames(), settings).keys() == {
        one.name for one in needed if one.resource is Resource.TOPIC
    }


@pytest.mark.parametrize(("process", "lane"), [("api", Lane.INTERACTIVE), ("embed", Lane.BULK)])
def test_the_rows_of_a_client_are_what_it_checks(process: str, lane: Lane) -> None:
    assert set(map(in_words, rights(process))) == set(map(str, client_rights(TopicNames(), lane)))


def test_the_commands_give_the_rights_of_the_table_and_no_others() -> None:
    [commands] = [block.text for block in all_blocks("sh") if block.text.startswith("kafka-acls.sh")]
    listed = [right for process in processes() for right in rights(process)]

    assert sorted(map(str, given_by(commands))) == sorted(map(str, listed))


def test_only_dead_letters_may_be_deleted_and_nobody_may_change_the_brokers() -> None:
    harmless = {
        AclOperation.CREATE,
        AclOperation.DESCRIBE,
        AclOperation.DESCRIBE_CONFIGS,
        AclOperation.READ,
        AclOperation.WRITE,
    }

    others = [
        (process, right.operation, right.name)
        for process in processes()
        for right in rights(process)
        if right.operation not in harmless
    ]
    assert others == [("dlq", AclOperation.DELETE, TopicNames().dead_letters)]


def test_a_topic_of_the_settings_is_needed_as_well() -> None:
    settings = WorkerSettings(reply_topics=["team.vectors"], flat_topics=["team.documents"])

    further = set(worker_rights(TopicNames(), settings)) - set(worker_rights(TopicNames(), WorkerSettings()))

    assert set(map(str, further)) == {"Write topic team.vectors", "Write topic team.documents"}
