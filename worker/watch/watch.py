"""What the pipeline tells of itself, in one place: probes, metrics, spans, and the look at what is stuck."""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Self

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from schemas.topics import Lane
from transport.listening import bind
from transport.producer import FailureKind

from ..errors import StuckError
from ..request import origin_of
from .books import AllBooks, LaneBooks
from .device import MeasuredEncoder
from .health import Health, Phase
from .lanes import CountedAssignments, Lag, LaneProgress
from .samples import Sample, Source, TableCollector
from .server import Page, ProbeServer
from .stuck import LOOK_EVERY_SECONDS, Place, Stuck, StuckWatch, bound_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from schemas.topics import TopicNames
    from transport.cluster import Cluster
    from transport.consumer import AssignmentListener
    from transport.producer import DeliveringProducer

    from ..beats import Beats
    from ..bounds import InFlight
    from ..delivery import Committer
    from ..encoder.interface import Encoder, ModelCard
    from ..request import RequestInFlight
    from ..settings import WorkerSettings
    from ..stages import StageFailure
    from ..tracing import RequestSpans

log = structlog.get_logger("worker")

_BROKER_SILENT_SECONDS: Final = 5.0
_FRAMES: Final = 6
"""Innermost calls of each thread that are logged when a request is stuck."""


class Watch:
    """A worker's watch; a context manager, entered before anything else and left after everything.

    Args:
        settings: The worker's.
        failure: Tells when a stage has died.
    """

    def __init__(self, settings: WorkerSettings, failure: StageFailure) -> None:
        self._settings = settings
        self.health = Health(failure, settings.served_lanes)
        self._books = {lane: LaneBooks(lane) for lane in Lane}
        self._stuck = {lane: StuckWatch() for lane in Lane}
        self._spans: RequestSpans | None = None
        self._encoder: MeasuredEncoder | None = None
        self._beats: Beats | None = None
        self._sources: list[Source] = [self.health, *self._books.values(), AllBooks(list(self._books.values()))]
        self._registry = CollectorRegistry()
        self._registry.register(TableCollector(self._sources, time.monotonic))
        ProcessCollector(registry=self._registry)
        self._ended = threading.Event()
        self._server: ProbeServer | None = None

    def __enter__(self) -> Self:
        """Open the port, where there is one.

        Raises:
            SettingsError: It is taken.
        """
        host, port = self._settings.metrics_host, self._settings.metrics_port
        if port is not None:
            listening = bind(host, port, "--metrics-port")
            log.info("probes and metrics", url="http://{}:{}".format(*listening.getsockname()[:2]))
            self._server = ProbeServer(
                listening,
                {
                    "/metrics": self._metrics,
                    "/health/live": lambda _: _health(self.health.why_not_live(), "live"),
                    "/health/ready": lambda _: _health(self.health.why_not_ready(), "ready"),
                },
            )
            self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.health.enter(Phase.ENDED)
        self._ended.set()
        if self._server is not None:
            self._server.stop()

    def _metrics(self, accept: str) -> Page:
        encode, content_type = choose_encoder(accept)
        return Page(HTTPStatus.OK, content_type, encode(self._registry))

    # --- what the pipeline tells ------------------------------------------------------------------------

    def measured(self, encoder: Encoder, budget_tokens: int) -> Encoder:
        """The encoder, from now on measured."""
        self._encoder = MeasuredEncoder(encoder, budget_tokens)
        self._sources.append(self._encoder)
        return self._encoder

    def publishing(self, producers: Mapping[Lane, DeliveringProducer], beats: Beats) -> None:
        """What publishes is there."""
        self._beats = beats
        self._sources.append(_Published(list(producers.values()), beats))

    def serving(
        self,
        card: ModelCard,
        worker_id: str,
        offsets: Mapping[Lane, Committer],
        in_flight: Mapping[Lane, InFlight],
        spans: RequestSpans | None,
    ) -> None:
        """The model is loaded, and requests are about to be read."""
        self._spans = spans
        self._sources.append(_Card(card, worker_id))
        self._sources.extend(LaneProgress(lane, offsets[lane], in_flight[lane]) for lane in offsets)

    def follow_lag(self, cluster: Cluster, topics: TopicNames, offsets: Mapping[Lane, Committer]) -> None:
        """Ask the broker how far the lanes are behind, from now on, where anybody can learn of it."""
        if self._server is not None:
            lag = Lag(cluster, topics, offsets)
            self._sources.append(lag)
            threading.Thread(target=lag.run, args=[self._ended], name="lag", daemon=True).start()

    def listener(self, lane: Lane, listener: AssignmentListener) -> AssignmentListener:
        """A lane's listener, its calls counted."""
        counted = CountedAssignments(lane, listener, self.health)
        self._sources.append(counted)
        return counted

    def read(self, items: Sequence[RequestInFlight]) -> None:
        """Requests of one lane were read; to be told before any other stage has them."""
        self._books[items[0].lane].read(items, time.monotonic())
        if self._spans is not None:
            self._spans.started(items)

    def closed(self, item: RequestInFlight, acknowledged: bool) -> None:
        """A request is over; see `LaneBooks.closed`."""
        self._books[item.lane].closed(item, acknowledged, time.monotonic())
        if self._spans is not None:
            self._spans.ended(item, acknowledged)

    # --- what is stuck ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Look until the end.

        Raises:
            StuckError: A request is stuck; it is named in the log.
        """
        while not self._ended.wait(LOOK_EVERY_SECONDS):
            for lane in Lane:
                stuck = self._look(lane, time.monotonic())
                if stuck is not None:
                    self._give_up(stuck)

    def _look(self, lane: Lane, now: float) -> Stuck | None:
        oldest = self._books[lane].oldest()
        slowest = self._encoder.slowest_seconds if self._encoder is not None else 0.0
        # Without a share of its own, bulk work may rightly wait for as long as interactive work comes.
        starves = lane is Lane.BULK and self._settings.batch.bulk_share == 0
        return self._stuck[lane].look(
            None if oldest is None else oldest[0],
            now,
            bound_seconds(slowest, self._settings.stuck_after_seconds),
            broker_answers=self._beats is None or now - self._beats.delivered_at < _BROKER_SILENT_SECONDS,
            others_done=self._books[Lane.INTERACTIVE].is_over if starves else 0,
        )

    def _give_up(self, stuck: Stuck) -> None:
        self.health.stuck()
        log.error(
            "request stuck, stopping without committing it",
            **origin_of(stuck.item),
            lane=stuck.item.lane.value,
            where=stuck.place,
            seconds=round(stuck.seconds, 1),
            threads=_threads(stuck.place),
        )
        raise StuckError(
            f"nothing was done for {stuck.seconds:.0f} s of the request at {stuck.item.message.topic} "
            f"{stuck.item.message.partition}:{stuck.item.message.offset}, in {stuck.place}: start the worker again"
        )


class _Card:
    """Says which worker, model and device the numbers are of."""

    def __init__(self, card: ModelCard, worker_id: str) -> None:
        release = version("kafka-embeddings")
        self._labels = (worker_id, card.name, card.slug, card.revision, card.device, card.dtype, release)

    def samples(self, now: float) -> Iterator[Sample]:  # noqa: ARG002 - `samples.Source`
        """See `samples.Source`."""
        yield Sample("info", self._labels, 1)


class _Published:
    """What the producers and the beats have counted."""

    def __init__(self, producers: Sequence[DeliveringProducer], beats: Beats) -> None:
        self._producers = producers
        self._beats = beats

    def samples(self, now: float) -> Iterator[Sample]:  # noqa: ARG002 - `samples.Source`
        """See `samples.Source`."""
        yield Sample("beats_total", (), self._beats.delivered)
        for kind in FailureKind:
            failures = sum(producer.failures[kind] for producer in self._producers)
            yield Sample("publish_failures_total", (kind.name.lower(),), failures)


def _health(why_not: str | None, word: str) -> Page:
    status = HTTPStatus.OK if why_not is None else HTTPStatus.SERVICE_UNAVAILABLE
    body = {"object": "health.response", "message": why_not or word, "ready": why_not is None}
    return Page(status, "application/json", json.dumps(body).encode())


def _threads(place: str) -> dict[str, str]:
    """Where the threads of a stage are: file, line and function, innermost first. No value of any variable."""
    frames = sys._current_frames()
    stage = place if place != Place.BROKER else Place.PUBLISHER
    found = {}
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None and thread.name.startswith(stage):
            calls = reversed(traceback.extract_stack(frame, limit=_FRAMES))
            found[f"{thread.name} {thread.ident}"] = " < ".join(f"{c.filename}:{c.lineno} {c.name}" for c in calls)
    return found
