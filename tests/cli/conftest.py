"""A broker where a test answers requests itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.topics import TopicNames
from tests.transport.testbed import Testbed
from transport.embedded import EmbeddedBroker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    """An embedded broker with the topics, and nobody there."""
    with EmbeddedBroker() as broker:
        broker.create_topics(TopicNames())
        testbed = Testbed.on_embedded(broker)
        yield testbed
        testbed.close()
