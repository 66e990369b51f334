"""`worker/attempts.py`: what stands beside a committed offset, and what follows from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.consumer import Progress
from worker.attempts import TURNS, Attempt, Attempts, Mark

from .fakes import a_message

_COUNTS = st.integers(0, 10**9)


def messages(*offsets: int, partition: int = 0) -> list[object]:
    return [a_message(partition=partition, offset=offset) for offset in offsets]


def attempts(found: Attempt | None, offset: int = 0, lost: int = 0) -> Attempts:
    """Partition 0 as it comes to a process."""
    state = Attempts()
    progress = {} if found is None else {0: Progress(offset, found.encode())}
    state.assigned([0], progress, {0: lost} if lost else {})
    return state


# --- what is written --------------------------------------------------------------------------------------


@given(_COUNTS, _COUNTS, _COUNTS)
def test_what_is_written_is_read_again_and_short(attempt: int, span: int, alone: int) -> None:
    written = Attempt(attempt, span, alone)
    assert Attempt.decode(written.encode()) == written
    assert len(written.encode()) < 100


def test_nothing_to_remember_is_written_as_nothing() -> None:
    assert Attempt().encode() == ""


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "someone else's",
        "[]",
        "7",
        "{}",
        '{"attempt": 2}',
        '{"attempt": "2", "span": 1}',
        '{"attempt": -1, "span": 1}',
        '{"attempt": true, "span": 1}',
        '{"attempt": 2, "span": 1.5}',
        '{"attempt": 2, "span": null, "alone": 1}',
        '{"attempt": 2, "span": 1, "alone": true}',
        "{" * 5000,
    ],
)
def test_what_others_wrote_is_taken_for_nothing(metadata: str) -> None:
    assert Attempt.decode(metadata) == Attempt()


def test_a_later_version_may_write_more() -> None:
    assert Attempt.decode('{"attempt": 2, "span": 7, "since": 5}') == Attempt(2, 7)


# --- a start is counted once something is read ------------------------------------------------------------


def test_the_first_start_is_written_down_with_the_first_messages_and_only_with_them() -> None:
    state = attempts(None)
    assert state.read(messages(5, 6, 7)) == {0: Mark(5, Attempt(1, 3))}
    state.stored({0: Mark(5, Attempt(1, 3))})
    assert state.read(messages(8)) == {}


def test_a_start_that_could_not_be_written_down_is_with_the_next_messages() -> None:
    state = attempts(None)
    state.read(messages(5))
    assert state.read(messages(6)) == {0: Mark(5, Attempt(1, 2))}


def test_a_process_that_reads_nothing_counts_for_nothing() -> None:
    state = attempts(Attempt(1, 4))
    assert state.given_back({}, None) == {}
    assert not state.has_suspects


def test_the_second_start_writes_down_all_it_reads_before_that_is_computed() -> None:
    state = attempts(Attempt(1, 2), offset=5)
    for read, span in ([5, 6], 2), ([7], 3):
        marks = state.read(messages(*read))
        assert marks == {0: Mark(5, Attempt(2, span))}
        state.stored(marks)
    assert not state.has_suspects


def test_progress_begins_the_count_anew() -> None:
    state = attempts(Attempt(1, 4), offset=5)
    state.stored(state.read(messages(5, 6, 7, 8)))
    marks = state.beside({0: 7})
    assert marks == {0: Mark(7, Attempt(1, 2))}
    state.stored(marks)
    assert state.read(messages(9, 10)) == {}


# --- suspects ---------------------------------------------------------------------------------------------


def test_after_two_starts_what_the_second_had_read_is_suspected_to_its_end() -> None:
    state = attempts(Attempt(2, 3), offset=5)
    for offset in (5, 6, 7):
        assert state.has_suspects
        [message] = messages(offset)
        assert not state.is_guilty(message)
        marks = state.alone([message])
        assert marks == {0: Mark(offset, Attempt(2, 8 - offset, alone=1))}
        state.stored(marks)
    assert not state.has_suspects
    assert state.beside({0: 8}) == {0: Mark(8, Attempt(1, 0))}


def test_a_mark_is_gone_with_the_commit_of_what_it_marked_and_the_rest_stays_suspected() -> None:
    state = attempts(Attempt(2, 3), offset=5)
    state.stored(state.alone(messages(5)))
    assert state.beside({0: 5}) == {0: Mark(5, Attempt(2, 3, alone=1))}
    assert state.beside({0: 6}) == {0: Mark(6, Attempt(2, 2))}


def test_a_mark_found_condemns_the_message_at_the_offset_and_no_other() -> None:
    state = attempts(Attempt(2, 3, alone=1), offset=5)
    assert [state.is_guilty(message) for message in messages(4, 5, 6)] == [False, True, False]
    assert state.condemned(messages(5)[0]) == 3
    assert state.has_suspects
    # Until its dead letter is there, whoever comes next must find it condemned as well.
    assert state.given_back({}, None) == {}
    assert state.beside({0: 6}) == {0: Mark(6, Attempt(2, 2))}


def test_suspects_that_retention_has_deleted_are_not_waited_for() -> None:
    assert not attempts(Attempt(2, 3), offset=5, lost=3).has_suspects
    assert attempts(Attempt(2, 3), offset=5, lost=2).has_suspects


def test_suspects_go_with_their_partition() -> None:
    state = attempts(Attempt(2, 3))
    state.gone([0])
    assert not state.has_suspects


# --- thousands of suspects --------------------------------------------------------------------------------


def take(state: Attempts, *offsets: int) -> list[int]:
    """The next turn of what is held, marked and stored; its offsets."""
    turn = state.turn(messages(*offsets))
    state.stored(state.alone(turn))
    return [message.offset for message in turn]


@pytest.mark.parametrize(("span", "at_once"), [(1, 1), (TURNS, 1), (TURNS + 1, 2), (50 * TURNS, 50)])
def test_thousands_of_suspects_are_gone_through_in_about_as_many_turns_as_one_thousand(
    span: int, at_once: int
) -> None:
    state = attempts(Attempt(2, span), offset=5)
    assert state.at_once == at_once
    assert take(state, *range(5, 105)) == list(range(5, 5 + at_once))


def test_suspects_of_all_partitions_count() -> None:
    state = Attempts()
    metadata = Attempt(2, TURNS).encode()
    state.assigned([0], {0: Progress(5, metadata)}, {})
    state.assigned([1, 2], {1: Progress(5, metadata), 2: Progress(5, metadata)}, {})
    assert state.at_once == 3


def test_a_turn_is_of_one_partition_and_of_suspects_first() -> None:
    state = Attempts()
    state.assigned([0, 1], {0: Progress(5, Attempt(2, 3 * TURNS).encode())}, {})
    held = [*messages(7, partition=1), *messages(5), *messages(8, partition=1), *messages(6, 7, 8)]
    assert [(message.partition, message.offset) for message in state.turn(held)] == [(0, 5), (0, 6), (0, 7)]


def test_a_turn_stays_marked_to_its_end_while_it_is_answered() -> None:
    state = attempts(Attempt(2, 3 * TURNS), offset=5)
    assert take(state, 5, 6, 7, 8) == [5, 6, 7]
    assert state.beside({0: 5}) == {0: Mark(5, Attempt(2, 3 * TURNS, alone=3))}
    assert state.beside({0: 7}) == {0: Mark(7, Attempt(2, 3 * TURNS - 2, alone=1))}
    assert state.beside({0: 8}) == {0: Mark(8, Attempt(2, 3 * TURNS - 3))}


def test_a_mark_of_several_condemns_none_and_they_run_one_by_one_and_then_the_others_in_turns() -> None:
    state = attempts(Attempt(2, 3 * TURNS, alone=3), offset=5)
    assert not any(state.is_guilty(message) for message in messages(5, 6, 7))
    assert [take(state, *range(offset, offset + 9)) for offset in (5, 6, 7)] == [[5], [6], [7]]
    assert take(state, *range(8, 20)) == [8, 9, 10]


def test_an_orderly_end_leaves_the_rest_of_a_mark_of_several_and_condemns_not_the_last_of_it() -> None:
    state = attempts(Attempt(2, 10, alone=3), offset=5)
    assert state.given_back({}, None) == {}
    take(state, 5)
    assert state.given_back({0: 6}, None) == {0: Mark(6, Attempt(2, 9, alone=2))}
    take(state, 6)
    assert state.given_back({0: 7}, None) == {0: Mark(7, Attempt(2, 8))}


def test_an_orderly_end_takes_the_mark_of_an_innocent_turn_back() -> None:
    state = Attempts()
    state.assigned([0, 1], {1: Progress(5, Attempt(2, 3 * TURNS).encode())}, {})
    take(state, 4, 5, 6)
    assert state.given_back({}, [0]) == {0: Mark(4, Attempt())}


# --- an orderly end ---------------------------------------------------------------------------------------


def test_an_orderly_end_leaves_the_count_as_it_was_found() -> None:
    state = attempts(Attempt(1, 4), offset=5)
    state.stored(state.read(messages(5, 6)))
    assert state.given_back({}, [0]) == {0: Mark(5, Attempt(1, 4))}


def test_an_orderly_end_after_progress_leaves_nothing_behind() -> None:
    state = attempts(Attempt(1, 4), offset=5)
    state.stored(state.read(messages(5, 6)))
    assert state.given_back({0: 6}, None) == {0: Mark(6, Attempt())}


def test_an_orderly_end_takes_back_a_mark_and_leaves_the_suspects() -> None:
    state = attempts(Attempt(2, 3), offset=5)
    state.stored(state.alone(messages(5)))
    assert state.given_back({}, None) == {0: Mark(5, Attempt(2, 3))}


def test_an_orderly_end_concerns_the_partitions_that_leave_only() -> None:
    state = Attempts()
    state.assigned([0, 1], {}, {})
    state.stored(state.read([*messages(3), *messages(4, partition=1)]))
    assert state.given_back({}, [1]) == {1: Mark(4, Attempt())}
