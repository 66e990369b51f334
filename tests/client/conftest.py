"""The brokers, as the transport's tests have them, and topics of each test's own."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from schemas.topics import REPLIES, REQUESTS_INTERACTIVE, WORKERS, TopicNames
from transport.topic_setup import create_topics

from ..transport.conftest import embedded, embedded_broker, kafka, testbed
from ..transport.testbed import is_readable, wait_until

if TYPE_CHECKING:
    from schemas.topics import TopicSpec

    from ..transport.testbed import Testbed

__all__ = ["embedded", "embedded_broker", "kafka", "shared_topics", "testbed", "topics"]

PARTITIONS: Final = 4
"""Fewer than the table says: a test makes its topics anew."""


@pytest.fixture
def topics(testbed: Testbed) -> TopicNames:
    """Topics of the test's own."""
    return new_topics(testbed)


@pytest.fixture(scope="module")
def shared_topics(testbed: Testbed) -> TopicNames:
    """Topics of the module's tests, which read from the end."""
    return new_topics(testbed)


def new_topics(testbed: Testbed) -> TopicNames:
    """Topics that nobody else uses, of fewer partitions than the table says."""
    names = TopicNames(f"client-{uuid.uuid4().hex}")
    for spec in (REQUESTS_INTERACTIVE, REPLIES, WORKERS):
        _make(testbed, names.name(spec), replace(spec, partitions=min(spec.partitions, PARTITIONS)))
    return names


def _make(testbed: Testbed, name: str, spec: TopicSpec) -> None:
    if testbed.cluster.profile.has_admin:
        create_topics(testbed.cluster, {name: spec})
    else:
        testbed.make_topic(name, spec.partitions)
    assert wait_until(lambda: is_readable(testbed.cluster, name, spec.partitions))
