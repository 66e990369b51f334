"""A message as every stage sees it, also where its headers are bytes no client of ours would send."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from transport.messages import Message, from_confluent

from .raw_producer import publish_with_headers
from .testbed import Testbed, members, read

if TYPE_CHECKING:
    import confluent_kafka

    from transport.embedded import EmbeddedBroker


class _Polled:
    """As much of confluent_kafka's message as is copied, with texts where its type allows them."""

    def topic(self) -> None:
        return None

    def partition(self) -> None:
        return None

    def offset(self) -> int:
        return 7

    def timestamp(self) -> tuple[int, int]:
        return 0, -1

    def key(self) -> str:
        return "kéy"

    def value(self) -> str:
        return "valüe"

    def headers(self) -> list[tuple[str, str | bytes | None]]:
        return [("a", "téxt"), ("b", None), ("c", b"bytes")]


def test_texts_become_bytes_and_what_is_unknown_a_number() -> None:
    assert from_confluent(cast("confluent_kafka.Message", _Polled())) == Message(
        topic="",
        partition=-1,
        offset=7,
        timestamp_ms=-1,
        key="kéy".encode(),
        value="valüe".encode(),
        headers=(("a", "téxt".encode()), ("b", None), ("c", b"bytes")),
    )


def test_a_header_name_that_is_not_utf_8_costs_the_message_its_headers_and_nothing_else(
    embedded_broker: EmbeddedBroker, embedded: Testbed
) -> None:
    topic, odd = embedded.new_topic(), [(b"good", b"1"), (b"\xff\xfe", b"2")]
    publish_with_headers(embedded_broker, topic, b"first odd", odd)
    # The interpreter specialises a call it has made often, and calls the client's C code another way from then on.
    with embedded.producer() as publisher:
        for _ in range(500):
            publisher.send(topic, value=b"even", headers=[("good", b"1")])
        publisher.outcomes()
    publish_with_headers(embedded_broker, topic, b"last odd", odd)
    expected = [(b"first odd", ()), *[(b"even", (("good", b"1"),))] * 500, (b"last odd", ())]

    with embedded.reader(topic, back=502) as reader, members(embedded.cluster, topic, f"{topic}.group") as (member,):
        for messages in (read(reader, 502), member.read(502)):
            assert [(message.value, message.headers) for message in messages] == expected
