"""Wires the stages of one worker and lives its life: connect, load, serve, drain.

The composition root of the worker: settings come in here and go down in groups.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from typing import TYPE_CHECKING, Final

import structlog

from client.workers import WorkersView
from schemas.causes import causes_of
from schemas.topics import (
    DEAD_LETTERS,
    ERRORS,
    REPLIES,
    REQUESTS,
    REQUESTS_INTERACTIVE,
    RESPONSES,
    TOPICS,
    Lane,
    TopicNames,
)
from transport.access import check_access
from transport.cluster import Cluster
from transport.consumer import AssignmentListener, GroupConsumer
from transport.known_topics import KnownTopics
from transport.limits import check_broker_limits, check_client_limits, check_dead_letters, message_limits
from transport.producer import DeliveringProducer
from transport.topic_setup import check_topics
from transport.tracing import tracing_from_environment
from transport.transactional_producer import TransactionalProducer

from .access import transactional_id_prefix, worker_rights, worker_topics
from .beats import Beats, check_revisions
from .bounds import InFlight
from .catalogue import neighbours
from .delivery import AtLeastOnce
from .destinations import Destinations
from .duplicates import Duplicates
from .encoder.calibration import calibrated_budget, default_folder
from .encoder.loading import load_model
from .encoder.stage import EncoderStage
from .errors import DrainError
from .failures import is_held_against_requests
from .garbage import loaded_left_alone
from .intake import Intake
from .isolation import Isolation
from .ordering import KeyOrder
from .own_failures import OwnFailures
from .planning import Planning
from .publisher import Publisher
from .scheduler import Scheduler
from .sizes import Sizes
from .stages import StageFailure, start_stage, tellable
from .tokenization import Tokenization
from .tracing import RequestSpans
from .transactions import ExactlyOnce
from .vector_cache import VectorCache
from .watch.health import Phase
from .watch.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .encoder.interface import LoadedModel
    from .request import RequestInFlight
    from .settings import WorkerSettings

log = structlog.get_logger("worker")

_BULK_LINGER_MS: Final = 20
_BULK_COMPRESSION: Final = "zstd"
_JOIN_SECONDS: Final = 5.0
_WATCH_SECONDS: Final = 0.1
_READ: Final = (REQUESTS, REQUESTS_INTERACTIVE)
_PUBLISHED: Final = (RESPONSES, REPLIES, DEAD_LETTERS, ERRORS)
_BEATS_SETTLE_SECONDS: Final = 1.5
"""Longer than a beat's interval, so that every live worker has been heard."""


