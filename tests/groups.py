"""What a consumer group has committed, seen by somebody who is no member."""

from __future__ import annotations

from confluent_kafka import Consumer


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
