"""`worker/isolation.py` and the intake's part in it: processes that die one after another find who kills them."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from schemas.errors import ErrorCode, UnanswerableError
from schemas.topics import Lane, TopicNames
from transport.errors import FatalTransportError
from transport.messages import Outgoing
from transport.transactional_producer import Aborted
from worker import attempts as attempts_module
from worker import intake as intake_module
from worker import transactions as transactions_module
from worker.attempts import TURNS, Attempt
from worker.bounds import InFlight
from worker.destinations import Destinations
from worker.intake import Intake
from worker.isolation import Isolation
from worker.offsets import LaneOffsets
from worker.ordering import KeyOrder
from worker.planning import Planning
from worker.sizes import Sizes
from worker.transactions import ExactlyOnce

from .fakes import FakeConsumer, a_card, a_message, a_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from transport.consumer import AssignmentListener, Membership, Progress
    from transport.messages import Message
    from transport.producer import DeliveryFailure
    from worker.request import RequestInFlight

pytestmark = pytest.mark.timeout(60)

Place = tuple[int, int]


class Killed(BaseException):
    """What no process survives."""


@dataclass
class Group:
    """A topic's messages, and what processes that come and go leave behind."""

    messages: Mapping[int, int]
    """Partition -> how many."""
    killers: frozenset[Place] = frozenset()
    stored: dict[int, Progress] = field(default_factory=dict)
    answers: Counter[Place] = field(default_factory=Counter)
    dead_letters: list[Place] = field(default_factory=list)
    most_at_once: int = 0

    @property
    def answered(self) -> set[Place]:
        return set(self.answers)

    @property
    def is_done(self) -> bool:
        places = {(partition, offset) for partition, count in self.messages.items() for offset in range(count)}
        return places == self.answered | set(self.dead_letters)

    @property
    def remembered(self) -> dict[int, Attempt]:
        return {partition: Attempt.decode(stored.metadata) for partition, stored in self.stored.items()}


class LogConsumer(FakeConsumer):
    """Reads a group's messages from where it stands."""

    def __init__(self, listener: AssignmentListener, process: Process) -> None:
        super().__init__(listener, [], process.drain.set)
        self._process = process
        self.stored = process.group.stored
        self._next: dict[int, int] = {}

    def poll(self, max_messages: int, timeout_seconds: float) -> list[Message]:
        if not self._next:
            for partition in self._process.group.messages:
                stored = self.stored.get(partition)
                self._next[partition] = self._begins[partition] = stored.next_offset if stored else 0
            self.assign(*self._next)
            return []
        self._process.compute()
        polled = self._read(max_messages)
        if not polled and not self._process.waiting:
            self._process.rests()
        return polled

    def _read(self, max_messages: int) -> list[Message]:
        polled = []
        for partition in sorted(self._next.keys() - self.paused, key=lambda _: self._process.chance.random()):
            while len(polled) < max_messages and self._next[partition] < self._process.group.messages[partition]:
                offset = self._next[partition]
                polled.append(a_message(a_value(f"{partition}-{offset}"), partition=partition, offset=offset))
                self._next[partition] += 1
        return polled


class GroupTransactions:
    """What the group has stored is what takes place; some of it does not, by chance."""

    aborted_share = 0.1

    def __init__(self, group: Group, chance: random.Random) -> None:
        self._group, self._chance = group, random.Random(chance.random())

    def transact(self, _: Sequence[Outgoing], progress: Mapping[int, Progress], __: Membership) -> Aborted | None:
        if self._chance.random() < self.aborted_share:
            return Aborted("the coordinator moved", {})
        self._group.stored.update(progress)
        return None


