"""An embedder in memory: vectors from a hash of the text, answers in whatever order a seed says."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from cli.embed.command import EmbedSummary, embed_file
from cli.embed.options import EmbedOptions
from schemas.codec import Vectors
from schemas.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from schemas.requests import EmbeddingBody

DIM = 4
MODEL = "a-model"


def vector_of(text: str, dim: int = DIM) -> NDArray[np.float32]:
    """The unit vector a text always gets, shape `(dim,)`."""
    seed = int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8])
    vector = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return vector / np.linalg.norm(vector)


class FakeEmbed:
    """Answers after a random number of turns of the loop; refuses texts that hold `refuse`."""

    def __init__(
        self,
        *,
        seed: int = 0,
        refuse: str | None = None,
        refuse_with_index: bool = True,
        fail_after: int | None = None,
        dim: int = DIM,
    ) -> None:
        self._random = random.Random(seed)
        self._refuse = refuse
        self._refuse_with_index = refuse_with_index
        self._fail_after = fail_after
        self._dim = dim
        self.bodies: list[EmbeddingBody] = []
        self.request_ids: list[str] = []
        self.in_flight = 0
        self.most_in_flight = 0

    async def __call__(self, body: EmbeddingBody, request_id: str) -> Vectors:
        self.bodies.append(body)
        self.request_ids.append(request_id)
        if self._fail_after is not None and len(self.bodies) > self._fail_after:
            raise RequestError(ErrorCode.UNAVAILABLE, "no worker is there")
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            for _ in range(self._random.randrange(20)):
                await asyncio.sleep(0)
        finally:
            self.in_flight -= 1
        for index, text in enumerate(body.inputs):
            if self._refuse is not None and self._refuse in text:
                shown = index if self._refuse_with_index else None
                raise RequestError(ErrorCode.CONTEXT_LENGTH_EXCEEDED, "too long", index=shown)
        vectors = np.stack([vector_of(text, self._dim) for text in body.inputs])
        return Vectors(vectors, prompt_tokens=sum(len(text.split()) for text in body.inputs))

    @property
    def texts(self) -> Counter[str]:
        """How often each text was sent."""
        return Counter(text for body in self.bodies for text in body.inputs)


class SilentProgress:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.done = 0
        self.tokens = 0
        self.failed = 0
        self.notes: list[str] = []
        self.finished = False

    def start(self, title: str, total: int | None, done: int = 0) -> None:
        self.total, self.done = total, done

    def set_total(self, total: int) -> None:
        self.total = total

    def advance(self, texts: int, tokens: int, failed: int = 0) -> None:
        self.done += texts
        self.tokens += tokens
        self.failed += failed

    def note(self, line: str) -> None:
        self.notes.append(line)

    def finish(self) -> None:
        self.finished = True


def options(source: Path, output: Path, **more: object) -> EmbedOptions:
    """Options with a model."""
    return EmbedOptions(input_path=source, output_path=output, **({"model": MODEL} | more))  # type: ignore[arg-type]


def run(given: EmbedOptions, embed: FakeEmbed | None = None) -> EmbedSummary:
    """One run, to its end, within a minute."""
    return asyncio.run(asyncio.wait_for(embed_file(given, embed or FakeEmbed(), SilentProgress()), 60))
