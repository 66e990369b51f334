"""Three brokers on one machine, each a controller as well: three replicas of everything, of which two must exist."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from .broker import KafkaBroker, Startable
from .process import BrokerError, free_port, new_cluster_id

_BROKERS: Final = 3
_HEAP_MIB: Final = 320
_WHOLE_SECONDS: Final = 90.0
_LOOK_EVERY_SECONDS: Final = 0.2


class KafkaCluster(Startable):
    """Three Apache Kafkas of one cluster on 127.0.0.1, a context manager.

    Args:
        session_seconds: How long a killed broker counts as alive; Kafka's own default.
    """

    def __init__(self, session_seconds: float = 9.0) -> None:
        session_ms = int(session_seconds * 1000)
        alive = {"broker.session.timeout.ms": session_ms, "broker.heartbeat.interval.ms": session_ms // 4}
        cluster_id = new_cluster_id()
        controllers = [free_port() for _ in range(_BROKERS)]
        voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in enumerate(controllers, 1))
        self.brokers = [
            KafkaBroker(
                cluster_id=cluster_id,
                controller_port=port,
                heap_mib=_HEAP_MIB,
                properties={"node.id": number, "controller.quorum.voters": voters, **alive, **_REPLICATED},
            )
            for number, port in enumerate(controllers, 1)
        ]

    @property
    def bootstrap(self) -> str:
        """Addresses of all of them."""
        return ",".join(broker.bootstrap for broker in self.brokers)

    def start(self) -> None:
        """Start all of them and block until each knows the others.

        Raises:
            BrokerError: One did not come up.
        """
        with ThreadPoolExecutor(_BROKERS) as threads:
            list(threads.map(KafkaBroker.start, self.brokers))
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Block until every broker is there and every replica is in sync.

        Raises:
            BrokerError: They are not, in a minute and a half.
        """
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        until = time.monotonic() + _WHOLE_SECONDS
        while not _is_whole(admin):
            if time.monotonic() > until:
                raise BrokerError(f"the cluster is not whole in {_WHOLE_SECONDS:.0f} s")
            time.sleep(_LOOK_EVERY_SECONDS)

    def stop(self) -> None:
        """End all of them, and remove their data."""
        for broker in self.brokers:
            broker.stop()


_REPLICATED: Final = {
    "default.replication.factor": _BROKERS,
    "min.insync.replicas": _BROKERS - 1,
    "offsets.topic.replication.factor": _BROKERS,
    "transaction.state.log.replication.factor": _BROKERS,
    "transaction.state.log.min.isr": _BROKERS - 1,
    "share.coordinator.state.topic.replication.factor": _BROKERS,
    "share.coordinator.state.topic.min.isr": _BROKERS - 1,
}


def _is_whole(admin: AdminClient) -> bool:
    try:
        found = admin.list_topics(timeout=5)
    except KafkaException:
        return False
    replicas = [partition for topic in found.topics.values() for partition in topic.partitions.values()]
    return len(found.brokers) == _BROKERS and all(
        partition.leader >= 0 and len(partition.isrs) == len(partition.replicas) for partition in replicas
    )
