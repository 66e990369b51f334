"""What a client needs to be allowed, checked before it says that it is connected."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from schemas.topics import TopicNames
from transport.access import Right, check_access, denied, lacking_rights, reading, writing

if TYPE_CHECKING:
    from schemas.topics import Lane
    from transport.cluster import Cluster

    from .workers import WorkersView

_BEATS_SECONDS: Final = 1.5
"""Longer than a beat's interval, so that a live worker has been heard."""


def client_rights(topics: TopicNames, lane: Lane) -> list[Right]:
    """What a client does on the brokers that asks the default model; a further one has a request topic of its own."""
    return [*reading(topics.replies, topics.workers), *writing(topics.requests_of(lane))]


def check_may_read(cluster: Cluster, topics: TopicNames) -> None:
    """Replies and beats may be read.

    Raises:
        AccessDeniedError: One of them may not.
    """
    check_access(cluster, reading(topics.replies, topics.workers))


def check_may_ask(cluster: Cluster, topics: TopicNames, lane: Lane, workers: WorkersView) -> None:
    """Some model may be asked: the default one, or one that has a live worker. Waits a second for their beats.

    Raises:
        AccessDeniedError: None of them may.
    """
    lacking = lacking_rights(cluster, writing(topics.requests_of(lane)))
    if not lacking:
        return
    until = time.monotonic() + _BEATS_SECONDS
    while not workers.live() and (left := until - time.monotonic()) > 0:
        workers.refresh(left)
    served = writing(*(TopicNames(topics.prefix, beat.slug).requests_of(lane) for beat in workers.live()))
    lacking_on_served = lacking_rights(cluster, served)
    if len(lacking_on_served) == len(set(served)):
        raise denied(cluster.settings, lacking_on_served or lacking)
