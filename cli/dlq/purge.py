"""`kafka-embeddings dlq purge`: deletes dead letters, as far as Kafka can.

Kafka deletes the beginning of a partition and nothing else. So of each partition goes what is meant up to the first
dead letter that is not; what is meant behind that one stays, and is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transport.access import Operation, Resource, Right, check_access
from transport.deletion import check_deletes, delete_before

from .letters import DeadLetter, read_letters

if TYPE_CHECKING:
    from schemas.topics import TopicNames
    from transport.cluster import Cluster

    from .filters import Filters


@dataclass(slots=True)
class PurgePlan:
    """What goes and what stays."""

    before: dict[int, int] = field(default_factory=dict)
    """Partition -> first offset that stays, where anything goes."""
    purged: int = 0
    kept: int = 0
    """Meant, but behind one that is not."""
    others: int = 0
    """Not meant."""


def purge(cluster: Cluster, topics: TopicNames, filters: Filters, *, dry_run: bool = False) -> PurgePlan:
    """Delete what is meant as far as it stands at the beginning of its partition. Blocks until it is gone.

    Args:
        cluster: Where the topic is.
        topics: Its names.
        filters: Which dead letters are meant; one that comes meanwhile is not.
        dry_run: Plan and delete nothing.

    Raises:
        SettingsError: The broker deletes nothing.
        AccessDeniedError: This user may not delete.
        TransportError: The topic cannot be read, or the broker refuses.
    """
    check_deletes(cluster)
    if not dry_run:
        check_access(cluster, [Right(Operation.DELETE, Resource.TOPIC, topics.dead_letters)])
    plan = PurgePlan()
    with read_letters(cluster, topics) as reader:
        blocked: set[int] = set()
        for message in reader:
            if not filters.match(DeadLetter(message)):
                blocked.add(message.partition)
                plan.others += 1
            elif message.partition in blocked:
                plan.kept += 1
            else:
                plan.before[message.partition] = message.offset + 1
                plan.purged += 1
    if not dry_run:
        delete_before(cluster, topics.dead_letters, plan.before)
    return plan
