"""The sample run: one request a docstring, the books kept per id, and the question answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from schemas.errors import RequestError
from schemas.requests import EmbeddingBody, EncodingFormat, InputType, Truncate

from ..embed.errors import NoAnswerError
from ..embed.feed import Feed
from .corpus import Docstring, docstrings, standard_library
from .report import Neighbour, SampleReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from ..embed.embedder import Embed
    from ..embed.progress import Progress

QUESTION: Final = "how do I read a compressed file line by line"
MAX_TASKS: Final = 1024
_NEAREST: Final = 3
_AHEAD: Final = 100_000
"""The whole corpus, 2 MB of text: reading ahead is what makes the total known early."""


async def run_sample(
    embed: Embed,
    progress: Progress,
    question: str = QUESTION,
    *,
    model: str,
    root: Path | None = None,
    repeated: Callable[[], int] = lambda: 0,
    clock: Callable[[], float] = time.monotonic,
) -> SampleReport:
    """Embed the corpus, then the question, and find the docstrings nearest to it.

    Where the embedder gives up waiting, no more is sent, and what it waited for is lost.

    Args:
        embed: The embedder.
        progress: Told of every docstring.
        question: What to look for.
        model: Served name of the model.
        root: Sources to read; None: the standard library of this Python.
        repeated: How many answers have come so far to requests that were answered already.
        clock: Seconds; only differences count.
    """
    started_at = clock()
    repeated_before = repeated()
    books = _Books()
    progress.start("embedding the standard library's docstrings", None)
    try:
        await _embed_all(_Asking(embed, model), root or standard_library(), books, progress)
    finally:
        progress.finish()
    seconds = clock() - started_at
    nearest = await _nearest(_Asking(embed, model), books, question)
    return SampleReport(
        sent=len(books.texts),
        received=len(books.vectors),
        errors=len(books.errors),
        lost=len(books.texts) - len(books.vectors) - len(books.errors),
        # Counted after the question: its answer comes behind whatever was sent before it.
        duplicated=books.surplus + repeated() - repeated_before,
        error_codes=Counter(books.errors.values()),
        tokens=books.tokens,
        seconds=seconds,
        question=question,
        nearest=nearest,
    )


class _Books:
    """What was sent and what came back, by id."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.vectors: dict[str, NDArray[np.float32]] = {}
        self.errors: dict[str, str] = {}
        self.surplus = 0
        self.tokens = 0
        self.given_up = False


class _Asking:
    """One text a request."""

    def __init__(self, embed: Embed, model: str) -> None:
        self._embed = embed
        self._model = model

    async def passage(self, sent: Docstring, books: _Books) -> int:
        """Ask for one docstring and book the answer; its tokens."""
        books.texts[sent.name] = sent.text
        try:
            answer = await self._embed(self._body(sent.text, InputType.PASSAGE), sent.name)
        except RequestError as error:
            books.errors[sent.name] = error.code.value
            return 0
        except NoAnswerError:
            books.given_up = True
            return 0
        books.tokens += answer.prompt_tokens
        if len(answer.vectors):
            books.vectors[sent.name] = answer.vectors[0]
            books.surplus += len(answer.vectors) - 1
        return answer.prompt_tokens

    async def question(self, text: str) -> NDArray[np.float32] | None:
        try:
            answer = await self._embed(self._body(text, InputType.QUERY), "question")
        except (RequestError, NoAnswerError):
            return None  # shown as a report without neighbours; the books say what is wrong
        return answer.vectors[0] if len(answer.vectors) else None

    def _body(self, text: str, role: InputType) -> EmbeddingBody:
        return EmbeddingBody(
            model=self._model,
            input=[text],
            input_type=role,
            encoding_format=EncodingFormat.BASE64,
            truncate=Truncate.END,
        )


async def _embed_all(asking: _Asking, root: Path, books: _Books, progress: Progress) -> None:
    room = asyncio.Semaphore(MAX_TASKS)
    loop = asyncio.get_running_loop()

    def tell(total: int) -> None:
        loop.call_soon_threadsafe(progress.set_total, total)

    feed = Feed(_counted(docstrings(root), tell), _AHEAD)

    async def ask(sent: Docstring) -> None:
        try:
            tokens = await asking.passage(sent, books)
        finally:
            room.release()
        progress.advance(1, tokens, int(sent.name in books.errors))

    try:
        async with asyncio.TaskGroup() as tasks:
            async for docstring in feed:
                await room.acquire()
                if books.given_up:
                    break
                tasks.create_task(ask(docstring))
    finally:
        feed.close()


def _counted(items: Iterable[Docstring], tell: Callable[[int], object]) -> Iterator[Docstring]:
    """The items; `tell` hears how many there were once the last one was read, before the reader learns of the end."""
    count = 0
    for item in items:
        count += 1
        yield item
    tell(count)


async def _nearest(asking: _Asking, books: _Books, question: str) -> tuple[Neighbour, ...]:
    if not books.vectors or (asked := await asking.question(question)) is None:
        return ()
    names = list(books.vectors)
    rows = np.stack([books.vectors[name] for name in names])
    cosines = rows @ asked / (np.linalg.norm(rows, axis=1) * np.linalg.norm(asked))
    best = np.argsort(-cosines, kind="stable")[:_NEAREST]
    return tuple(Neighbour(names[place], books.texts[names[place]], float(cosines[place])) for place in best)
