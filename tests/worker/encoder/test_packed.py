"""Packed batches: which architectures take them, that their vectors are the model's, and what happens elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from structlog.testing import capture_logs

from schemas.requests import Truncate
from worker.encoder import attention, linear
from worker.encoder.fused_bert import FusedBert
from worker.encoder.layout import Group
from worker.encoder.loading import load_model
from worker.settings import ModelSettings

from .comparison import encode, least_cosine, random_batches
from .test_linear import needs_onednn
from .texts import varied_texts
from .tiny_models import DIM, save_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from worker.encoder.interface import LoadedModel
    from worker.encoder.layout import Layout

pytestmark = pytest.mark.model

WRITTEN_OUT = ["bert", "roberta", "xlm-roberta"]
BY_TRANSFORMERS = ["distilbert", "modernbert", "llama", "mistral", "qwen3"]
PADDED = ["deberta-v2", "mpnet"]
FEW = varied_texts(40, seed=7)


def tiny(architecture: str, folder: Path, **settings: str) -> LoadedModel:
    source = save_tiny_model(architecture, folder)
    return load_model(ModelSettings(source=source, name="tiny", device="cpu", **{"dtype": "float32"} | settings))


@pytest.mark.parametrize("architecture", WRITTEN_OUT + BY_TRANSFORMERS)
def test_an_architecture_that_can_be_packed_is_and_gives_the_models_vectors(
    architecture: str, tmp_path: Path
) -> None:
    model = tiny(architecture, tmp_path)
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(FEW, show_progress_bar=False)

    assert not model.encoder.limits.is_padded
    states = model.encoder._forward._states  # type: ignore[attr-defined]
    assert isinstance(states, FusedBert) is (architecture in WRITTEN_OUT)
    for batching in (random_batches(len(FEW), seed=1), [list(range(len(FEW)))], [[n] for n in range(len(FEW))]):
        assert least_cosine(encode(model, FEW, batching), theirs) >= 0.9999


@pytest.mark.parametrize("is_faster", [pytest.param(True, marks=needs_onednn), False])
@pytest.mark.parametrize("architecture", WRITTEN_OUT)
def test_a_pass_that_is_written_out_is_packed_whoever_computes_its_products(
    architecture: str, is_faster: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "onednn_is_faster", lambda _: is_faster)
    model = tiny(architecture, tmp_path)
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(FEW, show_progress_bar=False)

    assert not model.encoder.limits.is_padded
    states = model.encoder._forward._states  # type: ignore[attr-defined]
    assert isinstance(states._layers[0].up, linear._ByOneDnn) is is_faster
    assert least_cosine(encode(model, FEW, random_batches(len(FEW), seed=1)), theirs) >= 0.999999


@pytest.mark.parametrize("architecture", PADDED)
def test_an_architecture_that_cannot_is_padded_and_says_so_once(architecture: str, tmp_path: Path) -> None:
    with capture_logs() as logs:
        model = tiny(architecture, tmp_path)
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(FEW, show_progress_bar=False)

    assert model.encoder.limits.is_padded
    [said] = [entry for entry in logs if entry["event"].startswith("packed batches do not fit")]
    assert said["architecture"] == architecture
    assert said["reason"]
    assert least_cosine(encode(model, FEW, random_batches(len(FEW), seed=1)), theirs) >= 0.9999


def test_packing_can_be_switched_off(tmp_path: Path) -> None:
    assert tiny("bert", tmp_path, packing="off").encoder.limits.is_padded


@pytest.mark.parametrize("architecture", ["xlm-roberta", "modernbert"])
def test_attention_that_mixes_inputs_is_found_out_at_start(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    within_each = attention.attend

    def across_all(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, **options: Any
    ) -> torch.Tensor:
        one = replace(layout, groups=(Group(0, 1, len(query)),))
        return within_each(query, key, value, one, **options)

    monkeypatch.setattr(attention, "attend", across_all)
    monkeypatch.setattr("worker.encoder.fused_bert.attend", across_all)
    with capture_logs() as logs:
        model = tiny(architecture, tmp_path)
    assert model.encoder.limits.is_padded
    assert any("in cosine" in entry.get("reason", "") for entry in logs)


def test_positions_that_start_elsewhere_are_found_out_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.encoder.packed.padding_idx_of", lambda _: None)
    assert tiny("xlm-roberta", tmp_path).encoder.limits.is_padded


def test_a_packed_model_recomputes_in_float32_with_attention_of_its_own(tmp_path: Path) -> None:
    model = tiny("modernbert", tmp_path)
    [tokens] = model.tokenizer.tokenize(FEW[:1], [Truncate.END])
    packed = model.encoder.encode([tokens.ids], [DIM])[0]
    np.testing.assert_allclose(model.encoder.recompute(tokens.ids, DIM), packed, atol=1e-5)


def test_the_default_model_is_packed_in_both_dtypes(default_model: LoadedModel) -> None:
    assert not default_model.encoder.limits.is_padded
    half = load_model(ModelSettings(device="cpu", dtype="bfloat16"))
    assert not half.encoder.limits.is_padded
