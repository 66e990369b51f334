"""How far a group is behind: end offset less committed offset, as the broker has both.

Asked with a consumer of its own that never joins the group, so that the thread that owns the group's consumer is not
waited for, and so that the answer is right while reading is paused, when a consumer learns of no new end. Not with
the admin client: librdkafka 2.16.0 crashes in `list_consumer_group_offsets` when the coordinator dies under it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from .cluster import new_client
from .errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .cluster import Cluster

_TIMEOUT_SECONDS: Final = 5.0


class LagReader:
    """Asks for the lag of one group on one topic; from one thread.

    Args:
        cluster: Whom to ask.
        topic: What the group reads.
        group: The group.
    """

    def __init__(self, cluster: Cluster, topic: str, group: str) -> None:
        self._topic, self._group = topic, group
        self._consumer = new_client(Consumer, cluster.consumer_config("lag", group))

    def read(self, partitions: Iterable[int]) -> dict[int, int]:
        """Ask the broker. Blocks up to 5 s, and as long again for each partition.

        Returns:
            Partition -> messages that are there and not committed; all that are there where nothing is committed yet.

        Raises:
            BrokerUnavailableError: It did not say.
        """
        wanted = [TopicPartition(self._topic, partition) for partition in partitions]
        if not wanted:
            return {}
        try:
            return {
                place.partition: self._behind(place)
                for place in self._consumer.committed(wanted, timeout=_TIMEOUT_SECONDS)
            }
        except KafkaException as error:
            raise self._unavailable(error) from error

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _behind(self, committed: TopicPartition) -> int:
        if committed.error is not None:
            raise self._unavailable(committed.error)
        begin, end = self._consumer.get_watermark_offsets(
            TopicPartition(self._topic, committed.partition), timeout=_TIMEOUT_SECONDS
        )
        return max(0, end - max(begin, committed.offset))

    def _unavailable(self, why: object) -> BrokerUnavailableError:
        return BrokerUnavailableError(f"the lag of {self._group} cannot be read: {why}")
