"""`worker/bounds.py`: what is in flight, and when reading pauses."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.bounds import InFlight

SIZES = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 2000)), max_size=40)


def test_nothing_in_flight_is_not_full() -> None:
    assert not InFlight(10, 10).is_full


@pytest.mark.parametrize(("tokens", "size_bytes"), [(10, 0), (0, 10), (10, 10)])
def test_it_is_full_from_either_bound_on(tokens: int, size_bytes: int) -> None:
    bounds = InFlight(10, 10)
    bounds.reserve(tokens, size_bytes)
    assert bounds.is_full


@pytest.mark.parametrize(("tokens", "size_bytes"), [(9, 0), (0, 9), (9, 9)])
def test_it_is_not_full_just_below_both(tokens: int, size_bytes: int) -> None:
    bounds = InFlight(10, 10)
    bounds.reserve(tokens, size_bytes)
    assert not bounds.is_full


def test_once_full_it_stays_full_until_half_is_free() -> None:
    bounds = InFlight(10, 1000)
    reservations = [bounds.reserve(1, 1) for _ in range(10)]
    seen = []
    for reservation in reservations:
        seen.append(bounds.is_full)
        bounds.release(reservation)
    assert seen == [True] * 5 + [False] * 5


def test_after_half_was_free_it_is_full_again_only_at_the_bound() -> None:
    bounds = InFlight(10, 1000)
    reservations = [bounds.reserve(5, 1), bounds.reserve(5, 1)]
    assert bounds.is_full
    bounds.release(reservations[0])
    assert not bounds.is_full
    bounds.reserve(4, 1)
    assert not bounds.is_full
    bounds.reserve(1, 1)
    assert bounds.is_full


def test_both_bounds_must_be_half_free_before_reading_goes_on() -> None:
    bounds = InFlight(10, 10)
    many_tokens, many_bytes = bounds.reserve(10, 0), bounds.reserve(0, 6)
    assert bounds.is_full
    bounds.release(many_tokens)
    assert bounds.is_full
    bounds.release(many_bytes)
    assert not bounds.is_full


def test_a_request_larger_than_the_whole_bound_is_taken_and_its_release_empties_the_bound() -> None:
    bounds = InFlight(10, 10)
    reservation = bounds.reserve(1_000_000, 1_000_000)
    assert bounds.is_full
    bounds.release(reservation)
    assert not bounds.is_full
    assert (bounds.tokens, bounds.bytes, bounds.requests) == (0, 0, 0)


def test_a_correction_replaces_the_estimate_and_release_gives_back_the_corrected_tokens() -> None:
    bounds = InFlight(100, 100)
    reservation = bounds.reserve(60, 7)
    bounds.correct(reservation, tokens=20)
    assert (bounds.tokens, bounds.bytes, bounds.requests) == (20, 7, 1)
    bounds.correct(reservation, tokens=90)
    assert bounds.tokens == 90
    bounds.release(reservation)
    assert (bounds.tokens, bounds.bytes, bounds.requests) == (0, 0, 0)


@given(sizes=SIZES, counted=st.lists(st.integers(0, 2000), max_size=40))
def test_what_is_in_flight_is_the_sum_of_what_is_held(sizes: list[tuple[int, int]], counted: list[int]) -> None:
    bounds = InFlight(1000, 1000)
    held = [bounds.reserve(*size) for size in sizes]
    for reservation, tokens in zip(held, counted, strict=False):
        bounds.correct(reservation, tokens=tokens)
    while held:
        assert bounds.tokens == sum(reservation.tokens for reservation in held)
        assert bounds.bytes == sum(reservation.bytes for reservation in held)
        assert bounds.requests == len(held)
        bounds.release(held.pop())
    assert (bounds.tokens, bounds.bytes, bounds.requests) == (0, 0, 0)


def test_threads_that_reserve_correct_and_release_leave_nothing_behind() -> None:
    bounds = InFlight(100, 100)

    def work() -> None:
        for number in range(2000):
            reservation = bounds.reserve(number % 7, number % 5)
            bounds.correct(reservation, tokens=number % 11)
            bounds.release(reservation)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (bounds.tokens, bounds.bytes, bounds.requests) == (0, 0, 0)
