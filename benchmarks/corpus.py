"""The texts that are embedded: docstrings as they are found, and a mix of lengths as documents have them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from cli.sample.corpus import docstrings, standard_library

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SEED: Final = 0
_FEWEST_WORDS: Final = 10
_MOST_WORDS: Final = 300
_MEDIAN_WORDS: Final = 60
_SIGMA: Final = 0.8


def docstring_texts(count: int) -> list[str]:
    """Docstrings of the standard library, spread evenly over all of them."""
    corpus = _docstrings()
    step = max(1, len(corpus) // count)
    return list(corpus[::step][:count])


def mixed_texts(count: int) -> list[str]:
    """Texts of 10 to 300 words of the docstrings, their lengths lognormal around 60; alike in each run."""
    chance = np.random.default_rng(_SEED)
    words = np.array(" ".join(_docstrings()).split())
    lengths = chance.lognormal(np.log(_MEDIAN_WORDS), _SIGMA, count).astype(int)
    return [
        " ".join(chance.choice(words, length)) for length in np.clip(lengths, _FEWEST_WORDS, _MOST_WORDS).tolist()
    ]


CORPORA: Final[Mapping[str, Callable[[int], list[str]]]] = {"docstrings": docstring_texts, "mixed": mixed_texts}


@lru_cache(maxsize=1)
def _docstrings() -> tuple[str, ...]:
    return tuple(docstring.text for docstring in docstrings(standard_library()))
