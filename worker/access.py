"""What a worker needs on the brokers: topics that are there, and rights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.topics import Lane
from transport.access import Operation, Resource, Right, reading, writing

if TYPE_CHECKING:
    from schemas.topics import TopicNames, TopicSpec

    from .settings import WorkerSettings


def worker_topics(topics: TopicNames, settings: WorkerSettings) -> dict[str, TopicSpec]:
    """What a worker reads and writes: full name -> row of the table. Not the requests that it leaves to others."""
    left_to_others = {topics.requests_of(lane) for lane in Lane if lane not in settings.served_lanes}
    return {name: spec for name, spec in topics.all().items() if name not in left_to_others}


def transactional_id_prefix(topics: TopicNames) -> str:
    """What the transactional ids of all workers under exactly-once begin with."""
    return f"{topics.group(Lane.BULK)}."


def worker_rights(topics: TopicNames, settings: WorkerSettings) -> list[Right]:
    """Everything a worker does there: reads requests and beats, publishes answers, dead letters and beats."""
    return [
        *reading(*(topics.requests_of(lane) for lane in settings.served_lanes), topics.workers),
        *writing(topics.responses, topics.replies, topics.errors, topics.dead_letters, topics.workers),
        *writing(*settings.reply_topics, *settings.flat_topics),
        *(Right(Operation.READ, Resource.GROUP, topics.group(lane)) for lane in settings.served_lanes),
    ]
