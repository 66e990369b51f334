"""Turns the texts of requests into tokens, off the intake's and the encoder's threads.

Requests wait in two queues, one a lane; interactive ones are taken first, and bulk has every fifth turn. A chunk of
requests is tokenized in one call, which releases the GIL. The model's token limit is applied here: under
`truncate: NONE` an input that is too long fails its whole request. What comes out is handed to the scheduler, or to
the publisher when it failed.
"""

from __future__ import annotations

import threading
from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from schemas.requests import Truncate
from schemas.served_model import too_long
from schemas.topics import Lane

from .encoder.interface import Tokens
from .scheduler import WaitingInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from schemas.errors import RequestError

    from .bounds import InFlight
    from .encoder.interface import Tokenizer
    from .request import RequestInFlight

_CHUNK_REQUESTS: Final = 128
_CHUNK_CHARACTERS: Final = 200_000
_CHUNKS_BEFORE_BULK: Final = 4
"""Of interactive requests, which a thread for both lanes takes before one of bulk: a fifth of its time is bulk's."""


class Tokenization:
    """The stage between intake and scheduler.

    Args:
        tokenizer: The model's.
        max_tokens: The model's limit for one input.
        in_flight: Bounds of each lane, corrected once tokens are counted.
        unpooled: By prefix, tokens at an input's front that pooling leaves out.
        too_large: The error of a request whose response will not fit its destination, when that is sure.
        on_tokenized: Gets the inputs of requests that are fine.
        on_failed: Gets requests that are not.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_tokens: int,
        in_flight: Mapping[Lane, InFlight],
        *,
        unpooled: Mapping[str, int] = MappingProxyType({}),
        too_large: Callable[[RequestInFlight], RequestError | None] = lambda _: None,
        on_tokenized: Callable[[list[WaitingInput]], None],
        on_failed: Callable[[RequestInFlight], None],
    ) -> None:
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._unpooled = unpooled
        self._too_large = too_large
        self._in_flight = in_flight
        self._on_tokenized = on_tokenized
        self._on_failed = on_failed
        self._ready = threading.Condition()
        self._waiting: dict[Lane, deque[RequestInFlight]] = {lane: deque() for lane in Lane}
        self._stopped = False

    def submit(self, items: list[RequestInFlight]) -> None:
        """Queue requests; never blocks, since intake bounds what is in flight."""
        with self._ready:
            for item in items:
                self._waiting[item.lane].append(item)
            self._ready.notify_all()

    def run(self, lanes: Sequence[Lane] = tuple(Lane)) -> None:
        """Work until stopped; several threads may.

        Args:
            lanes: Whose requests this thread takes, first ones first, but for every fifth chunk; a thread that takes
                interactive ones only keeps them from waiting behind long bulk texts.
        """
        in_a_row = 0
        while (chunk := self._take(lanes if in_a_row < _CHUNKS_BEFORE_BULK else lanes[::-1])) is not None:
            in_a_row = in_a_row + 1 if chunk[0].lane is lanes[0] else 0
            self._tokenize(chunk)

    def stop(self) -> None:
        """Let the threads end after the chunk they are at."""
        with self._ready:
            self._stopped = True
            self._ready.notify_all()

    def _take(self, lanes: Sequence[Lane]) -> list[RequestInFlight] | None:
        """Requests of one lane that make up a chunk; None when stopped. A long request is a chunk of its own."""
        with self._ready:
            while not self._stopped:
                queue = next((self._waiting[lane] for lane in lanes if self._waiting[lane]), None)
                if queue is None:
                    self._ready.wait()
                    continue
                chunk = [queue.popleft()]
                characters = _characters(chunk[0])
                while queue and len(chunk) < _CHUNK_REQUESTS:
                    characters += _characters(queue[0])
                    if characters > _CHUNK_CHARACTERS:
                        break
                    chunk.append(queue.popleft())
                return chunk
            return None

    def _tokenize(self, chunk: list[RequestInFlight]) -> None:
        texts: list[str] = []
        truncations: list[Truncate] = []
        prefixes: list[int] = []
        for item in chunk:
            for given in item.request.inputs if item.request else ():
                if isinstance(given, str):
                    texts.append(item.prefix + given)
                    truncations.append(item.truncate)
                    prefixes.append(len(item.prefix))
        tokenized = iter(self._tokenizer.tokenize(texts, truncations, prefixes))
        for item in chunk:
            inputs = item.request.inputs if item.request else ()
            self._hand_on(
                item,
                [
                    next(tokenized) if isinstance(given, str) else _cut(given, item.truncate, self._max_tokens)
                    for given in inputs
                ],
            )

    def _hand_on(self, item: RequestInFlight, inputs: list[Tokens]) -> None:
        for index, tokens in enumerate(inputs):
            if len(tokens.ids) > self._max_tokens:
                long = too_long(tokens.length_before, self._max_tokens, index, is_counted=tokens.is_counted)
                if item.request is not None:
                    long.request_id, long.metadata = item.request.id, item.request.metadata
                item.fail(long)
                self._on_failed(item)
                return
        item.prompt_tokens = sum(len(tokens.ids) for tokens in inputs)
        if (error := self._too_large(item)) is not None:
            item.fail(error)
            self._on_failed(item)
            return
        item.remaining = len(inputs)
        self._in_flight[item.lane].correct(item.reservation, tokens=item.prompt_tokens)
        # Token ids come as given, without a prefix.
        with_prefix = self._unpooled.get(item.prefix, 0) if item.prefix else 0
        given = item.request.inputs if item.request else ()
        self._on_tokenized(
            [
                WaitingInput(item, index, tokens.ids, with_prefix if isinstance(given[index], str) else 0)
                for index, tokens in enumerate(inputs)
            ]
        )


def _cut(ids: list[int], truncate: Truncate, max_tokens: int) -> Tokens:
    """Token ids are what the model reads, as given: nothing is put around them, and only the limit holds."""
    if truncate is Truncate.NONE:
        return Tokens(ids, len(ids))
    return Tokens(ids[-max_tokens:] if truncate is Truncate.START else ids[:max_tokens], len(ids))


def _characters(item: RequestInFlight) -> int:
    return len(item.message.value or b"")
