"""`worker/encoder/null.py`: fixed vectors, counted tokens, and no torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from schemas.requests import Truncate
from worker.encoder.loading import load_model
from worker.encoder.null import DIM, MAX_TOKENS
from worker.settings import ModelSettings


def test_every_input_gets_the_same_unit_vector() -> None:
    vectors = load_model(ModelSettings(encoder="null")).encoder.encode([[1], [1, 2, 3]], [DIM, DIM])
    assert (vectors.shape, vectors.dtype) == ((2, DIM), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert (vectors[0] == vectors[1]).all()


def test_recomputing_gives_the_same_vector() -> None:
    encoder = load_model(ModelSettings(encoder="null")).encoder
    np.testing.assert_array_equal(encoder.recompute([1], DIM), encoder.encode([[1]], [DIM])[0])


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
