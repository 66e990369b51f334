"""`worker/watch/stuck.py`: what is stuck, and what only waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.errors import ErrorCode, RequestError
from worker.watch.stuck import Place, StuckWatch, bound_seconds, place_of

from ..fakes import an_item

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.request import RequestInFlight

BOUND = 10.0


def computing(inputs: int = 2) -> RequestInFlight:
    """A request whose inputs wait for the device."""
    item = an_item(["a"] * inputs)
    item.prompt_tokens = inputs
    return item


def computed() -> RequestInFlight:
    """A request that waits to be published."""
    item = computing(1)
    item.remaining = 0
    return item


def first_stuck(
    looks: Iterable[RequestInFlight | None], *, step: float = 1.0, broker_answers: bool = True, others: bool = False
) -> float | None:
    """Seconds after which it says so, looking every `step`."""
    watch = StuckWatch()
    for number, oldest in enumerate(looks):
        now = 1000.0 + number * step
        found = watch.look(oldest, now, BOUND, broker_answers=broker_answers, others_done=number if others else 0)
        if found is not None:
            assert found.item is oldest
            return now - 1000.0
    return None


@pytest.mark.parametrize(
    ("slowest", "chosen", "bound"), [(0.0, None, 60), (11.9, None, 60), (20, None, 100), (20, 3.0, 3), (20, 900, 900)]
)
def test_the_bound_is_five_times_the_slowest_batch_at_least_a_minute_or_what_is_chosen(
    slowest: float, chosen: float | None, bound: float
) -> None:
    assert bound_seconds(slowest, chosen) == bound


@pytest.mark.parametrize("item", [computing(), computed(), an_item()], ids=["encoder", "publisher", "tokenization"])
def test_a_request_of_which_nothing_gets_done_is_stuck_wherever_it_is(item: RequestInFlight) -> None:
    item.remaining = 0 if item.prompt_tokens == 0 else item.remaining
    assert first_stuck([item] * 20) == BOUND


def test_nothing_is_stuck_where_nothing_waits() -> None:
    assert first_stuck([None] * 30) is None


def test_a_deep_queue_whose_oldest_changes_is_not_stuck_however_old_they_are() -> None:
    fresh = [computing() for _ in range(10)]
    assert first_stuck([item for item in fresh for _ in range(9)]) is None


def test_a_large_request_whose_inputs_get_done_one_by_one_is_not_stuck() -> None:
    item = computing(100)

    def looks() -> Iterable[RequestInFlight]:
        for number in range(90):
            item.remaining -= number % 9 == 0
            yield item

    assert first_stuck(looks()) is None


def test_what_the_broker_has_not_acknowledged_is_never_stuck() -> None:
    item = computed()
    item.unacknowledged = 1
    assert first_stuck([item] * 100) is None


def test_what_waits_to_be_published_is_stuck_only_while_the_broker_takes_other_things() -> None:
    assert first_stuck([computed()] * 100, broker_answers=False) is None
    assert first_stuck([computing()] * 100, broker_answers=False) == BOUND


def test_a_process_that_was_stopped_has_not_waited_for_itself() -> None:
    assert first_stuck([computing()] * 4, step=3600.0) is None
    assert first_stuck([computing()] * 10, step=3600.0) == 5 * 3600.0


def test_what_may_rightly_go_before_it_counts_as_progress() -> None:
    assert first_stuck([computing()] * 100, others=True) is None


def test_where_a_request_is_can_be_seen_from_it() -> None:
    failed, tombstone, on_its_way = an_item(), an_item(tombstone=True), computed()
    failed.remaining, failed.error = 0, RequestError(ErrorCode.TIMEOUT, "late")
    on_its_way.unacknowledged = 1
    assert [place_of(item) for item in (computing(), computed(), failed, tombstone, on_its_way)] == [
        Place.ENCODER,
        Place.PUBLISHER,
        Place.PUBLISHER,
        Place.PUBLISHER,
        Place.BROKER,
    ]