class Process:
    """One worker's life over a group."""

    def __init__(
        self,
        group: Group,
        chance: random.Random,
        *,
        commit_every_seconds: float = 3600.0,
        is_exactly_once: bool = False,
    ) -> None:
        self.group, self.chance = group, chance
        self.in_flight = InFlight(10**9, 10**9)
        self.offsets: LaneOffsets | ExactlyOnce = LaneOffsets(Lane.BULK, commit_every_seconds)
        if is_exactly_once:
            transactions = GroupTransactions(group, chance)
            self.offsets = ExactlyOnce(commit_every_seconds, 15.0, self.in_flight, transactions)
        self.isolation = Isolation([self.in_flight])
        # What other threads do while this one waits.
        self.isolation.wait = lambda _: self.compute()  # type: ignore[method-assign]
        self.order = KeyOrder()
        self.drain = threading.Event()
        self.waiting: list[RequestInFlight] = []
        self.at_compute: Callable[[], None] = lambda: None
        known: dict[str, Any] = {"gaps_are_losses": False, "revoke_timeout_seconds": 0.0, "clock_skew_seconds": 1.0}
        self.intake = Intake(
            Lane.BULK,
            planning=Planning(a_card(), TopicNames()),
            destinations=Destinations(TopicNames()),
            offsets=self.offsets,
            in_flight=self.in_flight,
            order=self.order,
            isolation=self.isolation,
            sizes=Sizes(10**6, {}),
            max_past_watermark=10_000,
            on_accepted=self.waiting.extend,
            on_failed=self._fail,
            **known,
        )

    def run(self) -> None:
        """Until nothing is left to do.

        Raises:
            Killed: It died.
        """
        with self._transactions():
            self.intake.run(
                lambda listener: LogConsumer(listener, self),  # type: ignore[arg-type, return-value]
                drain=self.drain,
                drain_timeout_seconds=5.0,
            )

    @contextmanager
    def _transactions(self) -> Iterator[None]:
        delivery = self.offsets
        if isinstance(delivery, LaneOffsets):
            yield
            return
        thread = threading.Thread(target=delivery.run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            delivery.stop()
            thread.join(5.0)
            assert not thread.is_alive()

    def compute(self) -> None:
        """Some of what waits, in any order."""
        # The transactions' thread gets its turn.
        time.sleep(0)
        self.at_compute()
        self.group.most_at_once = len(self.waiting)
        self.chance.shuffle(self.waiting)
        for _ in range(self.chance.randint(1, 20)):
            if self.waiting:
                item = self.waiting.pop()
                place = (item.message.partition, item.message.offset)
                if place in self.group.killers:
                    raise Killed
                self._answer(item, lambda place=place: self.group.answers.update([place]))  # type: ignore[misc]

    def rests(self) -> None:
        """Nothing is left: an orderly end."""
        self.drain.set()

    def _fail(self, item: RequestInFlight) -> None:
        assert isinstance(item.error, UnanswerableError)
        assert item.error.code is ErrorCode.KILLED_WORKER
        assert item.request is None
        place = (item.message.partition, item.message.offset)
        self._answer(item, lambda: self.group.dead_letters.append(place))

    def _answer(self, item: RequestInFlight, note: Callable[[], None]) -> None:
        self.order.finish(item)

        def delivered(failure: DeliveryFailure | None) -> None:
            if failure is None:
                note()
                self.offsets.acknowledged(item.submitted)
            self.in_flight.release(item.reservation)
            self.isolation.closed()

        if isinstance(self.offsets, LaneOffsets):
            delivered(None)
        else:
            item.unacknowledged = 1
            self.offsets.produce(item, Outgoing("answers", None, None, b"", ()), delivered)


def deaths_until_done(group: Group, chance: random.Random, **settings: Any) -> int:
    deaths = 0
    while True:
        try:
            Process(group, chance, **settings).run()
        except Killed:
            deaths += 1
            assert deaths < 1000
        else:
            return deaths


PLACES = st.tuples(st.integers(0, 2), st.integers(0, 29))


@settings(max_examples=60, deadline=None)
@given(
    killers=st.frozensets(PLACES, max_size=3),
    seed=st.integers(0, 10**6),
    commits=st.booleans(),
    is_exactly_once=st.booleans(),
    turns=st.sampled_from([TURNS, 7]),
)
def test_exactly_those_that_kill_become_dead_letters_and_all_others_are_answered(
    killers: frozenset[Place], seed: int, commits: bool, is_exactly_once: bool, turns: int
) -> None:
    group = Group({0: 30, 1: 30, 2: 30}, killers)
    every_seconds = 0.0 if commits else 3600.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transactions_module, "_AGAIN_AFTER_SECONDS", 0.001)
        patch.setattr(attempts_module, "TURNS", turns)
        deaths = deaths_until_done(
            group, random.Random(seed), commit_every_seconds=every_seconds, is_exactly_once=is_exactly_once
        )
    assert group.is_done
    if is_exactly_once:
        assert set(group.answers.values()) <= {1}
    assert sorted(group.dead_letters) == sorted(killers)
    assert group.answered.isdisjoint(killers)
    assert {partition: stored.next_offset for partition, stored in group.stored.items()} == {0: 30, 1: 30, 2: 30}
    # Once all is done nothing is held against what is there.
    assert set(group.remembered.values()) <= {Attempt(), Attempt(1, 0)}
    # A mark that was aborted counts for no start, and of several one more must die for each that kills.
    if not (commits or is_exactly_once or turns < TURNS):
        assert deaths == (2 + len(killers) if killers else 0)


