"""The worker's engine without Kafka: tokenization, scheduler and encoder, wired as in a worker."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from schemas.headers import RequestHeaders
from schemas.requests import EmbeddingRequest, Truncate
from schemas.topics import Lane
from transport.messages import Message
from transport.offsets import Submitted
from worker.bounds import InFlight
from worker.duplicates import Duplicates
from worker.encoder.calibration import calibrated_budget, default_folder
from worker.encoder.loading import load_model
from worker.encoder.stage import EncoderStage
from worker.garbage import loaded_left_alone
from worker.request import RequestInFlight
from worker.scheduler import Scheduler
from worker.settings import BatchSettings, BoundSettings, ModelSettings
from worker.stages import StageFailure, start_stage
from worker.tokenization import Tokenization

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from worker.encoder.interface import LoadedModel
    from worker.vector_cache import VectorCache

_WATCH_SECONDS: Final = 0.5
_WARM_UP: Final = 32


def load(dtype: str, source: str = "", device: str = "cpu", packing: str = "auto") -> LoadedModel:
    """A model as a worker loads it; without source the packaged all-MiniLM-L6-v2."""
    wanted = {"dtype": dtype, "source": source, "device": device, "packing": packing}
    return load_model(ModelSettings.model_validate(wanted))


class EngineInProcess:
    """Embeds lists of texts, one request a text.

    Args:
        model: Loaded.
        cache: Keeps vectors from one list to the next.
    """

    def __init__(self, model: LoadedModel, cache: VectorCache | None = None) -> None:
        batch, bounds = BatchSettings(), BoundSettings()
        self.model = model
        self._failure = StageFailure()
        self._in_flight = {lane: InFlight(bounds.tokens, bounds.bytes) for lane in Lane}
        self._finished = threading.Condition()
        self._unfinished = 0
        self._leaving = ExitStack()
        self._stage = EncoderStage(
            model.encoder,
            Scheduler(
                batch.budget_tokens or calibrated_budget(model, default_folder()),
                batch.max_inputs,
                bulk_share=batch.bulk_share,
                interactive_bulk_seconds=batch.interactive_bulk_seconds,
                is_padded=model.encoder.limits.is_padded,
            ),
            Duplicates(cache),
            is_current=lambda _: True,
            on_finished=self._finish,
            clock_skew_seconds=0,
        )
        self._tokenization = Tokenization(
            model.tokenizer,
            model.card.max_tokens,
            self._in_flight,
            on_tokenized=self._stage.submit,
            on_failed=self._finish,
        )
        self._threads = [
            start_stage("encoder", self._stage.run, self._failure) for _ in range(model.encoder.limits.slots)
        ]
        self._threads.append(start_stage("tokenization", self._tokenization.run, self._failure))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors in the order of the texts, shape `(len(texts), dim)`. Blocks.

        Raises:
            Exception: What a stage died of, or what became of a text.
        """
        items = [self._request(number, text) for number, text in enumerate(texts)]
        with self._finished:
            self._unfinished = len(items)
        self._tokenization.submit(items)
        with self._finished:
            while self._unfinished:
                self._finished.wait(_WATCH_SECONDS)
                if self._failure.error is not None:
                    raise self._failure.error
        for item in items:
            self._in_flight[item.lane].release(item.reservation)
            if item.error is not None:
                raise item.error
        return np.concatenate([item.vectors for item in items])

    def warm_up(self, texts: Sequence[str]) -> Self:
        """Compute a few of the texts."""
        self.embed(texts[:_WARM_UP])
        return self

    def close(self) -> None:
        """Stop the stages."""
        self._leaving.close()
        self._tokenization.stop()
        self._stage.stop()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        self._leaving.enter_context(loaded_left_alone())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _finish(self, _: RequestInFlight) -> None:
        with self._finished:
            self._unfinished -= 1
            if not self._unfinished:
                self._finished.notify_all()

    def _request(self, number: int, text: str) -> RequestInFlight:
        card = self.model.card
        request = EmbeddingRequest(id=str(number), model=card.name, input=text, truncate=Truncate.END)
        return RequestInFlight(
            Lane.BULK,
            Message("", 0, number, 0, None, text.encode(), ()),
            Submitted(0, number, 0),
            RequestHeaders(),
            None,
            self._in_flight[Lane.BULK].reserve(0, 0),
            request,
            dim=card.dim,
        )
