"""What differs between the brokers we run on, as two rows of one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.topics import MEBIBYTE


@dataclass(frozen=True, slots=True)
class BrokerProfile:
    """How to talk to one kind of broker, and what it cannot do."""

    name: str
    group_protocol: str
    prompt_fetch_ms: int
    """How long the broker may hold an empty fetch of a reader that somebody waits for."""
    patient_fetch_ms: int
    """The same, of a reader that nobody waits for."""
    partitions: int | None
    """Partitions of every data topic; None: the table's."""
    max_message_bytes: int | None
    """Largest message our producers send; None: the topic's own limit."""
    reply_window_bytes: int
    """Expected response bytes a client may have in flight on one reply partition."""
    has_admin: bool
    has_transactions: bool
    """Whether a transaction is seen whole or not at all."""
    gaps_are_losses: bool
    """Whether a hole in a partition's offsets means that messages were dropped."""


# Source of the embedded broker's limits: librdkafka's rdkafka_mock.c: 5 MiB kept per partition, a larger message
# is acknowledged and dropped; an empty fetch is parked for the whole fetch.wait.max.ms even when data arrives.
# An idle worker whose two consumers ask every 2 ms takes 9 % of a core, every 10 ms 4 %, every 50 ms 1.5 %.
EMBEDDED: Final = BrokerProfile(
    name="embedded",
    group_protocol="consumer",
    prompt_fetch_ms=2,
    patient_fetch_ms=20,
    partitions=64,
    max_message_bytes=1 * MEBIBYTE,
    reply_window_bytes=2 * MEBIBYTE,
    has_admin=False,
    has_transactions=False,
    gaps_are_losses=True,
)

KAFKA: Final = BrokerProfile(
    name="Apache Kafka",
    group_protocol="classic",
    prompt_fetch_ms=500,
    patient_fetch_ms=500,
    partitions=None,
    max_message_bytes=None,
    reply_window_bytes=64 * MEBIBYTE,
    has_admin=True,
    has_transactions=True,
    gaps_are_losses=False,
)

_MOCK_CLUSTER_ID: Final = "mockCluster"


def profile_of(cluster_id: str | None) -> BrokerProfile:
    """Which broker answers, told by the cluster id that librdkafka's mock gives itself."""
    return EMBEDDED if (cluster_id or "").startswith(_MOCK_CLUSTER_ID) else KAFKA