class Worker:
    """One worker process: one model on one device.

    Args:
        settings: All of them.
        stop: Set from outside to make the worker drain and end.
    """

    def __init__(self, settings: WorkerSettings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._topics = TopicNames(settings.topic_prefix, settings.model.slug)
        self._failure = StageFailure()
        self._watch = Watch(settings, self._failure)
        self.worker_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def run(self) -> None:
        """Serve until stopped. Blocks.

        Raises:
            Exception: What a stage died of; nothing was committed beyond what was answered.
        """
        with self._watch:
            self._run()

    def _run(self) -> None:
        settings = self._settings
        tracing = tracing_from_environment("kafka-embeddings-worker")
        cluster = Cluster.connect(settings.kafka, self._stop)
        if cluster is None:
            return
        check_client_limits(cluster, publishes=_PUBLISHED, reads=_READ)
        check_access(cluster, worker_rights(self._topics, settings))
        self._watch.health.enter(Phase.LOADING)
        check_topics(cluster, worker_topics(self._topics, settings))
        check_dead_letters(cluster, self._topics, settings.served_lanes)
        check_broker_limits(cluster, max(spec.max_message_bytes for spec in TOPICS))
        in_flight = {lane: InFlight(settings.bounds.tokens, settings.bounds.bytes) for lane in Lane}
        producers = _producers(cluster, self._failure)
        deliveries = self._deliveries(cluster, producers, in_flight)
        if deliveries is None:
            return
        beats = Beats(
            producers[Lane.INTERACTIVE],
            self._topics.workers,
            self.worker_id,
            settings.model,
            queued_tokens=lambda: sum(bound.tokens for bound in in_flight.values()),
            lanes=settings.served_lanes,
        )
        self._watch.publishing(producers, beats)
        spans = None if tracing is None else RequestSpans(tracing, self._topics)
        beating = start_stage("beats", beats.run, self._failure)
        try:
            model = self._load(cluster)
            if not self._stop.is_set():
                with loaded_left_alone():
                    self._serve(cluster, model, deliveries, in_flight, beats, spans)
        finally:
            beats.stop()
            beating.join(_JOIN_SECONDS)
            for producer in producers.values():
                producer.close(_JOIN_SECONDS)
            if tracing is not None:
                tracing.close()

    def _deliveries(
        self, cluster: Cluster, producers: Mapping[Lane, DeliveringProducer], in_flight: Mapping[Lane, InFlight]
    ) -> dict[Lane, AtLeastOnce | ExactlyOnce] | None:
        """How each lane's answers and offsets reach the broker; None when a stop was asked for meanwhile.

        Raises:
            SettingsError: The cluster lacks what exactly-once needs.
            AccessDeniedError: This user lacks it.
            BrokerUnavailableError: The same, for the time being.
        """
        settings, every_seconds = self._settings, self._settings.commit_every_seconds
        if settings.delivery == "at-least-once":
            return {lane: AtLeastOnce(lane, every_seconds, producers) for lane in settings.served_lanes}
        timeout_seconds = settings.transaction_timeout_seconds
        producer = TransactionalProducer(
            cluster,
            transactional_id_prefix(self._topics),
            self.worker_id,
            "transactions",
            linger_ms=_BULK_LINGER_MS,
            compression=_BULK_COMPRESSION,
            timeout_seconds=timeout_seconds,
        )
        if not producer.start(self._stop):
            return None
        return {Lane.BULK: ExactlyOnce(every_seconds, timeout_seconds, in_flight[Lane.BULK], producer)}

    def _load(self, cluster: Cluster) -> LoadedModel:
        started_at = time.monotonic()
        view = WorkersView(cluster, self._topics)
        try:
            model = load_model(self._settings.model)
            until = max(time.monotonic(), started_at + _BEATS_SETTLE_SECONDS)
            while (left := until - time.monotonic()) > 0 or view.refresh(0.0):
                view.refresh(max(0.0, min(left, 0.2)))
            if not self._settings.allow_mixed:
                check_revisions(view, model.card, self.worker_id)
        finally:
            view.close()
        card = model.card
        log.info(
            "model loaded",
            model=card.name,
            device=card.device,
            dtype=card.dtype,
            dim=card.dim,
            max_tokens=card.max_tokens,
            revision=card.revision,
            seconds=round(time.monotonic() - started_at, 1),
        )
        return model

    def _serve(
        self,
        cluster: Cluster,
        model: LoadedModel,
        deliveries: dict[Lane, AtLeastOnce | ExactlyOnce],
        in_flight: dict[Lane, InFlight],
        beats: Beats,
        spans: RequestSpans | None,
    ) -> None:
        settings, card, watch = self._settings, model.card, self._watch
        order = KeyOrder()
        isolation = Isolation(in_flight.values())
        sizes = _sizes(cluster, self._topics, settings)

        def is_current(item: RequestInFlight) -> bool:
            return deliveries[item.lane].tracker.is_current(item.submitted)

        def close(item: RequestInFlight, acknowledged: bool) -> None:
            watch.closed(item, acknowledged)
            if acknowledged:
                deliveries[item.lane].acknowledged(item.submitted)
            in_flight[item.lane].release(item.reservation)
            isolation.closed()

        known_topics = KnownTopics(cluster)
        # One a lane, so that nobody waits behind a flood of bulk responses.
        publishers = {
            lane: Publisher(
                deliveries,
                self._topics,
                known_topics,
                order,
                worker_id=self.worker_id,
                card=card,
                sizes=sizes,
                is_current=is_current,
                on_closed=close,
                own_failures=OwnFailures(settings.own_failures),
            )
            for lane in deliveries
        }

        def publish(item: RequestInFlight) -> None:
            publishers[item.lane].submit(item)

        watch.serving(card, self.worker_id, deliveries, in_flight, spans)
        budget_tokens = settings.batch.budget_tokens or calibrated_budget(model, default_folder())
        encoder = EncoderStage(
            watch.measured(model.encoder, budget_tokens),
            Scheduler(
                budget_tokens,
                settings.batch.max_inputs,
                bulk_share=settings.batch.bulk_share,
                interactive_bulk_seconds=settings.batch.interactive_bulk_seconds,
                is_padded=model.encoder.limits.is_padded,
            ),
            Duplicates(VectorCache(settings.batch.cache_bytes) if settings.batch.cache_bytes else None),
            is_current=is_current,
            on_finished=publish,
            clock_skew_seconds=settings.clock_skew_seconds,
        )
        tokenization = Tokenization(
            model.tokenizer,
            card.max_tokens,
            in_flight,
            unpooled=card.unpooled,
            too_large=sizes.too_large_for_sure,
            on_tokenized=encoder.submit,
            on_failed=publish,
        )
        destinations = Destinations(self._topics, settings.reply_topics, settings.flat_topics)
        planning = Planning(card, self._topics, neighbours(settings))

        def accepted(items: list[RequestInFlight]) -> None:
            watch.read(items)
            tokenization.submit(items)

        def failed(item: RequestInFlight) -> None:
            watch.read([item])
            publish(item)

        drain = threading.Event()
        intakes: dict[Intake, threading.Thread] = {}
        for lane, delivery in deliveries.items():
            intake = Intake(
                lane,
                planning=planning,
                destinations=destinations,
                offsets=delivery,
                in_flight=in_flight[lane],
                order=order,
                isolation=isolation,
                sizes=sizes,
                max_past_watermark=settings.bounds.messages_past_watermark,
                gaps_are_losses=cluster.profile.gaps_are_losses,
                revoke_timeout_seconds=settings.revoke_timeout_seconds,
                clock_skew_seconds=settings.clock_skew_seconds,
                on_accepted=accepted,
                on_failed=failed,
            )
            intakes[intake] = self._start_intake(cluster, lane, intake, drain)
        for lane, publisher in publishers.items():
            start_stage(f"publisher-{lane.value}", publisher.run, self._failure)
        transactions = [one for one in deliveries.values() if isinstance(one, ExactlyOnce)]
        for exactly_once in transactions:
            start_stage("transactions", exactly_once.run, self._failure)
        for _ in range(model.encoder.limits.slots):
            start_stage("encoder", encoder.run, self._failure)
        start_stage("tokenization", tokenization.run, self._failure)
        start_stage("tokenization-interactive", lambda: tokenization.run([Lane.INTERACTIVE]), self._failure)
        start_stage("watch", watch.run, self._failure)
        watch.follow_lag(cluster, self._topics, deliveries)
        beats.loaded(card)
        watch.health.serving(may_get_none_silently=cluster.group_protocol == "consumer")
        log.info("ready", worker=self.worker_id, broker=cluster.settings.bootstrap)

        try:
            self._wait()
        except Exception as error:
            # What a stage died of, not what is told of it.
            if not is_held_against_requests(self._failure.error or error):
                _abandon(intakes)
            raise
        log.info("draining", in_flight=sum(bound.requests for bound in in_flight.values()))
        watch.health.enter(Phase.DRAINING)
        beats.draining()
        drain.set()
        until = time.monotonic() + settings.drain_timeout_seconds + _JOIN_SECONDS
        reading = list(intakes.values())
        while any(thread.is_alive() for thread in reading) and self._failure.error is None:
            if time.monotonic() > until:
                # A commit waits without end for a broker that is gone; what is not committed is read again.
                raise DrainError("the broker did not take the last commits in time: what it lacks is answered again")
            reading[0].join(_WATCH_SECONDS)
        self._raise_failure()
        tokenization.stop()
        encoder.stop()
        for publisher in publishers.values():
            publisher.stop()
        for exactly_once in transactions:
            exactly_once.stop()

    def _start_intake(self, cluster: Cluster, lane: Lane, intake: Intake, drain: threading.Event) -> threading.Thread:
        settings = self._settings

        def connect(listener: AssignmentListener) -> GroupConsumer:
            return GroupConsumer(
                cluster,
                self._topics.requests_of(lane),
                self._topics.group(lane),
                self._watch.listener(lane, listener),
                prefetch_bytes=settings.bounds.prefetch_bytes,
                patient=lane is Lane.BULK,
            )

        def run() -> None:
            intake.run(connect, drain=drain, drain_timeout_seconds=settings.drain_timeout_seconds)

        return start_stage(f"intake-{lane.value}", run, self._failure)

    def _wait(self) -> None:
        """Until a stop is asked for, or a stage dies."""
        while not self._stop.is_set():
            if self._failure.wake.wait(_WATCH_SECONDS):
                self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure.error is not None:
            log.error(
                "stage died, stopping; nothing unanswered is committed",
                stage=self._failure.stage,
                causes=causes_of(self._failure.error),
            )
            raise tellable(self._failure.stage, self._failure.error)


def _sizes(cluster: Cluster, topics: TopicNames, settings: WorkerSettings) -> Sizes:
    """What fits where: as the topics are configured, or as the table says where that cannot be read."""
    limit = min(RESPONSES.max_message_bytes, REPLIES.max_message_bytes)
    if cluster.profile.max_message_bytes is not None:
        return Sizes(min(limit, cluster.profile.max_message_bytes), {})
    destinations = {topics.responses, topics.replies, *settings.reply_topics, *settings.flat_topics}
    return Sizes(limit, message_limits(cluster, sorted(destinations)))


def _abandon(intakes: Mapping[Intake, threading.Thread]) -> None:
    """Let the lanes take back what would count against the requests under way."""
    for intake in intakes:
        intake.abandon()
    until = time.monotonic() + _JOIN_SECONDS
    for thread in intakes.values():
        thread.join(max(0.0, until - time.monotonic()))


def _producers(cluster: Cluster, failure: StageFailure) -> dict[Lane, DeliveringProducer]:
    def failed(error: BaseException) -> None:
        failure.report("delivery", error)

    return {
        Lane.INTERACTIVE: DeliveringProducer(cluster, "interactive", linger_ms=0, on_failure=failed),
        Lane.BULK: DeliveringProducer(
            cluster, "bulk", linger_ms=_BULK_LINGER_MS, compression=_BULK_COMPRESSION, on_failure=failed
        ),
    }
