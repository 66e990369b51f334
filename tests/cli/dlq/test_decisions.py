"""`cli/dlq/decisions.py`: what a replay does with each dead letter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cli.dlq.decisions import NEXT_MOVES, Behind, Candidate, Outcome, ReplayRules, decide, is_request_topic
from schemas.dead_letters import Origin
from tests.worker.fakes import a_message

ORIGIN = Origin("not_json", "no", "embedding.requests", 3, 42, 0, "w1", 1, "")
CANDIDATE = Candidate((0, 0), b"k", ORIGIN)
RULES = ReplayRules("embedding", max_attempts=3)
FORCED = replace(RULES, force=True)


def behind(*messages: tuple[int, bytes | None, bytes | None], first: int = 0) -> Behind:
    """Offset, key and mark of what stands behind the candidate."""
    found = Behind(first, frozenset({b"k"}))
    for offset, key, mark in messages:
        headers = [] if mark is None else [("replay-of", mark)]
        found.see(a_message(key=key, headers=headers, partition=3, offset=offset))
    return found


def test_one_with_nothing_behind_it_is_replayed() -> None:
    assert decide(CANDIDATE, behind(), RULES) is Outcome.REPLAYED
    assert decide(CANDIDATE, behind((43, b"other", None), (44, None, b"3:41")), RULES) is Outcome.REPLAYED


def test_one_whose_key_has_a_newer_message_is_replayed_only_by_force() -> None:
    newer = behind((43, b"k", None))
    assert (decide(CANDIDATE, newer, RULES), decide(CANDIDATE, newer, FORCED)) == (Outcome.NEWER, Outcome.REPLAYED)
    assert decide(CANDIDATE, behind((41, b"k", None)), RULES) is Outcome.REPLAYED
    assert decide(replace(CANDIDATE, key=None), newer, RULES) is Outcome.REPLAYED


@pytest.mark.parametrize("rules", [RULES, FORCED])
@pytest.mark.parametrize("key", [b"k", None])
def test_one_whose_replay_stands_behind_it_is_never_replayed_again(key: bytes | None, rules: ReplayRules) -> None:
    replayed = behind((50, b"k", b"3:42"), (60, b"k", None))
    assert decide(replace(CANDIDATE, key=key), replayed, rules) is Outcome.ALREADY


@pytest.mark.parametrize("mark", [b"", b"42", b":42", b"2:42", b"3:", b"3:x", b"3:42:1", b"\xff"])
def test_a_mark_that_is_none_or_another_partitions_marks_nothing(mark: bytes) -> None:
    assert decide(CANDIDATE, behind((50, None, mark)), RULES) is Outcome.REPLAYED


@pytest.mark.parametrize("rules", [RULES, FORCED])
@pytest.mark.parametrize(
    ("attempt", "outcome"), [(2, Outcome.REPLAYED), (3, Outcome.ATTEMPTS), (9, Outcome.ATTEMPTS)]
)
def test_one_that_failed_too_often_is_not_replayed_even_by_force(
    attempt: int, outcome: Outcome, rules: ReplayRules
) -> None:
    assert decide(replace(CANDIDATE, origin=replace(ORIGIN, attempt=attempt)), behind(), rules) is outcome


def test_where_what_stood_behind_it_is_deleted_only_force_replays() -> None:
    assert decide(CANDIDATE, behind(first=43), RULES) is Outcome.REPLAYED
    assert decide(CANDIDATE, behind(first=44), RULES) is Outcome.UNKNOWN
    assert decide(CANDIDATE, behind(first=44), FORCED) is Outcome.REPLAYED


@pytest.mark.parametrize("left_out", ["headers", "headers,payload"])
def test_one_that_is_not_whole_is_not_replayed(left_out: str) -> None:
    assert decide(replace(CANDIDATE, origin=replace(ORIGIN, left_out=left_out)), behind(), FORCED) is Outcome.LEFT_OUT


def test_one_from_nowhere_or_whose_partition_is_gone_is_not_replayed() -> None:
    assert decide(replace(CANDIDATE, origin=None), None, FORCED) is Outcome.NO_ORIGIN
    assert decide(CANDIDATE, None, FORCED) is Outcome.GONE


@pytest.mark.parametrize(
    ("topic", "ours"),
    [
        ("a.b.requests", True),
        ("a.b.requests.interactive", True),
        ("a.b.bge-m3.requests", True),
        ("a.b.bge-m3.requests.interactive", True),
        ("a.b.requests.dlq", False),
        ("a.b.responses", False),
        ("aXb.requests", False),
        ("x.a.b.requests", False),
        ("a.b.x.y.requests", False),
        ("requests", False),
        ("__consumer_offsets", False),
    ],
)
def test_only_topics_of_requests_under_the_prefix_are_replayed_to(topic: str, ours: bool) -> None:
    assert is_request_topic(topic, "a.b") is ours
    outcome = decide(replace(CANDIDATE, origin=replace(ORIGIN, topic=topic)), behind(), ReplayRules("a.b", 3, True))
    assert outcome is (Outcome.REPLAYED if ours else Outcome.NO_ORIGIN)


def test_whoever_is_not_replayed_has_a_next_move_but_for_what_is_done() -> None:
    assert set(Outcome) - NEXT_MOVES.keys() == {Outcome.REPLAYED, Outcome.ALREADY}
