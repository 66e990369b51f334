"""`worker/beats.py`: what a worker says of itself, and whom it does not work beside."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, cast

import pytest

from schemas.beats import Beat, WorkerState
from schemas.codec import decode_beat
from schemas.topics import Lane
from transport.producer import DeliveryFailure, FailureKind
from worker import beats as beats_module
from worker.beats import Beats, check_revisions
from worker.errors import MixedRevisionError
from worker.settings import ModelSettings

from .fakes import FakeProducer, a_card

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from client.workers import WorkersView
    from schemas.headers import Header
    from transport.producer import DeliveringProducer, Delivery

WAIT_SECONDS = 10.0
SETTINGS = ModelSettings(name="m", slug="s", aliases=["alias"])


class BeatsOut(FakeProducer):
    """Puts what is published where a test can wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.values: queue.Queue[bytes | None] = queue.Queue()

    def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header] = (),
        partition: int | None = None,
        on_delivery: Delivery,
    ) -> None:
        super().produce(topic, key=key, value=value, headers=headers, partition=partition, on_delivery=on_delivery)
        self.values.put(value)

    def next_beat(self) -> Beat:
        value = self.values.get(timeout=WAIT_SECONDS)
        beat = decode_beat(value or b"")
        assert beat is not None
        return beat


class Running:
    """Beats in a thread, and what they publish."""

    def __init__(self, queued_tokens: int = 0) -> None:
        self.out = BeatsOut()
        self.beats = Beats(
            cast("DeliveringProducer", self.out),
            "embedding.workers",
            "w1",
            SETTINGS,
            lambda: queued_tokens,
            lanes=[Lane.BULK],
        )
        self.thread = threading.Thread(target=self.beats.run)
        self.thread.start()

    def stop(self) -> None:
        self.beats.stop()
        self.thread.join(WAIT_SECONDS)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Beats so far apart that whatever comes soon was called for."""
    monkeypatch.setattr(beats_module, "BEAT_EVERY_SECONDS", 3600)
    running = Running(queued_tokens=77)
    yield running
    running.stop()


def test_the_first_beat_says_loading_and_what_will_be_served(running: Running) -> None:
    beat = running.out.next_beat()
    assert (beat.worker_id, beat.model, beat.slug, beat.aliases) == ("w1", "m", "s", ["alias"])
    assert beat.lanes == [Lane.BULK]
    assert (beat.state, beat.revision, beat.queued_tokens) == (WorkerState.LOADING, "", 77)
    assert beat.started_at_ms > 0


def test_once_loaded_a_beat_tells_the_whole_card_at_once(running: Running) -> None:
    running.out.next_beat()
    card = a_card(aliases=("x",), revision="beef", dim=8, dimensions=(2, 4), max_tokens=99, asymmetric=True)
    running.beats.loaded(card)
    beat = running.out.next_beat()
    while beat.state is WorkerState.LOADING:
        beat = running.out.next_beat()
    assert beat.state is WorkerState.READY
    assert (beat.aliases, beat.revision, beat.dim, beat.dimensions) == (["x"], "beef", 8, [2, 4])
    assert (beat.max_tokens, beat.asymmetric, beat.device, beat.dtype) == (99, True, "cpu", "float32")


def test_beats_go_on_by_themselves_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beats_module, "BEAT_EVERY_SECONDS", 0.01)
    running = Running()
    assert len({running.out.next_beat().worker_id for _ in range(5)}) == 1
    running.stop()


def test_draining_is_said_at_once(running: Running) -> None:
    running.out.next_beat()
    running.beats.draining()
    beat = running.out.next_beat()
    while beat.state is not WorkerState.DRAINING:
        beat = running.out.next_beat()
    assert beat.worker_id == "w1"


def test_the_last_word_is_a_tombstone_under_the_workers_key_said_at_once(running: Running) -> None:
    running.out.next_beat()
    running.stop()
    assert not running.thread.is_alive()
    assert [produced.value is None for produced in running.out.produced].count(True) == 1
    last = running.out.produced[-1]
    assert (last.topic, last.key, last.value) == ("embedding.workers", b"w1", None)
    assert {produced.key for produced in running.out.produced} == {b"w1"}


def test_a_stop_before_the_first_beat_leaves_the_tombstone_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beats_module, "BEAT_EVERY_SECONDS", 3600)
    out = BeatsOut()
    beats = Beats(cast("DeliveringProducer", out), "embedding.workers", "w1", SETTINGS, lambda: 0)
    beats.stop()
    beats.run()
    assert [produced.value for produced in out.produced] == [None]


def test_a_stop_at_the_moment_of_a_beat_is_not_overheard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beats_module, "BEAT_EVERY_SECONDS", 3600)
    out = BeatsOut()
    beats = Beats(cast("DeliveringProducer", out), "embedding.workers", "w1", SETTINGS, lambda: beats.stop() or 0)
    thread = threading.Thread(target=beats.run, daemon=True)
    thread.start()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    assert out.produced[-1].value is None


def test_a_beat_that_is_not_delivered_stops_nothing(running: Running) -> None:
    running.out.next_beat()
    running.out.produced[0].on_delivery(DeliveryFailure(FailureKind.TRANSIENT, "away"))
    running.beats.draining()
    assert running.out.next_beat().worker_id == "w1"
    assert running.thread.is_alive()
    assert (running.beats.delivered, running.beats.delivered_at) == (0, float("-inf"))


def test_beats_the_broker_has_are_counted_with_the_time_of_the_last(running: Running) -> None:
    running.out.next_beat()
    before = time.monotonic()
    running.out.produced[0].on_delivery(None)
    assert running.beats.delivered == 1
    assert before <= running.beats.delivered_at <= time.monotonic()


# --- revisions --------------------------------------------------------------------------------------------


class LiveWorkers:
    """A view of workers that live."""

    def __init__(self, *beats: Beat) -> None:
        self._beats = list(beats)

    def live(self) -> list[Beat]:
        return self._beats


def a_beat(worker_id: str, revision: str, slug: str = "", state: WorkerState = WorkerState.READY) -> Beat:
    return Beat(worker_id=worker_id, model="m", slug=slug, revision=revision, state=state)


def check(*beats: Beat) -> None:
    check_revisions(cast("WorkersView", LiveWorkers(*beats)), a_card(revision="cafe"), "me")


@pytest.mark.parametrize(
    "beats",
    [
        (),
        (a_beat("other", "cafe"),),
        (a_beat("me", "beef"),),
        (a_beat("other", "", state=WorkerState.LOADING),),
        (a_beat("other", "beef", slug="another-model"),),
    ],
    ids=["nobody", "same revision", "ourselves", "still loading", "another model"],
)
def test_a_worker_joins_beside(beats: tuple[Beat, ...]) -> None:
    assert check(*beats) is None


@pytest.mark.parametrize("state", [WorkerState.READY, WorkerState.DRAINING])
def test_a_worker_does_not_join_beside_another_revision_and_says_what_to_do(state: WorkerState) -> None:
    with pytest.raises(MixedRevisionError) as refused:
        check(a_beat("a", "cafe"), a_beat("b", "beef", state=state), a_beat("c", "abba"))
    for needed in ("abba, beef", "cafe", "--slug", "--allow-mixed"):
        assert needed in str(refused.value)
