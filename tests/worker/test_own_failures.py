"""`worker/own_failures.py`: when the share of requests that fail through our fault stops the worker."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ErrorCode
from worker.errors import OwnFailuresError
from worker.own_failures import OwnFailures
from worker.settings import OwnFailureSettings

OURS = ErrorCode.INTERNAL_ERROR


def stops_at(failures: OwnFailures, codes: list[ErrorCode | None], *, every_seconds: float = 0.0) -> int | None:
    """Which request stops the worker, counted from 0; None: none does."""
    for number, code in enumerate(codes):
        try:
            failures.count(1000 + number * every_seconds, code)
        except OwnFailuresError:
            return number
    return None


def limit(share: float = 0.1, *, window_seconds: float = 60, at_least: int = 3) -> OwnFailures:
    return OwnFailures(OwnFailureSettings(share=share, window_seconds=window_seconds, at_least=at_least))


def test_a_share_is_allowed_and_more_than_it_is_not() -> None:
    codes: list[ErrorCode | None] = [*[None] * 9, OURS] * 10
    assert stops_at(limit(0.1), codes) is None
    assert stops_at(limit(0.1), [*codes, OURS]) == 100


def test_a_few_failures_stop_nothing_whatever_their_share() -> None:
    assert stops_at(limit(at_least=3), [OURS, OURS]) is None
    assert stops_at(limit(at_least=3), [OURS, OURS, OURS]) == 2


def test_failures_that_have_left_the_window_do_not_count() -> None:
    assert stops_at(limit(window_seconds=60), [OURS, OURS, OURS], every_seconds=31) is None
    assert stops_at(limit(window_seconds=60), [OURS, OURS, OURS], every_seconds=29) == 2


def test_requests_that_have_left_the_window_do_not_dilute() -> None:
    failures = limit(0.5, window_seconds=60, at_least=1)
    for _ in range(1000):
        failures.count(1000, None)
    with pytest.raises(OwnFailuresError, match="1 of 1 requests of the last 60 s"):
        failures.count(1061, OURS)


def test_a_share_of_1_stops_nothing() -> None:
    assert stops_at(limit(1, at_least=1), [OURS] * 1000) is None


@pytest.mark.parametrize("code", [ErrorCode.NOT_JSON, ErrorCode.INVALID_REQUEST, ErrorCode.TIMEOUT])
def test_what_is_the_callers_stops_nothing(code: ErrorCode) -> None:
    assert stops_at(limit(0.001, at_least=1), [code] * 1000) is None


def test_the_message_names_each_code_and_the_setting() -> None:
    failures = limit(0.2, at_least=3)
    failures.count(1000, OURS)
    failures.count(1000, ErrorCode.OVERLOADED)
    with pytest.raises(
        OwnFailuresError, match=r"\(internal_error 2, overloaded 1\), more than own_failures.share = 0"
    ):
        failures.count(1000, OURS)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 5), st.sampled_from([None, OURS, ErrorCode.NOT_JSON])), max_size=200),
    st.sampled_from([0.1, 0.5]),
)
def test_it_stops_where_counting_by_hand_over_the_window_does(
    steps: list[tuple[float, ErrorCode | None]], share: float
) -> None:
    window, at_least, now = 60.0, 3, 1000.0
    failures, seen = limit(share, window_seconds=window, at_least=at_least), []
    for pause, code in steps:
        now += pause
        seen.append((int(now), code))
        inside = [one for second, one in seen if second > int(now) - window]
        ours = inside.count(OURS)
        expected = code is OURS and ours >= at_least and ours > share * len(inside)
        try:
            failures.count(now, code)
        except OwnFailuresError:
            assert expected
            return
        assert not expected
