"""`worker/outcomes.py`: what becomes of a request that failed, row by row."""

from __future__ import annotations

import pytest

from schemas import headers as names
from schemas.errors import ErrorCode, RequestError, UnanswerableError
from schemas.topics import Lane
from worker.outcomes import Fate, deadline_error, fate_of, is_our_fault

from .fakes import an_item

RESPONSE = Fate(error_response=True, dead_letter=False)
DEAD_LETTER = Fate(error_response=False, dead_letter=True)
BOTH = Fate(error_response=True, dead_letter=True)

OURS = {
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.KILLED_WORKER,
    ErrorCode.OVERLOADED,
    ErrorCode.UNAVAILABLE,
    ErrorCode.MODEL_NOT_READY,
}
CONTRACT = set(ErrorCode) - OURS - {ErrorCode.TIMEOUT}


@pytest.mark.parametrize("code", sorted(CONTRACT))
def test_a_broken_contract_is_answered_and_kept_in_the_bulk_lane_only(code: ErrorCode) -> None:
    error = RequestError(code, "no")
    assert fate_of(Lane.INTERACTIVE, error) == RESPONSE
    assert fate_of(Lane.BULK, error) == BOTH


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("code", sorted(OURS))
def test_a_fault_of_ours_is_answered_and_kept_in_both_lanes(lane: Lane, code: ErrorCode) -> None:
    assert fate_of(lane, RequestError(code, "no")) == BOTH


@pytest.mark.parametrize("code", ErrorCode)
def test_what_is_late_or_against_the_contract_is_no_fault_of_ours(code: ErrorCode) -> None:
    assert is_our_fault(code) == (code in OURS)


@pytest.mark.parametrize("lane", Lane)
def test_a_passed_deadline_is_answered_and_never_kept(lane: Lane) -> None:
    assert fate_of(lane, RequestError(ErrorCode.TIMEOUT, "late")) == RESPONSE


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("code", ErrorCode)
def test_what_nobody_can_be_told_about_is_a_dead_letter_whatever_its_code(lane: Lane, code: ErrorCode) -> None:
    assert fate_of(lane, UnanswerableError(code, "no")) == DEAD_LETTER


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("code", ErrorCode)
def test_no_failure_leads_to_nothing(lane: Lane, code: ErrorCode) -> None:
    for error in (RequestError(code, "no"), UnanswerableError(code, "no")):
        fate = fate_of(lane, error)
        assert fate.error_response or fate.dead_letter


def test_a_request_is_expired_only_past_its_deadline_and_the_clock_skew() -> None:
    item = an_item(headers=[(names.DEADLINE, b"10000")], metadata={"doc": 7})
    assert deadline_error(item, 10_000, 1000) is None
    assert deadline_error(item, 11_000, 1000) is None
    error = deadline_error(item, 11_001, 1000)
    assert error is not None
    assert (error.code, error.request_id, error.metadata) == (ErrorCode.TIMEOUT, "r1", {"doc": 7})
    assert "1001 ms ago" in error.message


@pytest.mark.parametrize("headers", [[], [(names.DEADLINE, b"soon")], [(names.DEADLINE, b"-5")]])
def test_without_a_readable_deadline_nothing_expires(headers: list[tuple[str, bytes]]) -> None:
    assert deadline_error(an_item(headers=headers), 1e15, 0) is None


def test_a_tombstone_does_not_expire() -> None:
    assert deadline_error(an_item(tombstone=True, headers=[(names.DEADLINE, b"1")]), 1e15, 0) is None
