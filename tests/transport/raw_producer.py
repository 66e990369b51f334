"""Publishes through librdkafka's own C functions what its Python client refuses to: header names of any bytes."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from transport.embedded import EmbeddedBroker

_PRODUCER: Final = 0
_END, _TOPIC, _PARTITION, _VALUE, _FLAGS, _HEADER = 0, 1, 3, 4, 7, 9
"""Source: rdkafka.h, rd_kafka_vtype_t."""
_COPY: Final = 2


def publish_with_headers(
    broker: EmbeddedBroker, topic: str, value: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    """Publish one message to partition 0 and wait for the broker to have it."""
    library, error = broker._library, ctypes.create_string_buffer(512)
    config = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(config, b"bootstrap.servers", broker.bootstrap.encode(), error, 512)
    client = library.rd_kafka_new(_PRODUCER, config, error, 512)
    assert client, error.value
    arguments: list[object] = [ctypes.c_int(_TOPIC), ctypes.c_char_p(topic.encode())]
    arguments += [ctypes.c_int(_PARTITION), ctypes.c_int32(0), ctypes.c_int(_FLAGS), ctypes.c_int(_COPY)]
    arguments += [ctypes.c_int(_VALUE), ctypes.c_char_p(value), ctypes.c_size_t(len(value))]
    for name, content in headers:
        arguments += [ctypes.c_int(_HEADER), ctypes.c_char_p(name)]
        arguments += [ctypes.c_char_p(content), ctypes.c_ssize_t(len(content))]
    try:
        assert library.rd_kafka_producev(ctypes.c_void_p(client), *arguments, ctypes.c_int(_END)) == 0
        assert library.rd_kafka_flush(ctypes.c_void_p(client), ctypes.c_int(10_000)) == 0
    finally:
        library.rd_kafka_destroy(client)
