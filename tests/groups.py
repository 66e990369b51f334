"""The workers' consumer groups, seen and set by somebody who is no member."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from schemas.topics import Lane

if TYPE_CHECKING:
    from schemas.topics import TopicNames


def beside_group(bootstrap: str, group: str) -> Consumer:
    """Tells the group's commits, also those under an open transaction, and never joins it.

    Not the admin client: librdkafka 2.16.0 ends the process where a group's coordinator is late, or dies, under it.
    """
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "isolation.level": "read_uncommitted",
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
        }
    )


def shorten_sessions(bootstrap: str, topics: TopicNames, seconds: int) -> None:
    """Of the workers' groups, under the `consumer` protocol: there the session is the brokers' to say."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for lane in Lane:
        session = ConfigEntry(
            "consumer.session.timeout.ms", str(seconds * 1000), incremental_operation=AlterConfigOpType.SET
        )
        of_group = ConfigResource(ResourceType.GROUP, topics.group(lane), incremental_configs=[session])
        for changed in admin.incremental_alter_configs([of_group]).values():
            changed.result(30)
