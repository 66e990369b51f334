"""The embedded broker: librdkafka's own mock cluster, inside this process, for a start without Java or Docker.

In memory and on loopback only. Other processes of this machine connect like to any broker, with librdkafka-based
clients. It keeps 5 MiB a partition and has no admin API; `profiles.EMBEDDED` holds what follows from that.

The mock cluster's C functions carry no stability guarantee: every one is looked up before anything is started.
Source: librdkafka's rdkafka_mock.h.
"""

from __future__ import annotations

import ctypes
import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import confluent_kafka

from .errors import EmbeddedBrokerError
from .profiles import EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from schemas.topics import TopicNames

_PRODUCER: Final = 0
_SESSION_TIMEOUT_MS: Final = 3000
_HEARTBEAT_MS: Final = 200
_ERROR_BYTES: Final = 512
_WAKE_EVERY_SECONDS: Final = 0.02

_FUNCTIONS: Final[dict[str, tuple[Any, list[Any]]]] = {
    "rd_kafka_conf_new": (ctypes.c_void_p, []),
    "rd_kafka_conf_set": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "rd_kafka_new": (ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
    "rd_kafka_destroy": (None, [ctypes.c_void_p]),
    "rd_kafka_mock_cluster_new": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [ctypes.c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [ctypes.c_void_p]),
    "rd_kafka_mock_topic_create": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int],
    ),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [ctypes.c_void_p, ctypes.c_int32]),
    "rd_kafka_mock_set_group_consumer_session_timeout_ms": (None, [ctypes.c_void_p, ctypes.c_int]),
    "rd_kafka_mock_set_group_consumer_heartbeat_interval_ms": (None, [ctypes.c_void_p, ctypes.c_int]),
}


class EmbeddedBroker:
    """A broker that lives as long as this object; leave by `close` or as a context manager.

    Raises:
        EmbeddedBrokerError: This build of librdkafka lacks what the broker needs.
    """

    def __init__(self) -> None:
        self._library = _load()
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        config = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(config, b"log_level", b"2", error, _ERROR_BYTES)
        self._client = self._library.rd_kafka_new(_PRODUCER, config, error, _ERROR_BYTES)
        if not self._client:
            raise EmbeddedBrokerError(f"the embedded broker does not start: {error.value.decode()}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        if not self._cluster:
            self._library.rd_kafka_destroy(self._client)
            raise EmbeddedBrokerError("the embedded broker does not start: no mock cluster; use --bootstrap")
        # A killed worker's partitions move on after 3 s, a new member gets its own within one heartbeat.
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self._library.rd_kafka_mock_set_group_consumer_session_timeout_ms(self._cluster, _SESSION_TIMEOUT_MS)
        self._library.rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(self._cluster, _HEARTBEAT_MS)
        address: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        self.bootstrap = address.decode("ascii")
        """Its address, `127.0.0.1:port`; librdkafka chooses the port."""

    def create_topics(self, names: TopicNames) -> None:
        """Make the topics of one model, data topics with 64 partitions.

        Raises:
            EmbeddedBrokerError: The broker refused one.
        """
        for name, spec in names.all().items():
            self.create_topic(name, spec.partitions if spec.partitions == 1 else EMBEDDED.partitions or 1)

    def create_topic(self, name: str, partitions: int) -> None:
        """Make one topic; an existing one is left as it is.

        Raises:
            EmbeddedBrokerError: The broker refused, or is closed.
        """
        if self._cluster is None:
            raise EmbeddedBrokerError("the embedded broker is closed")
        with _kept_awake(self.bootstrap):
            code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if code not in (0, confluent_kafka.KafkaError.TOPIC_ALREADY_EXISTS):
            raise EmbeddedBrokerError(f"the embedded broker refuses topic {name!r} (error {code})")

    def close(self) -> None:
        """End the broker; everything it held is gone."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._client)
            self._cluster = self._client = None

    def __enter__(self) -> EmbeddedBroker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _kept_awake(address: str) -> Iterator[None]:
    """Connect to the broker again and again meanwhile.

    librdkafka 2.16.0's mock cluster misses the signal of a command now and then, and does it a second later, when it
    looks by itself. Whoever connects wakes it.
    """
    host, port = address.split(":")
    is_over = threading.Event()

    def connect() -> None:
        while not is_over.wait(_WAKE_EVERY_SECONDS):
            with suppress(OSError):
                socket.create_connection((host, int(port)), _WAKE_EVERY_SECONDS).close()

    caller = threading.Thread(target=connect, name="wakes-embedded-broker", daemon=True)
    caller.start()
    try:
        yield
    finally:
        is_over.set()
        caller.join()


def _load() -> ctypes.CDLL:
    package = Path(confluent_kafka.__file__).parent
    places = [package.parent / "confluent_kafka.libs", package / ".dylibs"]
    found = next((path for place in places for path in sorted(place.glob("librdkafka*"))), None)
    if found is None:
        raise EmbeddedBrokerError(
            "the embedded broker needs the librdkafka inside confluent-kafka's wheel, and this install has none: "
            "use a Kafka broker with --bootstrap"
        )
    library = ctypes.CDLL(str(found))
    for name, (result, arguments) in _FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError as error:
            version = confluent_kafka.libversion()[0]
            raise EmbeddedBrokerError(
                f"librdkafka {version} lacks {name}: use a Kafka broker with --bootstrap"
            ) from error
        function.restype, function.argtypes = result, arguments
    return library
