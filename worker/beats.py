"""Says once a second that this worker lives, what it serves and how much it has to do; a tombstone on exit."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

from schemas.beats import BEAT_EVERY_SECONDS, Beat, WorkerState
from schemas.codec import encode_beat
from schemas.topics import Lane

from .errors import MixedRevisionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from client.workers import WorkersView
    from transport.producer import DeliveringProducer, DeliveryFailure

    from .encoder.interface import ModelCard
    from .settings import ModelSettings

log = structlog.get_logger("worker")


class Beats:
    """Publishes beats from its own thread.

    Args:
        producer: Where to publish with.
        topic: The workers topic.
        worker_id: Key of the beats.
        model: What will be served, known before it is loaded.
        queued_tokens: Tokens read and not yet answered, asked at each beat.
        lanes: Those that are served.
    """

    def __init__(
        self,
        producer: DeliveringProducer,
        topic: str,
        worker_id: str,
        model: ModelSettings,
        queued_tokens: Callable[[], int],
        lanes: Sequence[Lane] = tuple(Lane),
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._key = worker_id.encode()
        self._queued_tokens = queued_tokens
        self._wake = threading.Event()
        self._stopped = False
        self.delivered = 0
        """Beats the broker has."""
        self.delivered_at = float("-inf")
        """When it last took one, on the monotonic clock."""
        self._beat = Beat(
            worker_id=worker_id,
            model=model.name,
            slug=model.slug,
            aliases=list(model.aliases),
            lanes=list(lanes),
            state=WorkerState.LOADING,
            started_at_ms=int(time.time() * 1000),
        )

    def loaded(self, card: ModelCard) -> None:
        """The model is loaded; requests will be read from now on."""
        self._beat = self._beat.model_copy(
            update={
                "state": WorkerState.READY,
                "aliases": list(card.aliases),
                "revision": card.revision,
                "dim": card.dim,
                "dimensions": list(card.dimensions),
                "max_tokens": card.max_tokens,
                "asymmetric": card.asymmetric,
                "embedding_types": list(card.embedding_types),
                "clamp_dimensions": card.clamp_dimensions,
                "vocabulary": card.vocabulary,
                "device": card.device,
                "dtype": card.dtype,
            }
        )
        self._wake.set()

    def draining(self) -> None:
        """No more requests are read."""
        self._beat = self._beat.model_copy(update={"state": WorkerState.DRAINING})
        self._wake.set()

    def stop(self) -> None:
        """Let `run` publish the tombstone and end."""
        self._stopped = True
        self._wake.set()

    def run(self) -> None:
        """Beat until stopped."""
        while True:
            # Cleared first: what happens from here on ends the wait below.
            self._wake.clear()
            if self._stopped:
                break
            beat = self._beat.model_copy(update={"queued_tokens": self._queued_tokens()})
            self._publish(encode_beat(beat))
            self._wake.wait(BEAT_EVERY_SECONDS)
        self._publish(None)

    def _publish(self, value: bytes | None) -> None:
        self._producer.produce(self._topic, key=self._key, value=value, on_delivery=self._note)

    def _note(self, failure: DeliveryFailure | None) -> None:
        """A beat that is lost is made up for by the next; that it was lost is said."""
        if failure is None:
            self.delivered += 1
            self.delivered_at = time.monotonic()
        else:
            log.warning("beat not delivered", reason=failure.reason)


def check_revisions(view: WorkersView, card: ModelCard, worker_id: str) -> None:
    """Hold our revision against those of live workers of the same model.

    Raises:
        MixedRevisionError: They show another one.
    """
    others = {
        beat.revision
        for beat in view.live()
        if beat.slug == card.slug and beat.worker_id != worker_id and beat.revision not in ("", card.revision)
    }
    if others:
        raise MixedRevisionError(
            f"live workers of this model serve revision {', '.join(sorted(others))}, this one has {card.revision}: "
            "their vectors would not match; stop them first, give this model its own --slug, or say --allow-mixed"
        )
