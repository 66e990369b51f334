"""`worker/duplicates.py`: same inputs are computed once, and each occurrence is answered."""

from __future__ import annotations

import queue
import random
import threading
from array import array
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.topics import Lane
from tests.stack.waiting import wait_until
from worker import duplicates as duplicates_module
from worker.duplicates import Duplicates
from worker.scheduler import WaitingInput
from worker.vector_cache import VectorCache

from .fakes import an_item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BULK, INTERACTIVE = Lane.BULK, Lane.INTERACTIVE
LARGE = 1 << 20


def vector_of(ids: Sequence[int], dim: int) -> NDArray[np.float32]:
    """What a model would give for an input; longer than asked for, as a device's row may be."""
    return np.random.default_rng([dim, *ids]).standard_normal(dim + 2).astype(np.float32)


def inputs_of(*texts: Sequence[int], lane: Lane = BULK, dim: int = 4) -> list[WaitingInput]:
    """The inputs of one request."""
    item = an_item(["text"] * len(texts), lane=lane, dim=dim)
    return [WaitingInput(item, index, ids) for index, ids in enumerate(texts)]


def an_input(*ids: int, lane: Lane = BULK, dim: int = 4) -> WaitingInput:
    (waiting,) = inputs_of(list(ids), lane=lane, dim=dim)
    return waiting


def deliver(duplicates: Duplicates, leader: WaitingInput) -> list[WaitingInput]:
    return list(duplicates.delivered(leader, vector_of(leader.ids, leader.item.dim)))


def admitted(duplicates: Duplicates, count: int, lane: Lane = BULK) -> list[WaitingInput]:
    """The same input so many times; the first one leads."""
    inputs = [an_input(1, lane=lane) for _ in range(count)]
    for waiting in inputs:
        duplicates.admit([waiting])
    return inputs


@pytest.fixture
def duplicates() -> Duplicates:
    return Duplicates()


# --- who is computed --------------------------------------------------------------------------------------


def test_different_inputs_are_all_computed_in_their_order(duplicates: Duplicates) -> None:
    inputs = inputs_of([1], [2], [1, 2], [2, 1])
    assert duplicates.admit(inputs) == (inputs, [])
    assert [deliver(duplicates, waiting) for waiting in inputs] == [[], [], [], []]


def test_of_the_same_inputs_the_first_is_computed_and_the_others_get_its_vector(duplicates: Duplicates) -> None:
    first, again = inputs_of([1, 2], [1, 2])
    later = an_input(1, 2)
    assert duplicates.admit([first, again]).to_compute == [first]
    assert duplicates.admit([later]).to_compute == []
    assert deliver(duplicates, first) == [again, later]


def test_once_delivered_the_same_input_is_computed_anew(duplicates: Duplicates) -> None:
    first, later = an_input(1), an_input(1)
    duplicates.admit([first])
    deliver(duplicates, first)
    assert duplicates.admit([later]).to_compute == [later]


def test_inputs_whose_vectors_differ_in_length_are_not_the_same(duplicates: Duplicates) -> None:
    short, long = an_input(1, dim=2), an_input(1, dim=4)
    assert duplicates.admit([short]).to_compute == [short]
    assert duplicates.admit([long]).to_compute == [long]


@pytest.mark.parametrize("cache", [None, VectorCache(LARGE)])
def test_inputs_of_which_pooling_leaves_out_another_part_are_not_the_same(cache: VectorCache | None) -> None:
    item = an_item(["text"] * 2)
    whole, part = WaitingInput(item, 0, [1, 2, 3]), WaitingInput(item, 1, [1, 2, 3], unpooled=2)
    assert Duplicates(cache).admit([whole, part]).to_compute == [whole, part]


def test_ids_are_compared_by_value_whatever_sequence_holds_them(duplicates: Duplicates) -> None:
    forms = inputs_of([0, 1], (0, 1), range(2), array("i", [0, 1]))
    assert duplicates.admit(forms).to_compute == forms[:1]


def test_different_inputs_that_are_taken_for_the_same_by_chance_are_each_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(duplicates_module, "_quick_key", lambda *_: 0)
    duplicates = Duplicates()
    one, other, other_dim, follower = an_input(1), an_input(2), an_input(1, dim=2), an_input(1)
    for waiting in (one, other, other_dim):
        assert duplicates.admit([waiting]).to_compute == [waiting]
    assert duplicates.admit([follower]).to_compute == []
    assert deliver(duplicates, other) == []
    assert duplicates.given_up(other_dim) is None
    assert deliver(duplicates, one) == [follower]


