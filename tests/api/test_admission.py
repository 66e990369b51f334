from __future__ import annotations

import pytest

from api.admission import Admission
from schemas.errors import ErrorCode, RequestError


def test_requests_that_fit_together_are_admitted_and_give_their_room_back() -> None:
    admission = Admission(100)

    with admission.admit(60), admission.admit(40):
        assert admission.used_bytes == 100

    assert admission.used_bytes == 0


def test_one_byte_over_the_bound_is_refused_and_holds_no_room() -> None:
    admission = Admission(100)

    with admission.admit(60):
        with pytest.raises(RequestError) as refused, admission.admit(41):
            pass
        assert refused.value.code is ErrorCode.OVERLOADED
        assert admission.used_bytes == 60


def test_a_request_larger_than_the_bound_is_admitted_alone_and_then_keeps_others_out() -> None:
    admission = Admission(100)

    with admission.admit(500), pytest.raises(RequestError), admission.admit(1):
        pass

    assert admission.used_bytes == 0


def test_a_request_that_fails_gives_its_room_back() -> None:
    admission = Admission(100)

    with pytest.raises(ZeroDivisionError), admission.admit(60):
        raise ZeroDivisionError

    assert admission.used_bytes == 0
