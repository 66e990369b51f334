"""One cluster and how to talk to it: finds out which broker answers, and configures every client from there."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from .backoff import backoff_seconds
from .errors import BrokerUnavailableError, SettingsError
from .librdkafka_log import ErrorLog, librdkafka_logger
from .profiles import BrokerProfile, profile_of
from .refusals import Refusals

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from confluent_kafka import KafkaError

    from .settings import KafkaSettings

# Strings, numbers and flags, and for two options callables, which the client's type stubs leave out.
ConfigValue: TypeAlias = Any
ClientConfig: TypeAlias = dict[str, ConfigValue]

_Client = TypeVar("_Client")

log = structlog.get_logger("transport")

_PROBE_TIMEOUT_SECONDS: Final = 5.0
_FIRST_PROBE_SECONDS: Final = 1.0
"""Of `connect`: librdkafka waits the whole time even where the port is closed."""
_FIRST_WAIT_SECONDS: Final = 1.0
_LONGEST_WAIT_SECONDS: Final = 2.0
_PRODUCER_ONLY: Final = (
    "compression.",
    "linger.ms",
    "batch.",
    "queue.buffering.",
    "message.",
    "delivery.",
    "partitioner",
)
_CONSUMER_ONLY: Final = (
    "fetch.",
    "queued.",
    "max.poll.",
    "session.",
    "heartbeat.",
    "group.",
    "partition.assignment.",
)


class Cluster:
    """A cluster that has answered once.

    Attributes:
        settings: What it was reached with.
        profile: Which kind of broker it is.
    """

    def __init__(self, settings: KafkaSettings, profile: BrokerProfile) -> None:
        self.settings = settings
        self.profile = profile
        self._admin: AdminClient | None = None

    @classmethod
    def probe(cls, settings: KafkaSettings, timeout_seconds: float = _PROBE_TIMEOUT_SECONDS) -> Cluster:
        """Ask the brokers once who they are. Blocks up to `timeout_seconds`, and three more to find out why not.

        Raises:
            AccessDeniedError: One answered, and does not let us in.
            BrokerUnavailableError: Nobody answered.
            SettingsError: librdkafka does not take the settings.
        """
        refusals = Refusals(settings)
        admin = _admin(settings, refusals)
        until = time.monotonic() + timeout_seconds
        while True:
            try:
                # In steps: librdkafka tells that it is refused, and goes on trying for the whole time.
                metadata = admin.list_topics(timeout=min(timeout_seconds, _FIRST_PROBE_SECONDS))
            except KafkaException as error:
                admin.poll(0)  # which calls `refusals`
                refusals.raise_any()
                if time.monotonic() < until:
                    continue
                raise BrokerUnavailableError(
                    f"no Kafka broker answers at {settings.bootstrap}: start one, or set --bootstrap "
                    f"({error.args[0].str()})"
                ) from error
            return cls(settings, profile_of(metadata.cluster_id))

    @classmethod
    def connect(cls, settings: KafkaSettings, stop: threading.Event) -> Cluster | None:
        """Wait until a broker answers; says so within a second when none does, and again every 30 s.

        Returns:
            The cluster, or None when `stop` was set first.

        Raises:
            AccessDeniedError: A broker answered, and does not let us in.
            SettingsError: librdkafka does not take the settings.
        """
        said_at: float | None = None
        tries = 0
        while not stop.is_set():
            try:
                cluster = cls.probe(settings, _FIRST_PROBE_SECONDS if said_at is None else _PROBE_TIMEOUT_SECONDS)
            except BrokerUnavailableError as error:
                if said_at is None or time.monotonic() - said_at > 30:
                    said_at = time.monotonic()
                    log.warning(str(error), retrying_after_at_most_seconds=_LONGEST_WAIT_SECONDS)
                tries += 1
                # A broker that comes back is not to be asked by everybody at once.
                stop.wait(
                    backoff_seconds(
                        tries, first=_FIRST_WAIT_SECONDS, most=_LONGEST_WAIT_SECONDS, random=random.random
                    )
                )
                continue
            log.info("connected", broker=cluster.profile.name, bootstrap=settings.bootstrap)
            return cluster
        return None

    @property
    def group_protocol(self) -> str:
        """Protocol of consumer groups here: `classic` or `consumer`."""
        chosen = self.settings.group_protocol
        return self.profile.group_protocol if chosen == "auto" else chosen

    def client_config(self, client: str) -> ClientConfig:
        """librdkafka configuration shared by every client of this process."""
        return _base_config(self.settings, client)

    def producer_config(self, client: str) -> ClientConfig:
        """Configuration for a producer; options passed through win, but for those that keep messages safe."""
        config = {
            "partitioner": "murmur2_random",
            "sticky.partitioning.linger.ms": 0,
            "message.max.bytes": 64 * 1024 * 1024,
            **_without(self.client_config(client), _CONSUMER_ONLY),
            "enable.idempotence": True,
        }
        limit = self.profile.max_message_bytes
        return config if limit is None else config | {"message.max.bytes": limit}

    def consumer_config(self, client: str, group: str, *, patient: bool = False) -> ClientConfig:
        """Configuration for a consumer: offsets are committed by us alone, a new group starts at the beginning.

        Args:
            client: Name in the broker's logs and ours.
            group: The consumer group.
            patient: Whether nobody waits for what is read, so that fewer fetches matter more than quick ones.
        """
        fetch_ms = self.profile.patient_fetch_ms if patient else self.profile.prompt_fetch_ms
        config = {"fetch.wait.max.ms": fetch_ms, **_without(self.client_config(client), _PRODUCER_ONLY)}
        return config | {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
        }

    def admin(self) -> AdminClient:
        """The one admin client; a request of it ends when it is dropped, so it is kept."""
        if self._admin is None:
            self._admin = _admin(self.settings)
        return self._admin

    def topics(self, timeout_seconds: float = _PROBE_TIMEOUT_SECONDS) -> dict[str, int]:
        """Topics and their number of partitions, asked now. Creates none, blocks up to `timeout_seconds`.

        Raises:
            BrokerUnavailableError: Nobody answered.
        """
        return {name: len(topic.partitions) for name, topic in self._metadata(timeout_seconds).topics.items()}

    def served_topics(self, timeout_seconds: float = _PROBE_TIMEOUT_SECONDS) -> set[str]:
        """Topics of which every partition has a leader, asked now. Blocks up to `timeout_seconds`.

        Raises:
            BrokerUnavailableError: Nobody answered.
        """
        topics = self._metadata(timeout_seconds).topics
        return {
            name
            for name, topic in topics.items()
            if topic.partitions and all(partition.leader >= 0 for partition in topic.partitions.values())
        }

    def any_broker(self, timeout_seconds: float = _PROBE_TIMEOUT_SECONDS) -> int | None:
        """Number of one of the brokers, asked now. Blocks up to `timeout_seconds`.

        Raises:
            BrokerUnavailableError: Nobody answered.
        """
        return min(self._metadata(timeout_seconds).brokers, default=None)

    def _metadata(self, timeout_seconds: float) -> ClusterMetadata:
        try:
            return self.admin().list_topics(timeout=timeout_seconds)
        except KafkaException as error:
            raise BrokerUnavailableError(
                f"no Kafka broker answers at {self.settings.bootstrap} ({error.args[0].str()})"
            ) from error


def _admin(settings: KafkaSettings, on_error: Callable[[KafkaError], None] | None = None) -> AdminClient:
    config = _without(_base_config(settings, "admin"), _PRODUCER_ONLY + _CONSUMER_ONLY)
    if on_error is not None:
        config["error_cb"] = on_error
    return new_client(AdminClient, config)


def new_client(kind: Callable[[ClientConfig], _Client], config: ClientConfig) -> _Client:
    """A client of librdkafka.

    Raises:
        SettingsError: It does not take the settings.
    """
    try:
        return kind(config)
    # TypeError, ValueError: of the package around it, which takes some of them for itself.
    except (KafkaException, TypeError, ValueError) as error:
        why = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise SettingsError(f"librdkafka refuses the settings: {why}") from error


def _base_config(settings: KafkaSettings, client: str) -> ClientConfig:
    return {
        "bootstrap.servers": settings.bootstrap,
        "client.id": f"kafka-embeddings-{client}",
        "error_cb": ErrorLog(client, settings.bootstrap),
        "logger": librdkafka_logger(),
        "reconnect.backoff.max.ms": 2000,
        **settings.librdkafka_options(),
    }


def _without(config: Mapping[str, ConfigValue], prefixes: tuple[str, ...]) -> ClientConfig:
    return {name: value for name, value in config.items() if not name.startswith(prefixes)}
