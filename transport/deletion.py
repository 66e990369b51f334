"""Deletes the beginning of partitions: the one thing that Kafka can delete of a topic before its time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException, TopicPartition

from .errors import DeletionError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .cluster import Cluster

_TIMEOUT_SECONDS: Final = 30.0


def check_deletes(cluster: Cluster) -> None:
    """Say so where the broker deletes nothing.

    Raises:
        SettingsError: It does not.
    """
    if not cluster.profile.has_admin:
        raise SettingsError("the embedded broker cannot delete messages: they are gone when it ends")


def delete_before(cluster: Cluster, topic: str, offsets: Mapping[int, int]) -> None:
    """Delete every message below an offset, partition by partition; blocks until the broker has done so.

    Args:
        cluster: Where the topic is.
        topic: What to shorten.
        offsets: Partition -> first offset that stays.

    Raises:
        DeletionError: The broker refused a partition; others may be shortened.
        SettingsError: The broker deletes nothing.
    """
    check_deletes(cluster)
    places = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
    if not places:
        return
    admin = cluster.admin()
    for place, future in admin.delete_records(places, request_timeout=_TIMEOUT_SECONDS).items():
        try:
            future.result(timeout=_TIMEOUT_SECONDS)
        except KafkaException as error:
            raise DeletionError(
                f"{topic}, partition {place.partition}: {error.args[0].str()}: give this user the right to delete "
                "there, and keep cleanup.policy=delete"
            ) from error
        except TimeoutError as error:
            raise DeletionError(
                f"{topic}, partition {place.partition}: no answer in {_TIMEOUT_SECONDS:g} s: try again"
            ) from error