@pytest.mark.parametrize("lanes", [(BULK, INTERACTIVE), (INTERACTIVE, BULK)])
def test_the_lanes_do_not_wait_for_each_other(duplicates: Duplicates, lanes: tuple[Lane, Lane]) -> None:
    first, second = (admitted(duplicates, 2, lane) for lane in lanes)
    assert len(duplicates) == 2
    assert deliver(duplicates, first[0]) == first[1:]
    assert deliver(duplicates, second[0]) == second[1:]


# --- leaders that are not computed ------------------------------------------------------------------------


def test_the_next_one_takes_the_place_of_a_leader_that_is_given_up_and_leads_the_rest(duplicates: Duplicates) -> None:
    leader, second, third = admitted(duplicates, 3)
    assert duplicates.given_up(leader) is second
    late = an_input(1)
    assert duplicates.admit([late]).to_compute == []
    assert deliver(duplicates, second) == [third, late]


def test_a_leader_nobody_follows_leaves_nothing_behind(duplicates: Duplicates) -> None:
    (leader,) = admitted(duplicates, 1)
    assert duplicates.given_up(leader) is None
    assert len(duplicates) == 0


def test_every_one_of_a_row_of_failures_fails_by_itself(duplicates: Duplicates) -> None:
    inputs = admitted(duplicates, 5)
    failed: list[WaitingInput] = []
    leader: WaitingInput | None = inputs[0]
    while leader is not None:
        failed.append(leader)
        leader = duplicates.given_up(leader)
    assert failed == inputs
    assert len(duplicates) == 0


def test_who_stands_in_for_a_failed_one_is_known_also_when_it_does_so_for_another(duplicates: Duplicates) -> None:
    first, second, third, fourth = admitted(duplicates, 4)
    duplicates.given_up(first)
    duplicates.given_up(second, failed=True)
    duplicates.given_up(third)
    assert [it.failed_before for it in (first, second, third, fourth)] == [False, False, True, True]


# --- the cache --------------------------------------------------------------------------------------------


def test_with_a_cache_an_input_computed_before_is_known_in_either_lane() -> None:
    duplicates = Duplicates(VectorCache(LARGE))
    first, later, other_dim = an_input(1, 2), an_input(1, 2, lane=INTERACTIVE), an_input(1, 2, dim=3)
    duplicates.admit([first])
    deliver(duplicates, first)

    to_compute, ((known, vector),) = duplicates.admit([later])

    assert (to_compute, known) == ([], later)
    np.testing.assert_array_equal(vector, vector_of([1, 2], 4)[:4])
    assert duplicates.admit([other_dim]).to_compute == [other_dim]


def test_what_was_given_up_is_not_known() -> None:
    duplicates = Duplicates(VectorCache(LARGE))
    first, later = an_input(1), an_input(1)
    duplicates.admit([first])
    duplicates.given_up(first)
    assert duplicates.admit([later]) == ([later], [])


# --- whatever happens in whatever order -------------------------------------------------------------------

_IDS = st.lists(st.integers(0, 1), min_size=1, max_size=2)


