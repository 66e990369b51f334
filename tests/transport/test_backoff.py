"""`transport/backoff.py`: ever longer, never all at once, never beyond the bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.backoff import backoff_seconds


@pytest.mark.parametrize(("tries", "longest"), [(1, 0.1), (2, 0.2), (3, 0.4), (6, 3.2), (7, 5.0), (10_000, 5.0)])
def test_the_wait_doubles_up_to_its_bound(tries: int, longest: float) -> None:
    assert backoff_seconds(tries, first=0.1, most=5.0, random=lambda: 1.0) == pytest.approx(longest)
    assert backoff_seconds(tries, first=0.1, most=5.0, random=lambda: 0.0) == pytest.approx(longest / 2)


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_no_wait_is_longer_than_the_bound_or_none(tries: int, chance: float) -> None:
    assert 0 < backoff_seconds(tries, first=0.1, most=5.0, random=lambda: chance) <= 5.0
