"""`benchmarks/corpus.py`."""

from __future__ import annotations

import statistics

import pytest

from benchmarks.corpus import CORPORA, docstring_texts, mixed_texts


# Those from the standard library read all of it.
@pytest.mark.slow
@pytest.mark.parametrize("corpus", CORPORA)
def test_a_corpus_has_as_many_texts_as_are_asked_for_and_the_same_each_time(corpus: str) -> None:
    make = CORPORA[corpus]

    assert len(make(50)) == 50
    assert make(50) == make(50)


def test_mixed_texts_have_10_to_300_words_half_of_them_fewer_than_about_60() -> None:
    words = [len(text.split()) for text in mixed_texts(500)]

    assert min(words) >= 10
    assert max(words) <= 300
    assert 50 <= statistics.median(words) <= 70


@pytest.mark.slow
def test_docstrings_are_from_all_over_the_library() -> None:
    assert len(set(docstring_texts(200))) > 190
