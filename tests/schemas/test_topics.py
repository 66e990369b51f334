"""`schemas/topics.py`: the table of topics, their names, and the same on the messages page."""

from __future__ import annotations

import re

import pytest

from schemas.topics import REQUESTS, TOPICS, WORKERS, Lane, TopicNames, TopicSpec

from .messages_page import table

MIB = 1024 * 1024
MINUTE = 60_000
DAY = 24 * 60 * MINUTE

# topic -> key, partitions, largest message in bytes, retention in ms (None: compacted)
DESIGN: dict[str, tuple[str, int, int, int | None]] = {
    "embedding.requests": ("anything", 24, 8 * MIB, 7 * DAY),
    "embedding.requests.interactive": ("request id", 24, 2 * MIB, 10 * MINUTE),
    "embedding.responses": ("request id", 24, 16 * MIB, 7 * DAY),
    "embedding.replies": ("request id", 24, 16 * MIB, 10 * MINUTE),
    "embedding.requests.dlq": ("the original key", 6, 9 * MIB, 30 * DAY),
    "embedding.workers": ("worker id", 1, 64 * 1024, None),
    "embedding.errors": ("request id", 6, 1 * MIB, 7 * DAY),
}


def in_words(spec: TopicSpec) -> tuple[str, str, str, str, str]:
    """A row as the messages page shows it: key, value, partitions, kept, largest message."""
    retention_ms = spec.retention_ms
    if retention_ms is None:
        kept = "compacted"
    elif retention_ms % DAY == 0:
        kept = f"{retention_ms // DAY} d"
    else:
        kept = f"{retention_ms // MINUTE} min"
    whole = spec.max_message_bytes % MIB == 0
    largest = f"{spec.max_message_bytes // MIB} MiB" if whole else f"{spec.max_message_bytes // 1024} KiB"
    return spec.key, spec.value, str(spec.partitions), kept, largest


def test_the_table_is_the_designs_table() -> None:
    table_here = {
        name: (spec.key, spec.partitions, spec.max_message_bytes, spec.retention_ms)
        for name, spec in TopicNames().all().items()
    }
    assert table_here == DESIGN


def test_the_messages_page_shows_the_same_table() -> None:
    shown = {row[0]: tuple(row[1:]) for row in table("Topics")}
    assert shown == {name: in_words(spec) for name, spec in TopicNames().all().items()}


def test_every_topic_of_the_default_model_is_prefix_and_suffix() -> None:
    names = TopicNames("acme.search")
    assert set(names.all()) == {f"acme.search.{spec.suffix}" for spec in TOPICS}


def test_a_slug_is_in_the_request_topics_only() -> None:
    names = TopicNames("embedding", "bge-m3")
    assert names.requests == "embedding.bge-m3.requests"
    assert names.requests_interactive == "embedding.bge-m3.requests.interactive"
    assert names.responses == "embedding.responses"
    assert names.replies == "embedding.replies"
    assert names.dead_letters == "embedding.requests.dlq"
    assert names.workers == "embedding.workers"
    assert names.errors == "embedding.errors"


def test_two_models_share_every_topic_but_their_requests() -> None:
    default, other = set(TopicNames().all()), set(TopicNames(slug="bge-m3").all())
    assert default - other == {"embedding.requests", "embedding.requests.interactive"}
    assert len(default) == len(other) == len(TOPICS)


@pytest.mark.parametrize(
    ("slug", "lane", "group"),
    [
        ("", Lane.BULK, "embedding.bulk"),
        ("", Lane.INTERACTIVE, "embedding.interactive"),
        ("bge-m3", Lane.BULK, "embedding.bge-m3.bulk"),
    ],
)
def test_a_group_is_prefix_slug_and_lane(slug: str, lane: Lane, group: str) -> None:
    assert TopicNames(slug=slug).group(lane) == group


def test_each_lane_has_a_request_topic_and_a_group_of_its_own() -> None:
    names = TopicNames(slug="bge-m3")
    assert names.requests_of(Lane.BULK) == names.requests
    assert names.requests_of(Lane.INTERACTIVE) == names.requests_interactive
    assert len({names.group(lane) for lane in Lane}) == len(Lane)


@pytest.mark.parametrize("prefix", ["", "a b", "a/b", "ä", "a\n", "embedding\n", "*", "x" * 101])
def test_a_prefix_kafka_would_refuse_is_refused_with_the_rule(prefix: str) -> None:
    with pytest.raises(ValueError, match=r"topic prefix .*letters, digits"):
        TopicNames(prefix)


@pytest.mark.parametrize("slug", ["A", "a.b", "a_b", "a b", "ä", "bge-m3\n", "x" * 65])
def test_a_slug_outside_the_rule_is_refused_with_the_rule(slug: str) -> None:
    with pytest.raises(ValueError, match=r"model slug .*lower-case"):
        TopicNames(slug=slug)


def test_the_longest_names_still_are_names_to_kafka() -> None:
    for name in TopicNames("x" * 100, "y" * 64).all():
        assert re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name)


@pytest.mark.parametrize("spec", TOPICS, ids=lambda spec: spec.suffix)
def test_a_configuration_is_text_with_the_rows_size_and_retention(spec: TopicSpec) -> None:
    config = spec.config
    assert all(isinstance(value, str) for value in config.values())
    assert config["max.message.bytes"] == str(spec.max_message_bytes)
    if spec.retention_ms is None:
        assert config["cleanup.policy"] == "compact"
        assert "retention.ms" not in config
    else:
        assert config["cleanup.policy"] == "delete"
        assert config["retention.ms"] == str(spec.retention_ms)
        assert int(config["segment.ms"]) <= spec.retention_ms


def test_only_the_workers_topic_is_compacted_and_it_has_one_partition() -> None:
    assert [spec for spec in TOPICS if spec.retention_ms is None] == [WORKERS]
    assert WORKERS.partitions == 1


def test_a_dead_letter_topic_takes_the_largest_request_with_its_headers() -> None:
    dead_letters = TopicNames().all()[TopicNames().dead_letters]
    assert dead_letters.max_message_bytes >= REQUESTS.max_message_bytes + MIB