@pytest.mark.parametrize(("messages", "deaths"), [(500, 3), (3000, 4)])
def test_three_deaths_find_one_killer_among_a_thousand_and_one_more_among_thousands(
    messages: int, deaths: int
) -> None:
    group = Group({0: messages, 1: messages}, frozenset({(1, messages // 2)}))
    with capture_logs() as logs:
        assert deaths_until_done(group, random.Random(7)) == deaths
    assert [entry["offset"] for entry in logs if entry["log_level"] == "error"] == [messages // 2]


def a_process_that_suspects(group: Group, chance: random.Random, **settings: Any) -> Process:
    for _ in range(2):
        with pytest.raises(Killed):
            Process(group, chance, **settings).run()
    return Process(group, chance, **settings)


def test_suspects_run_one_at_a_time_each_marked_before() -> None:
    chance = random.Random(3)
    group = Group({0: 20, 1: 20}, frozenset({(0, 10)}))
    process = a_process_that_suspects(group, chance)
    seen: list[tuple[int, int]] = []

    def look() -> None:
        marked = [place for place, attempt in group.remembered.items() if attempt.alone]
        if process.waiting:
            seen.append((len(process.waiting), len(marked)))
            [item] = process.waiting
            assert group.stored[marked[0]].next_offset == item.message.offset

    process.at_compute = look
    with pytest.raises(Killed):
        process.run()
    assert set(seen) == {(1, 1)}
    assert group.remembered[0].alone


def test_suspects_come_before_all_else_of_their_lane() -> None:
    chance = random.Random(3)
    group = Group({0: 20}, frozenset({(0, 10)}))
    process = a_process_that_suspects(group, chance)
    group.killers, group.messages = frozenset(), {0: 20, 1: 2000}
    alone: list[Place] = []

    def look() -> None:
        if process.isolation.is_on:
            alone.extend((item.message.partition, item.message.offset) for item in process.waiting)

    process.at_compute = look
    process.run()
    assert group.is_done
    assert {offset for partition, offset in alone if partition == 0} == set(range(20))
    assert {partition for partition, _ in alone} == {0}


def test_suspects_that_do_not_come_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "_SUSPECTS_FIRST_SECONDS", 0.01)
    chance = random.Random(3)
    group = Group({0: 20}, frozenset({(0, 0)}))
    process = a_process_that_suspects(group, chance)
    group.messages = {0: 0, 1: 20}
    others = {(1, offset) for offset in range(20)}
    process.rests = lambda: process.drain.set() if others <= group.answered else None  # type: ignore[method-assign]
    process.run()
    assert others <= group.answered


def test_what_is_not_suspected_is_read_together_again_once_the_suspects_are_done() -> None:
    chance = random.Random(3)
    group = Group({0: 20}, frozenset({(0, 0)}))
    for _ in range(3):
        with pytest.raises(Killed):
            Process(group, chance).run()
    group.messages = {0: 200}
    process = Process(group, chance)
    most: list[int] = []
    process.at_compute = lambda: most.append(len(process.waiting))
    process.run()
    assert group.is_done
    assert group.dead_letters == [(0, 0)]
    assert max(most) > 100
    assert not process.isolation.is_on


@pytest.mark.parametrize("is_exactly_once", [False, True], ids=["at least once", "exactly once"])
@pytest.mark.parametrize("ends", ["drains", "is abandoned"])
def test_orderly_ends_are_held_against_no_request_however_many(ends: str, is_exactly_once: bool) -> None:
    chance = random.Random(5)
    group = Group({0: 30, 1: 30})
    for _ in range(5):
        process = Process(group, chance, is_exactly_once=is_exactly_once)
        end = process.drain.set if ends == "drains" else process.intake.abandon
        process.at_compute = lambda process=process, end=end: process.waiting.clear() or end()  # type: ignore[misc]
        process.intake._drain = lambda *_: None  # type: ignore[method-assign]
        process.run()
        assert group.answered == set()
    assert set(group.remembered.values()) == {Attempt()}
    assert deaths_until_done(group, chance) == 0
    assert group.dead_letters == []


@pytest.mark.parametrize("is_exactly_once", [False, True], ids=["at least once", "exactly once"])
def test_an_orderly_end_while_a_suspect_runs_does_not_condemn_it(
    is_exactly_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GroupTransactions, "aborted_share", 0.0)
    chance = random.Random(3)
    group = Group({0: 20}, frozenset({(0, 19)}))
    process = a_process_that_suspects(group, chance, is_exactly_once=is_exactly_once)
    process.at_compute = lambda: process.intake.abandon() if process.waiting else None
    process.chance.randint = lambda *_: 0  # type: ignore[assignment, method-assign]
    process.run()
    assert not any(attempt.alone for attempt in group.remembered.values())
    chance = random.Random(3)
    assert deaths_until_done(group, chance) == 1
    assert group.dead_letters == [(0, 19)]


def test_a_suspect_whose_mark_cannot_be_stored_is_not_computed() -> None:
    chance = random.Random(3)
    group = Group({0: 3}, frozenset({(0, 2)}))
    process = a_process_that_suspects(group, chance)
    group.killers = frozenset()
    refused: list[int] = []

    def refuse() -> None:
        consumer = process.intake._consumer
        if len(refused) < 3 and not process.waiting:
            refused.append(len(process.waiting))
            consumer.refuse_commits = 1  # type: ignore[union-attr]
        else:
            assert not process.waiting or group.remembered[0].alone

    process.at_compute = refuse
    process.run()
    assert group.is_done
    assert len(refused) == 3


@pytest.mark.parametrize("goes", ["is lost", "is revoked"])
def test_a_partition_that_goes_takes_its_suspects_and_what_was_read_of_it_along(goes: str) -> None:
    chance = random.Random(3)
    group = Group({0: 20, 1: 20}, frozenset({(0, 10)}))
    process = a_process_that_suspects(group, chance)
    kept: list[Place] = []

    def lose_it() -> None:
        intake: Any = process.intake
        intake._held.extend(
            a_message(partition=partition, offset=offset) for offset in (3, 4) for partition in (0, 1)
        )
        (intake._consumer.lose if goes == "is lost" else intake._consumer.revoke)(0)
        kept.extend((message.partition, message.offset) for message in intake._held)
        raise FatalTransportError("seen enough")

    process.at_compute = lose_it
    with pytest.raises(FatalTransportError):
        process.run()
    assert kept == [(1, 3), (1, 4)]


# --- whose turn it is -------------------------------------------------------------------------------------


def an_isolation() -> tuple[Isolation, dict[Lane, InFlight]]:
    in_flight = {lane: InFlight(10**6, 10**6) for lane in Lane}
    return Isolation(in_flight.values()), in_flight


def test_without_suspects_every_lane_lets_in_what_it_reads() -> None:
    isolation, in_flight = an_isolation()
    in_flight[Lane.BULK].reserve(1, 1)
    assert [isolation.enter(lane) for lane in Lane] == [True, True]


def test_one_lanes_suspects_stop_the_others_reading_in_as_well() -> None:
    isolation, _ = an_isolation()
    isolation.suspect(Lane.BULK, True)
    assert [isolation.enter(lane) for lane in Lane] == [False, False]
    isolation.suspect(Lane.BULK, False)
    assert isolation.enter(Lane.INTERACTIVE)


def test_nobody_runs_alone_beside_what_came_before_or_is_just_let_in() -> None:
    isolation, in_flight = an_isolation()
    assert isolation.enter(Lane.INTERACTIVE)
    isolation.suspect(Lane.BULK, True)
    assert not isolation.enter_alone(Lane.BULK)
    reservation = in_flight[Lane.INTERACTIVE].reserve(1, 1)
    isolation.leave(Lane.INTERACTIVE)
    assert not isolation.enter_alone(Lane.BULK)
    in_flight[Lane.INTERACTIVE].release(reservation)
    assert isolation.enter_alone(Lane.BULK)


@pytest.mark.parametrize("sequence", [[Lane.BULK, Lane.INTERACTIVE], [Lane.BULK, Lane.BULK]])
def test_the_next_turn_comes_when_the_one_before_has_left(sequence: Sequence[Lane]) -> None:
    isolation, _ = an_isolation()
    first, second = sequence
    isolation.suspect(Lane.BULK, True)
    assert isolation.enter_alone(first)
    assert not isolation.enter_alone(second)
    isolation.leave(first)
    assert isolation.enter_alone(second)


def test_who_waits_for_a_turn_is_woken_by_the_answer() -> None:
    isolation, in_flight = an_isolation()
    isolation.suspect(Lane.BULK, True)
    reservation = in_flight[Lane.BULK].reserve(1, 1)
    woken = threading.Event()

    def wait() -> None:
        isolation.wait(30.0)
        woken.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    in_flight[Lane.BULK].release(reservation)
    while not woken.wait(0.01):
        isolation.closed()
    waiting.join()
