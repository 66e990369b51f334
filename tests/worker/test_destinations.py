"""`worker/destinations.py`: a header leads only where somebody allowed."""

from __future__ import annotations

import pytest

from schemas import headers as names
from schemas.errors import ErrorCode, UnanswerableError
from schemas.headers import RequestHeaders, encode_partition, parse_request_headers
from schemas.topics import TopicNames
from worker.destinations import Destination, Destinations, Profile

TOPICS = TopicNames()


def asking(topic: bytes | None = None, partition: bytes | None = None) -> RequestHeaders:
    return parse_request_headers([(names.REPLY_TOPIC, topic), (names.REPLY_PARTITION, partition)])


def refusal(destinations: Destinations, headers: RequestHeaders) -> UnanswerableError:
    with pytest.raises(UnanswerableError) as refused:
        destinations.of(headers)
    return refused.value


@pytest.mark.parametrize("topic", [None, b"", b"embedding.responses"])
def test_without_a_wish_the_answer_goes_to_the_responses(topic: bytes | None) -> None:
    assert Destinations(TOPICS).of(asking(topic)) == Destination(
        "embedding.responses", None, Profile.OPENAI, is_default=True
    )


# Whatever starts with <prefix>.replies is a reply topic; which of them exist is for the operator to say.
@pytest.mark.parametrize(
    "topic", ["embedding.replies", "embedding.replies.eu", "embedding.replies-evil", "embedding.repliesX"]
)
def test_every_topic_that_starts_with_the_replies_prefix_is_allowed(topic: str) -> None:
    assert Destinations(TOPICS).of(asking(topic.encode())) == Destination(
        topic, None, Profile.OPENAI, is_default=False
    )


@pytest.mark.parametrize(
    "topic",
    [
        "embedding.requests",
        "embedding.requests.interactive",
        "embedding.requests.dlq",
        "embedding.workers",
        "embedding.errors",
        "embedding.responses.eu",
        "embedding.reply",
        "embedding.Replies",
        " embedding.replies",
        "x-embedding.replies",
        "other.replies",
        "__consumer_offsets",
    ],
)
def test_every_other_topic_is_refused_and_the_refusal_names_what_is_allowed(topic: str) -> None:
    error = refusal(Destinations(TOPICS), asking(topic.encode()))
    assert error.code is ErrorCode.DESTINATION_NOT_ALLOWED
    assert repr(topic) in error.message
    assert "embedding.responses, embedding.replies*" in error.message
    assert "reply_topics" in error.message


def test_another_prefix_has_its_own_replies_and_not_ours() -> None:
    destinations = Destinations(TopicNames("staging"))
    assert destinations.of(asking(b"staging.replies")).topic == "staging.replies"
    assert refusal(destinations, asking(b"embedding.replies")).code is ErrorCode.DESTINATION_NOT_ALLOWED


def test_a_configured_topic_is_allowed_by_its_whole_name_only() -> None:
    destinations = Destinations(TOPICS, allowed=["team.vectors"])
    assert destinations.of(asking(b"team.vectors")) == Destination(
        "team.vectors", None, Profile.OPENAI, is_default=False
    )
    assert refusal(destinations, asking(b"team.vectors2")).code is ErrorCode.DESTINATION_NOT_ALLOWED


def test_a_flat_topic_is_allowed_and_gets_the_flat_profile() -> None:
    destinations = Destinations(TOPICS, flat=["sink.docs"])
    assert destinations.of(asking(b"sink.docs")) == Destination("sink.docs", None, Profile.FLAT, is_default=False)
    assert destinations.of(asking()).profile is Profile.OPENAI


def test_the_responses_themselves_may_be_flat() -> None:
    destinations = Destinations(TOPICS, flat=["embedding.responses"])
    assert destinations.of(asking()) == Destination("embedding.responses", None, Profile.FLAT, is_default=True)


@pytest.mark.parametrize("partition", [0, 7, 2**31 - 1])
def test_a_partition_is_taken_over_as_the_caller_gave_it(partition: int) -> None:
    chosen = Destinations(TOPICS).of(asking(b"embedding.replies", encode_partition(partition)))
    assert (chosen.topic, chosen.partition) == ("embedding.replies", partition)


def test_a_partition_without_a_topic_is_one_of_the_responses() -> None:
    assert Destinations(TOPICS).of(asking(None, encode_partition(3))) == Destination(
        "embedding.responses", 3, Profile.OPENAI, is_default=True
    )


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        (asking(b"\xff\xfe"), names.REPLY_TOPIC),
        (asking(b"embedding.replies", b"3"), names.REPLY_PARTITION),
        (asking(b"embedding.replies", b"\x00\x00\x00\x00\x00\x00\x00\x01"), names.REPLY_PARTITION),
        (asking(b"embedding.replies", encode_partition(-1)), names.REPLY_PARTITION),
    ],
)
def test_a_reply_header_that_cannot_be_read_is_refused_by_its_name(headers: RequestHeaders, named: str) -> None:
    error = refusal(Destinations(TOPICS), headers)
    assert error.code is ErrorCode.DESTINATION_UNKNOWN
    assert named in error.message


def test_a_malformed_deadline_is_no_matter_of_destinations() -> None:
    headers = parse_request_headers([(names.DEADLINE, b"soon")])
    assert Destinations(TOPICS).of(headers).is_default
