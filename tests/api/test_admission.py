from __future__ import annotations

import pytest

from api.admission import UNDECLARED_BYTES, Admission
from schemas.errors import ErrorCode, RequestError

PLENTY = 10**9


def _used(admission: Admission) -> tuple[int, int, int]:
    return admission.requests, admission.used_bytes, admission.used_tokens


def test_requests_that_fit_together_are_admitted_and_give_their_room_back() -> None:
    admission = Admission(100, 25)

    with admission.admit(60), admission.admit(40):
        assert _used(admission) == (2, 100, 25)

    assert _used(admission) == (0, 0, 0)


@pytest.mark.parametrize("bounds", [(100, PLENTY), (PLENTY, 25)], ids=["bytes", "tokens"])
def test_one_over_either_bound_is_refused_and_holds_no_room(bounds: tuple[int, int]) -> None:
    admission = Admission(*bounds)

    with admission.admit(60):
        with pytest.raises(RequestError) as refused, admission.admit(41):
            pass
        assert refused.value.code is ErrorCode.OVERLOADED
        assert _used(admission) == (1, 60, 15)


@pytest.mark.parametrize("bounds", [(100, PLENTY), (PLENTY, 25)], ids=["bytes", "tokens"])
def test_a_request_larger_than_the_bound_is_admitted_alone_and_then_keeps_others_out(bounds: tuple[int, int]) -> None:
    admission = Admission(*bounds)

    with admission.admit(500), pytest.raises(RequestError), admission.admit(1):
        pass

    assert _used(admission) == (0, 0, 0)


def test_a_request_that_fails_gives_its_room_back() -> None:
    admission = Admission(100, 25)

    with pytest.raises(ZeroDivisionError), admission.admit(60):
        raise ZeroDivisionError

    assert _used(admission) == (0, 0, 0)


def test_a_body_of_unknown_length_counts_as_much_as_the_server_reads_ahead_and_grows_beyond_it() -> None:
    admission = Admission(2 * UNDECLARED_BYTES, PLENTY)

    with admission.admit(None) as place, admission.admit(1000):
        assert admission.used_bytes == UNDECLARED_BYTES + 1000
        place.grow(10)
        assert admission.used_bytes == UNDECLARED_BYTES + 1000
        place.grow(2 * UNDECLARED_BYTES - 1000)
        assert admission.used_bytes == 2 * UNDECLARED_BYTES
        with pytest.raises(RequestError) as refused:
            place.grow(2 * UNDECLARED_BYTES - 999)

        assert refused.value.code is ErrorCode.OVERLOADED
        assert admission.used_bytes == 2 * UNDECLARED_BYTES
    assert _used(admission) == (0, 0, 0)


def test_a_declared_length_counts_only_as_far_as_the_server_reads_ahead() -> None:
    admission = Admission(PLENTY, PLENTY)

    with admission.admit(50 * UNDECLARED_BYTES) as place:
        assert admission.used_bytes == UNDECLARED_BYTES
        place.grow(UNDECLARED_BYTES + 1)
        assert admission.used_bytes == UNDECLARED_BYTES + 1


def test_an_answer_finds_room_beside_its_body_or_is_refused_and_then_takes_the_place_of_it() -> None:
    admission = Admission(100, PLENTY)

    with admission.admit(10) as place, admission.admit(20):
        with pytest.raises(RequestError) as refused:
            place.expect(71)
        assert refused.value.code is ErrorCode.OVERLOADED
        assert admission.used_bytes == 30
        place.expect(70)
        assert admission.used_bytes == 100

        place.answered(60)

        assert _used(admission) == (2, 80, 5)
    assert _used(admission) == (0, 0, 0)


def test_what_was_read_takes_the_place_of_what_was_expected_and_makes_room() -> None:
    admission = Admission(PLENTY, 30)

    with admission.admit(100) as place:
        place.settle(100, 5)
        assert _used(admission) == (1, 100, 5)
        with admission.admit(100):
            # More tokens than bytes promised, as token ids may have: they are here already.
            place.settle(100, 28)
            assert admission.used_tokens == 53
    assert _used(admission) == (0, 0, 0)


def test_once_closed_nothing_more_is_admitted_and_what_was_goes_on() -> None:
    admission = Admission(100, 25)

    with admission.admit(10):
        admission.close()
        with pytest.raises(RequestError) as refused, admission.admit(10):
            pass
        assert refused.value.code is ErrorCode.UNAVAILABLE
        assert _used(admission) == (1, 10, 3)
    assert _used(admission) == (0, 0, 0)
