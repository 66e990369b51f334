"""What a worker needs to be allowed on the brokers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transport.access import Operation, Resource, Right, reading, writing

if TYPE_CHECKING:
    from schemas.topics import TopicNames

    from .settings import WorkerSettings


def worker_rights(topics: TopicNames, settings: WorkerSettings) -> list[Right]:
    """Everything a worker does there: reads requests and beats, publishes answers, dead letters and beats."""
    return [
        *reading(*(topics.requests_of(lane) for lane in settings.served_lanes), topics.workers),
        *writing(topics.responses, topics.replies, topics.errors, topics.dead_letters, topics.workers),
        *writing(*settings.reply_topics, *settings.flat_topics),
        *(Right(Operation.READ, Resource.GROUP, topics.group(lane)) for lane in settings.served_lanes),
    ]
