"""Padded or packed: vectors equal those of sentence-transformers, whatever they are batched with."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from schemas.requests import Truncate
from worker.encoder.loading import load_model
from worker.settings import ModelSettings

from .comparison import encode, least_cosine, random_batches
from .texts import varied_texts
from .tiny_models import ARCHITECTURES, DIM, LIMIT, a_dense_layer, normalize, pooling_then, save_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from worker.encoder.interface import LoadedModel

pytestmark = pytest.mark.model

Vectors: TypeAlias = "tuple[NDArray[np.float32], NDArray[np.float32]]"
"""Ours and theirs."""

TEXTS = varied_texts(300)
FEW = varied_texts(48, seed=7)


@pytest.fixture(scope="module")
def expected(reference: SentenceTransformer) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = reference.encode(TEXTS, batch_size=32, show_progress_bar=False)
    return vectors


@pytest.fixture(scope="module")
def half_precision() -> LoadedModel:
    return load_model(ModelSettings(device="cpu", dtype="bfloat16"))


# --- the default model ------------------------------------------------------------------------------------


def test_every_vector_equals_that_of_sentence_transformers_whatever_it_is_batched_with(
    default_model: LoadedModel, expected: NDArray[np.float32]
) -> None:
    vectors = encode(default_model, TEXTS, random_batches(len(TEXTS), seed=1))
    assert least_cosine(vectors, expected) >= 0.9999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_text_alone_has_the_vector_it_has_in_company(
    default_model: LoadedModel, expected: NDArray[np.float32]
) -> None:
    alone = encode(default_model, TEXTS[:24], [[index] for index in range(24)])
    assert least_cosine(alone, expected[:24]) >= 0.9999


def test_under_bfloat16_vectors_stay_within_a_thousandth_of_float32(
    half_precision: LoadedModel, expected: NDArray[np.float32]
) -> None:
    count = 40
    vectors = encode(half_precision, TEXTS[:count], random_batches(count, seed=2))
    assert vectors.dtype == np.float32
    assert least_cosine(vectors, expected[:count]) >= 0.999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_recomputing_under_bfloat16_computes_in_float32_from_the_rounded_weights(
    half_precision: LoadedModel, expected: NDArray[np.float32]
) -> None:
    [tokens] = half_precision.tokenizer.tokenize(TEXTS[20:21], [Truncate.END])
    vector = half_precision.encoder.recompute(tokens.ids, 384)
    launched = half_precision.encoder.encode([tokens.ids], [384])[0]
    assert least_cosine(vector[np.newaxis], expected[20:21]) >= 0.999
    assert least_cosine(vector[np.newaxis], launched[np.newaxis]) >= 0.999
    assert not np.array_equal(vector, launched)


# --- lengths of vectors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 64, 383])
def test_a_shorter_vector_is_the_head_of_the_whole_one_at_unit_length_again(
    default_model: LoadedModel, expected: NDArray[np.float32], dim: int
) -> None:
    some, whole = TEXTS[15:31], expected[15:31]
    vectors = encode(default_model, some, random_batches(len(some), seed=3), dim)
    heads = whole[:, :dim] / np.linalg.norm(whole[:, :dim], axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, heads, atol=1e-4)


def test_inputs_of_one_batch_may_ask_for_different_lengths(
    default_model: LoadedModel, expected: NDArray[np.float32]
) -> None:
    tokenized = default_model.tokenizer.tokenize(TEXTS[:3], [Truncate.END] * 3)
    vectors = default_model.encoder.encode([tokens.ids for tokens in tokenized], [384, 16, 100])
    for vector, whole, dim in zip(vectors, expected[:3], [384, 16, 100], strict=True):
        np.testing.assert_allclose(vector[:dim], whole[:dim] / np.linalg.norm(whole[:dim]), atol=1e-5)
        assert not vector[dim:].any()
    recomputed = default_model.encoder.recompute(tokenized[1].ids, 16)
    np.testing.assert_allclose(recomputed, vectors[1, :16], atol=1e-5)


# --- other architectures ----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=ARCHITECTURES)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    """Vectors of one architecture, ours and theirs."""
    return vectors_of_both(save_tiny_model(request.param, tmp_path_factory.mktemp(request.param)))


def vectors_of_both(source: str, **settings: str) -> Vectors:
    """Vectors of `FEW` by us, in two ways of batching put one behind the other, and by sentence-transformers."""
    model = load_model(ModelSettings(source=source, name="tiny", device="cpu", **{"dtype": "float32"} | settings))
    tokens = model.tokenizer.tokenize(FEW, [Truncate.END] * len(FEW))
    assert max(tokens.length_before for tokens in tokens) > LIMIT
    batchings = [random_batches(len(FEW), seed=1), random_batches(len(FEW), seed=2, most=3)]
    ours = np.concatenate([encode(model, FEW, batching) for batching in batchings])
    theirs = SentenceTransformer(source, device="cpu").encode(FEW, batch_size=16, show_progress_bar=False)
    return ours, np.concatenate([theirs] * len(batchings))


def test_vectors_of_every_architecture_equal_those_of_sentence_transformers(both: Vectors) -> None:
    ours, theirs = both
    assert ours.shape == (2 * len(FEW), DIM)
    assert least_cosine(ours, theirs) >= 0.9999
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)


def test_vectors_of_a_tiny_model_differ_enough_for_that_to_mean_something(both: Vectors) -> None:
    ours, _ = both
    cosines = ours[: len(FEW)] @ ours[: len(FEW)].T
    assert np.median(cosines) < 0.95


@pytest.mark.parametrize(
    ("architecture", "short", "filled", "mask"),
    [("xlm-roberta", [0, 2], [0, 2, 1], [1, 1, 0]), ("qwen3", [9, 1], [0, 9, 1], [0, 1, 1])],
)
def test_short_rows_are_filled_up_with_the_models_padding_on_the_side_it_wants(
    architecture: str, short: list[int], filled: list[int], mask: list[int], tmp_path: Path
) -> None:
    model = load_model(
        ModelSettings(source=save_tiny_model(architecture, tmp_path), name="tiny", device="cpu", packing="off")
    )
    features = model.encoder._forward._features([[9, 7, 1], short])  # type: ignore[attr-defined]
    assert features["input_ids"].tolist() == [[9, 7, 1], filled]
    assert features["attention_mask"].tolist() == [[1, 1, 1], mask]


def test_layers_behind_the_pooling_are_applied(tmp_path: Path) -> None:
    source = save_tiny_model("bert", tmp_path, after=pooling_then(a_dense_layer(), normalize()))
    ours, theirs = vectors_of_both(source)
    assert ours.shape[1] == 2 * DIM
    assert least_cosine(ours, theirs) >= 0.9999


def test_pooling_and_layers_behind_it_compute_in_float32_under_bfloat16(tmp_path: Path) -> None:
    source = save_tiny_model("bert", tmp_path, after=pooling_then(a_dense_layer(3.0)))
    model = load_model(ModelSettings(source=source, name="tiny", device="cpu", dtype="bfloat16", packing="off"))
    batch = [[2, 7, 9, 3], [2, 11, 3]]
    padded = model.encoder._forward  # type: ignore[attr-defined]
    with torch.inference_mode():
        states = padded._transformer(padded._features(batch))["token_embeddings"]
    assert states.dtype is torch.bfloat16
    weight = a_dense_layer(3.0).linear.weight.detach().double().numpy()
    pooled = [states[row, : len(ids)].double().numpy().mean(axis=0) for row, ids in enumerate(batch)]
    exact = np.stack([weight @ mean / np.linalg.norm(weight @ mean) for mean in pooled])
    ours = model.encoder.encode(batch, [2 * DIM] * 2)
    np.testing.assert_allclose(ours, exact, atol=1e-6)


# --- vectors that are none --------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.0, float("nan"), float("inf")])
def test_a_vector_that_is_zero_or_not_finite_comes_out_as_nan(tmp_path: Path, scale: float) -> None:
    source = save_tiny_model("bert", tmp_path, after=pooling_then(a_dense_layer(scale)))
    model = load_model(ModelSettings(source=source, name="tiny", device="cpu", dtype="float32"))
    vectors = model.encoder.encode([[2, 7, 3], [2, 3]], [2 * DIM] * 2)
    assert np.isnan(vectors).any(axis=1).all()
    assert np.isnan(model.encoder.recompute([2, 7, 3], 2 * DIM)).any()


@pytest.mark.parametrize("scale", [1e-30, 1e25])
def test_a_vector_whose_squares_float32_cannot_hold_is_of_unit_length_all_the_same(
    tmp_path: Path, scale: float
) -> None:
    scaled = save_tiny_model("bert", tmp_path / "scaled", after=pooling_then(a_dense_layer(scale)))
    plain = save_tiny_model("bert", tmp_path / "plain", after=pooling_then(a_dense_layer(2.0)))
    ours, theirs = (
        encode(
            load_model(ModelSettings(source=source, name="tiny", device="cpu", dtype="float32")),
            FEW,
            random_batches(len(FEW), 1),
        )
        for source in (scaled, plain)
    )
    assert least_cosine(ours, theirs) >= 0.9999
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)


def test_one_row_that_is_not_finite_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    source = save_tiny_model("bert", tmp_path)
    model = load_model(ModelSettings(source=source, name="tiny", device="cpu", dtype="float32"))
    whole = model.encoder.encode([[2, 7, 3], [2, 8, 3]], [DIM] * 2)
    with torch.no_grad():
        embeddings = model.encoder._forward._states._words  # type: ignore[attr-defined]
        embeddings[8] = float("nan")
    vectors = model.encoder.encode([[2, 7, 3], [2, 8, 3]], [DIM] * 2)
    np.testing.assert_allclose(vectors[0], whole[0], atol=1e-6)
    assert np.isnan(vectors[1]).all()
