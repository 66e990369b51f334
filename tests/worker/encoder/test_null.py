"""`worker/encoder/null.py`: a vector for each text, counted tokens, and no torch."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from schemas.requests import Truncate
from worker.encoder.loading import load_model
from worker.encoder.null import DIM, MAX_TOKENS
from worker.settings import ModelSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def _vectors(texts: Sequence[str], truncation: Truncate = Truncate.END) -> NDArray[np.float32]:
    model = load_model(ModelSettings(encoder="null"))
    tokenized = model.tokenizer.tokenize(texts, [truncation] * len(texts))
    return model.encoder.encode([tokens.ids for tokens in tokenized], [DIM] * len(texts))


def test_a_thousand_texts_of_one_length_get_a_thousand_unit_vectors() -> None:
    vectors = _vectors([f"text {number:04d}" for number in range(1000)])
    assert (vectors.shape, vectors.dtype) == ((1000, DIM), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert len(np.unique(vectors, axis=0)) == 1000


def test_a_text_gets_the_same_vector_in_every_process_and_whatever_it_is_batched_with() -> None:
    alone, among = _vectors(["a"]), _vectors(["b" * 50, "a", "c"])
    np.testing.assert_array_equal(alone[0], among[1])
    assert "".join("+" if number > 0 else "-" for number in alone[0][:8]) == "++++++-+"


def test_texts_that_differ_behind_the_cut_are_told_apart() -> None:
    first, second = _vectors(["a" * 4000 + "x", "a" * 4000 + "y"])
    assert (first != second).any()


def test_recomputing_gives_the_same_vector() -> None:
    encoder = load_model(ModelSettings(encoder="null")).encoder
    ids = range(123_456_789, 123_456_799)
    np.testing.assert_array_equal(encoder.recompute(ids, DIM), encoder.encode([ids], [DIM])[0])


@pytest.mark.parametrize("truncation", Truncate)
def test_tokens_grow_with_the_text_and_are_cut_where_that_is_allowed(truncation: Truncate) -> None:
    tokenizer = load_model(ModelSettings(encoder="null")).tokenizer
    empty, short, long = tokenizer.tokenize(["", "a" * 40, "a" * 4000], [truncation] * 3)
    assert (len(empty.ids), len(short.ids), long.length_before) == (3, 13, 1003)
    assert len(long.ids) == (1003 if truncation is Truncate.NONE else MAX_TOKENS)


def test_the_card_tells_the_names_and_the_limit_of_the_settings() -> None:
    card = load_model(ModelSettings(encoder="null", name="n", aliases=["x"], slug="s", max_tokens=9)).card
    assert (card.name, card.aliases, card.slug, card.max_tokens, card.dim) == ("n", ("x",), "s", 9, DIM)
    assert (card.revision, card.dimensions, card.asymmetric) == ("null", (), False)


def test_the_null_model_needs_no_torch() -> None:
    code = (
        "import sys; from worker.encoder.loading import load_model; from worker.settings import ModelSettings; "
        "load_model(ModelSettings(encoder='null')); "
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "[]"
