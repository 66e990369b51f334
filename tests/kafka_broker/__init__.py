"""A real single-node Apache Kafka for tests: jars by Maven, KRaft, free ports, its own data folder."""

from .broker import KafkaBroker
from .controller import KafkaController
from .distribution import KAFKA_VERSION, why_no_kafka
from .process import BrokerError

__all__ = ["KAFKA_VERSION", "BrokerError", "KafkaBroker", "KafkaController", "why_no_kafka"]
