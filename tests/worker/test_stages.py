"""`worker/stages.py`: no stage dies quietly."""

from __future__ import annotations

import threading

import pytest

from worker.errors import PublishError, StageDiedError
from worker.stages import StageFailure, start_stage, tellable


def fail_with(error: BaseException) -> None:
    raise error


def test_a_stage_that_ends_by_itself_is_no_failure() -> None:
    failure = StageFailure()
    start_stage("one", lambda: None, failure).join(5)
    assert not failure.wake.is_set()
    assert (failure.stage, failure.error) == (None, None)


@pytest.mark.parametrize("error", [ValueError("bad"), MemoryError(), SystemExit(3), KeyboardInterrupt()])
def test_whatever_a_stage_dies_of_is_kept_with_its_name_and_wakes_the_watcher(error: BaseException) -> None:
    failure = StageFailure()
    start_stage("encoder", lambda: fail_with(error), failure)
    assert failure.wake.wait(5)
    assert failure.stage == "encoder"
    assert failure.error is error


def test_the_first_failure_is_kept_and_later_ones_are_its_consequences() -> None:
    failure = StageFailure()
    first = ValueError("first")
    failure.report("one", first)
    failure.report("two", ValueError("second"))
    assert (failure.stage, failure.error) == ("one", first)


def test_a_stage_is_a_daemon_thread_under_its_own_name() -> None:
    failure, go_on = StageFailure(), threading.Event()
    thread = start_stage("intake-bulk", lambda: fail_unless(go_on.wait(5)), failure)
    assert (thread.name, thread.daemon, thread.is_alive()) == ("intake-bulk", True, True)
    go_on.set()
    thread.join(5)
    assert failure.error is None


def fail_unless(condition: bool) -> None:
    if not condition:
        raise TimeoutError


def _error_of(error: Exception) -> Exception:
    """The same, raised."""
    try:
        fail_with(error)
    except Exception as raised:  # noqa: BLE001 - any
        return raised
    raise AssertionError("it was raised")


@pytest.mark.parametrize("stage", ["intake-bulk", "tokenization-interactive", "publisher-bulk"])
def test_of_a_stage_that_holds_texts_an_unexpected_error_is_told_by_kind_and_place_only(stage: str) -> None:
    told = tellable(stage, _error_of(ValueError("cannot read 'a secret'")))
    assert isinstance(told, StageDiedError)
    assert f"stage {stage} died of ValueError at " in str(told)
    assert "fail_with" in str(told)
    assert "secret" not in str(told)


@pytest.mark.parametrize(
    ("stage", "error"),
    [("encoder", RuntimeError("CUDA error")), ("publisher-bulk", PublishError("topic t takes no messages"))],
)
def test_what_cannot_quote_a_text_is_told_as_it_is(stage: str, error: Exception) -> None:
    assert tellable(stage, error) is error
