"""Destinations that the worker may not write: who names one gets a dead letter, and the neighbours are answered."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from schemas import headers as names
from schemas.headers import encode_partition
from tests.exactly_once import problems
from tests.stack.command import Command
from tests.stack.stack import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Guarded

NEIGHBOURS = 20
_NOT_ALLOWED, _NOT_THERE = "r10", "r11"
_PARTITION = encode_partition(77)


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
    # The second mistake is known at once, and stops the transaction in which the broker has yet to tell of the first.
    mistakes = {
        _NOT_ALLOWED: [(names.REPLY_TOPIC, foreign.encode())],
        _NOT_THERE: [
            (names.REPLY_TOPIC, place.topics.responses.encode()),
            (names.REPLY_PARTITION, encode_partition(77)),
        ],
    }
    asked = {f"r{number}" for number in range(NEIGHBOURS)}
    for request_id in sorted(asked):
        place.send({"id": request_id, "model": MODEL, "input": "a text"}, headers=mistakes.get(request_id, ()))
    place.flush()

    flags = ["--encoder", "null", "--delivery", delivery, *here.flags, *here.by_flags(user)]
    with Command("worker", *flags) as worker, closing(place.reader(place.topics.dead_letters)) as letters:
        dead = {letter.body["id"]: letter for letter in letters.until_count(len(mistakes))}
        with closing(place.reader(place.topics.responses)) as answers:
            read = answers.until_count(NEIGHBOURS - len(mistakes))
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.quote()

    assert dead.keys() == mistakes.keys()
    assert dead[_NOT_ALLOWED].headers[names.DLQ_CODE] in (b"destination_refused", b"destination_unknown")
    assert dead[_NOT_THERE].headers[names.DLQ_CODE] == b"destination_unknown"
    assert {json.loads(message.value or b"")["id"] for message in read} == asked - dead.keys()
    assert "gave up" not in worker.stderr
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
