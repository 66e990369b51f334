"""A real single-node Apache Kafka for tests: jars by Maven, KRaft, free ports, its own data folder."""

from .broker import BrokerError, KafkaBroker
from .distribution import KAFKA_VERSION, why_no_kafka

__all__ = ["KAFKA_VERSION", "BrokerError", "KafkaBroker", "why_no_kafka"]
