"""Destinations that the worker may not write: who names one gets a dead letter, and the neighbours are answered."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from schemas import headers as names
from tests.exactly_once import problems
from tests.stack.command import Command
from tests.stack.stack import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Guarded

NEIGHBOURS = 20


@pytest.mark.slow
@pytest.mark.parametrize("sees", [False, True], ids=["unseen", "seen"])
@pytest.mark.parametrize(
    ("user", "delivery"), [("worker", "at-least-once"), ("worker-once", "exactly-once")], ids=["at least", "exactly"]
)
def test_a_destination_that_may_not_be_written_is_its_callers_trouble_alone(
    user: str, delivery: str, sees: bool, guarded: Callable[..., Guarded]
) -> None:
    here = guarded("scram-256", with_topics=True)
    place, foreign = here.place, f"{here.prefix}.replies.foreign"
    here.broker.create_topic(foreign)
    if sees:
        here.broker.allow(_may_describe(user, foreign))
    for number in range(NEIGHBOURS):
        where = [(names.REPLY_TOPIC, foreign.encode())] if number == NEIGHBOURS // 2 else []
        place.send({"id": f"r{number}", "model": MODEL, "input": "a text"}, headers=where)
    place.flush()

    flags = ["--encoder", "null", "--delivery", delivery, *here.flags, *here.by_flags(user)]
    with Command("worker", *flags) as worker, closing(place.reader(place.topics.dead_letters)) as letters:
        [letter] = letters.until_count(1)
        with closing(place.reader(place.topics.responses)) as answers:
            answered = {json.loads(message.value or b"")["id"] for message in answers.until_count(NEIGHBOURS - 1)}
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.quote()

    assert letter.body["id"] == f"r{NEIGHBOURS // 2}"
    assert letter.headers[names.DLQ_CODE] in (b"destination_refused", b"destination_unknown")
    assert answered == {f"r{number}" for number in range(NEIGHBOURS)} - {letter.body["id"]}
    assert problems(here.broker.bootstrap, place.topics) == []


def _may_describe(user: str, topic: str) -> AclBinding:
    return AclBinding(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation.DESCRIBE,
        AclPermissionType.ALLOW,
    )
