"""`schemas/headers.py`: names, and how the headers of a request are read."""

from __future__ import annotations

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import headers
from schemas.headers import RequestHeaders, encode_number, encode_partition, parse_request_headers

from .messages_page import table

# A busy machine is no failure.
any_example = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

READ = (
    "kafka_correlationId",
    "kafka_replyTopic",
    "kafka_replyPartition",
    "deadline",
    "traceparent",
    "tracestate",
    "replay-attempt",
)


def test_request_reply_has_springs_names() -> None:
    assert headers.CORRELATION_ID == "kafka_correlationId"
    assert headers.REPLY_TOPIC == "kafka_replyTopic"
    assert headers.REPLY_PARTITION == "kafka_replyPartition"


def test_traces_have_the_names_of_w3c_trace_context() -> None:
    assert (headers.TRACEPARENT, headers.TRACESTATE) == ("traceparent", "tracestate")


def test_no_two_headers_share_a_name() -> None:
    names = [value for name, value in vars(headers).items() if name.isupper() and isinstance(value, str)]
    names.remove(headers.STATUS_OK)
    assert len(names) == len(set(names))


def test_no_headers_ask_for_nothing() -> None:
    assert parse_request_headers([]) == RequestHeaders()


def test_all_headers_together_are_read() -> None:
    correlation = bytes(range(16))
    read = parse_request_headers(
        [
            ("kafka_correlationId", correlation),
            ("kafka_replyTopic", b"embedding.replies"),
            ("kafka_replyPartition", b"\x00\x00\x00\x07"),
            ("deadline", b"1767225600000"),
            ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("tracestate", b"a=1"),
            ("replay-attempt", b"2"),
            ("something-else", b"x"),
        ]
    )
    assert read == RequestHeaders(
        correlation_id=correlation,
        reply_topic="embedding.replies",
        reply_partition=7,
        deadline_ms=1767225600000,
        traceparent=b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        tracestate=b"a=1",
        failed_attempts=2,
    )
    assert read.malformed_destination is None


@any_example
@given(partition=st.integers(0, 2**31 - 1))
def test_a_partition_is_four_bytes_big_endian_both_ways(partition: int) -> None:
    raw = encode_partition(partition)
    assert raw == struct.pack(">i", partition)
    assert parse_request_headers([("kafka_replyPartition", raw)]).reply_partition == partition


@pytest.mark.parametrize("raw", [b"", b"7", b"\x07", b"\x00\x00\x07", b"\x00\x00\x00\x00\x07", b"\xff\xff\xff\xff"])
def test_a_partition_that_is_not_four_bytes_or_negative_is_malformed_not_absent(raw: bytes) -> None:
    read = parse_request_headers([("kafka_replyPartition", raw)])
    assert read.reply_partition is None
    assert read.malformed == ("kafka_replyPartition",)
    assert read.malformed_destination == "kafka_replyPartition"


def test_a_reply_topic_that_is_not_utf_8_is_malformed() -> None:
    read = parse_request_headers([("kafka_replyTopic", b"\xff")])
    assert read.reply_topic is None
    assert read.malformed_destination == "kafka_replyTopic"


@pytest.mark.parametrize("raw", [b"", b"-1", b"+5", b"1.5", b"1e3", b" 5", b"soon", b"\xd9\xa1", b"9" * 19, b"\xff"])
def test_a_malformed_deadline_is_no_deadline_and_is_counted(raw: bytes) -> None:
    read = parse_request_headers([("deadline", raw)])
    assert read.deadline_ms is None
    assert read.malformed == ("deadline",)
    assert read.malformed_destination is None


@pytest.mark.parametrize(("raw", "milliseconds"), [(b"0", 0), (b"0005", 5), (b"9" * 18, 10**18 - 1)])
def test_a_deadline_is_ascii_decimal(raw: bytes, milliseconds: int) -> None:
    assert parse_request_headers([("deadline", raw)]).deadline_ms == milliseconds


def test_the_last_of_a_doubled_header_counts() -> None:
    read = parse_request_headers(
        [
            ("kafka_correlationId", b"first"),
            ("deadline", b"bad"),
            ("kafka_correlationId", b"last"),
            ("deadline", b"5"),
        ]
    )
    assert read == RequestHeaders(correlation_id=b"last", deadline_ms=5)


@pytest.mark.parametrize("name", READ)
def test_a_header_without_value_is_no_header(name: str) -> None:
    assert parse_request_headers([(name, None)]) == RequestHeaders()


def test_a_correlation_id_is_kept_byte_for_byte() -> None:
    assert parse_request_headers([("kafka_correlationId", b"\x00\xff\n")]).correlation_id == b"\x00\xff\n"
    assert parse_request_headers([("kafka_correlationId", b"")]).correlation_id == b""


def test_header_names_are_matched_exactly() -> None:
    assert parse_request_headers([("KAFKA_CORRELATIONID", b"a"), ("Deadline", b"5")]) == RequestHeaders()


@any_example
@given(st.lists(st.tuples(st.sampled_from(READ) | st.text(max_size=5), st.none() | st.binary(max_size=24))))
def test_no_bytes_make_the_parser_raise(given_headers: list[tuple[str, bytes | None]]) -> None:
    read = parse_request_headers(given_headers)
    assert set(read.malformed) <= set(READ)
    assert read.reply_partition is None or read.reply_partition >= 0
    assert read.deadline_ms is None or read.deadline_ms >= 0
    assert read.failed_attempts >= 0


@pytest.mark.parametrize("raw", [b"", b"-1", b"+1", b"1.0", b"one", b"9" * 19])
def test_attempts_that_cannot_be_read_are_none(raw: bytes) -> None:
    read = parse_request_headers([("replay-attempt", raw)])
    assert (read.failed_attempts, read.malformed, read.malformed_destination) == (0, ("replay-attempt",), None)


def test_a_number_is_ascii_decimal() -> None:
    assert (encode_number(0), encode_number(1767225600000)) == (b"0", b"1767225600000")


def test_the_messages_page_lists_every_header() -> None:
    listed = {row[0] for name in ("Headers in", "Headers out", "Dead letters") for row in table(name)}
    constants = {value for name, value in vars(headers).items() if name.isupper() and isinstance(value, str)}
    assert listed == constants - {headers.STATUS_OK}