class Sharing(RuleBasedStateMachine):
    """Requests come in, and what is to be computed is delivered or given up, in any order."""

    @initialize(cache_bytes=st.sampled_from([None, 0, 1100, LARGE]))
    def begin(self, cache_bytes: int | None) -> None:
        self.duplicates = Duplicates(None if cache_bytes is None else VectorCache(cache_bytes))
        self.came: list[WaitingInput] = []
        self.computing: list[WaitingInput] = []
        self.answered: dict[WaitingInput, NDArray[np.float32]] = {}
        self.given_up: set[WaitingInput] = set()

    @rule(texts=st.lists(_IDS, min_size=1, max_size=4), lane=st.sampled_from(Lane), dim=st.sampled_from([2, 4]))
    def come(self, texts: list[list[int]], lane: Lane, dim: int) -> None:
        inputs = inputs_of(*texts, lane=lane, dim=dim)
        self.came += inputs
        to_compute, known = self.duplicates.admit(inputs)
        self.computing += to_compute
        for waiting, vector in known:
            self.answer(waiting, vector)

    @precondition(lambda self: self.computing)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        leader = self.take(data)
        vector = vector_of(leader.ids, leader.item.dim)
        for waiting in (leader, *self.duplicates.delivered(leader, vector)):
            self.answer(waiting, vector)

    @precondition(lambda self: self.computing)
    @rule(data=st.data(), failed=st.booleans())
    def give_up(self, data: st.DataObject, failed: bool) -> None:
        leader = self.take(data)
        self.given_up.add(leader)
        successor = self.duplicates.given_up(leader, failed=failed)
        if successor is not None:
            assert _alike(successor) == _alike(leader)
            self.computing.append(successor)

    def take(self, data: st.DataObject) -> WaitingInput:
        return self.computing.pop(data.draw(st.integers(0, len(self.computing) - 1)))

    def answer(self, waiting: WaitingInput, vector: NDArray[np.float32]) -> None:
        assert waiting not in self.answered
        assert waiting not in self.given_up
        assert waiting not in self.computing
        self.answered[waiting] = vector

    @invariant()
    def of_the_same_inputs_of_a_lane_one_is_computed_for_all_that_wait(self) -> None:
        dealt_with = {*self.answered, *self.given_up}
        waiting = [it for it in self.came if it not in dealt_with]
        computing = [_alike(leader) for leader in self.computing]
        assert len(computing) == len(set(computing))
        assert set(computing) == {_alike(it) for it in waiting}

    @invariant()
    def what_is_kept_of_inputs_lives_as_long_as_a_leader(self) -> None:
        assert len(self.duplicates) == len(self.computing)

    def teardown(self) -> None:
        while self.computing:
            leader = self.computing.pop()
            for waiting in (leader, *deliver(self.duplicates, leader)):
                self.answer(waiting, vector_of(leader.ids, leader.item.dim))
        assert self.answered.keys() | self.given_up == set(self.came)
        for waiting, vector in self.answered.items():
            dim = waiting.item.dim
            np.testing.assert_array_equal(vector[:dim], vector_of(waiting.ids, dim)[:dim])


def _alike(waiting: WaitingInput) -> tuple[Lane, int, tuple[int, ...]]:
    return waiting.item.lane, waiting.item.dim, tuple(waiting.ids)


TestSharing = Sharing.TestCase
TestSharing.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)


def test_who_joins_a_leader_that_is_delivered_at_that_moment_gets_its_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    duplicates = Duplicates()
    (leader,) = admitted(duplicates, 1)
    answered: list[WaitingInput] = []
    about_to_deliver = threading.Event()

    def deliver_leader() -> None:
        about_to_deliver.set()
        answered.extend(deliver(duplicates, leader))

    delivering = threading.Thread(target=deliver_leader, daemon=True)

    def are_same(*_: WaitingInput) -> bool:
        # The leader is found and not yet joined: who delivers now must wait.
        delivering.start()
        assert about_to_deliver.wait(30)
        delivering.join(0.2)
        assert delivering.is_alive()
        return True

    monkeypatch.setattr(duplicates_module, "_are_same", are_same)
    follower = an_input(1)
    assert duplicates.admit([follower]).to_compute == []
    delivering.join(30)
    assert answered == [follower]


def test_while_several_threads_admit_nobody_is_lost_or_answered_twice() -> None:
    duplicates = Duplicates()
    submitted: queue.SimpleQueue[WaitingInput | None] = queue.SimpleQueue()
    answered: list[WaitingInput] = []
    given_up: list[WaitingInput] = []
    came: list[WaitingInput] = []

    def admit(seed: int) -> None:
        choose = random.Random(seed)
        for _ in range(2000):
            waiting = an_input(choose.randrange(5), lane=choose.choice(list(Lane)))
            came.append(waiting)
            for leader in duplicates.admit([waiting]).to_compute:
                submitted.put(leader)

    def compute() -> None:
        choose = random.Random(0)
        while (leader := submitted.get()) is not None:
            if choose.random() < 0.3:
                given_up.append(leader)
                successor = duplicates.given_up(leader)
                if successor is not None:
                    submitted.put(successor)
            else:
                answered.extend((leader, *deliver(duplicates, leader)))

    computing = threading.Thread(target=compute, daemon=True)
    admitting = [threading.Thread(target=admit, args=(seed,), daemon=True) for seed in range(3)]
    for thread in (computing, *admitting):
        thread.start()
    for thread in admitting:
        thread.join(30)
    wait_until(lambda: len(duplicates) == 0, "everything to be dealt with")
    submitted.put(None)
    computing.join(30)

    assert len(answered) + len(given_up) == len(came) == 6000
    assert {*answered, *given_up} == set(came)
