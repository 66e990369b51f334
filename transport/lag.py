"""How far a group is behind: end offset less committed offset, as the broker has both.

Asked with the admin client, so that the thread that owns the consumer is not waited for, and so that the answer is
right while reading is paused, when a consumer learns of no new end.
"""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from .errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .cluster import Cluster

_TIMEOUT_SECONDS: Final = 5.0


def read_lag(cluster: Cluster, topic: str, group: str, partitions: Iterable[int]) -> dict[int, int]:
    """Ask the broker. Blocks up to 15 s.

    Returns:
        Partition -> messages that are there and not committed. Where nothing is committed yet, all that are there.

    Raises:
        BrokerUnavailableError: It did not say.
    """
    wanted = [TopicPartition(topic, partition) for partition in partitions]
    if not wanted:
        return {}
    try:
        stored = cluster.admin().list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, wanted)], request_timeout=_TIMEOUT_SECONDS
        )[group]
        committed = {item.partition: item.offset for item in stored.result(_TIMEOUT_SECONDS).topic_partitions or ()}
        fresh = [place for place in wanted if committed.get(place.partition, -1) < 0]
        starts = _offsets(cluster, fresh, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = _offsets(cluster, wanted, OffsetSpec.latest())  # type: ignore[no-untyped-call]
    except (KafkaException, FutureTimeoutError) as error:
        raise BrokerUnavailableError(f"the lag of {group} cannot be read: {error}") from error
    begun = committed | starts
    return {place.partition: max(0, ends[place.partition] - begun[place.partition]) for place in wanted}


def _offsets(cluster: Cluster, places: list[TopicPartition], which: OffsetSpec) -> dict[int, int]:
    if not places:
        return {}
    asked = cluster.admin().list_offsets(dict.fromkeys(places, which), request_timeout=_TIMEOUT_SECONDS)
    return {place.partition: found.result(_TIMEOUT_SECONDS).offset for place, found in asked.items()}
