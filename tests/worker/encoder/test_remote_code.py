"""A model that brings code of its own: it runs where the settings say so, and nowhere else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
import transformers.dynamic_module_utils
from sentence_transformers import SentenceTransformer

from worker.encoder.loading import load_model
from worker.errors import ModelError
from worker.settings import ModelSettings

from .comparison import encode, least_cosine, random_batches
from .texts import varied_texts
from .tiny_models import DIM, save_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.model

_CODE: Final = """
from transformers import BertConfig, BertModel


class MirroredConfig(BertConfig):
    model_type = "mirrored"


class MirroredModel(BertModel):
    config_class = MirroredConfig

    def forward(self, *arguments, **named):
        output = super().forward(*arguments, **named)
        output.last_hidden_state = output.last_hidden_state.flip(-1)
        return output
"""
"""A model whose vectors are those of BERT, last dimension first."""

_BOTH_WAYS: Final = """
from transformers import LlamaConfig, LlamaModel


class BothWaysConfig(LlamaConfig):
    model_type = "both-ways"


class BothWaysModel(LlamaModel):
    config_class = BothWaysConfig

    def __init__(self, config):
        super().__init__(config)
        for layer in self.layers:
            layer.self_attn.is_causal = False

    def forward(self, input_ids=None, attention_mask=None, **named):
        if attention_mask is not None:
            attention_mask = attention_mask.bool()[:, None, None, :].expand(-1, 1, input_ids.shape[1], -1)
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, **named)
"""
"""Llama with attention in both directions, as models for retrieval are made of it."""

_TEXTS: Final = varied_texts(24, seed=11)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """BERT itself, with the weights of the model that mirrors it."""
    return _saved(tmp_path / "plain")


@pytest.fixture
def _code_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place of the test's own where transformers keeps the code it runs."""
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "code"))
    monkeypatch.syspath_prepend(str(tmp_path / "code"))


@pytest.fixture
def mirrored(tmp_path: Path, _code_of_this_test: None) -> Path:
    source = _saved(tmp_path / "mirrored")
    _bring_code(source, "mirrored", "Mirrored", _CODE)
    return source


@pytest.fixture
def both_ways(tmp_path: Path, _code_of_this_test: None) -> Path:
    source = _saved(tmp_path / "both_ways", "llama")
    _bring_code(source, "both-ways", "BothWays", _BOTH_WAYS)
    return source


def _bring_code(source: Path, model_type: str, name: str, code: str) -> None:
    module = model_type.replace("-", "_")
    (source / f"{module}.py").write_text(code)
    own = {"AutoConfig": f"{module}.{name}Config", "AutoModel": f"{module}.{name}Model"}
    config = source / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": model_type, "auto_map": own}))


def _saved(folder: Path, architecture: str = "bert") -> Path:
    folder.mkdir()
    save_tiny_model(architecture, folder)
    return folder / "model"


def _settings(source: Path, **settings: bool) -> ModelSettings:
    return ModelSettings(name="tiny", source=str(source), device="cpu", dtype="float32", **settings)


def test_its_vectors_are_those_of_encode_and_its_code_made_them(mirrored: Path, plain: Path) -> None:
    model = load_model(_settings(mirrored, trust_remote_code=True))
    vectors = encode(model, _TEXTS, random_batches(len(_TEXTS), seed=1))
    assert vectors.shape == (len(_TEXTS), DIM)

    own = SentenceTransformer(str(mirrored), device="cpu", trust_remote_code=True)
    assert least_cosine(vectors, own.encode(_TEXTS)) > 0.9999
    without_its_code = SentenceTransformer(str(plain), device="cpu").encode(_TEXTS)
    assert least_cosine(vectors, np.flip(without_its_code, axis=1)) > 0.9999
    assert least_cosine(vectors, without_its_code) < 0.9


def test_attention_in_both_directions_is_packed_and_gives_the_vectors_of_encode(
    both_ways: Path, tmp_path: Path
) -> None:
    model = load_model(_settings(both_ways, trust_remote_code=True))
    vectors = encode(model, _TEXTS, random_batches(len(_TEXTS), seed=2))

    assert not model.encoder.limits.is_padded
    own = SentenceTransformer(str(both_ways), device="cpu", trust_remote_code=True)
    assert least_cosine(vectors, own.encode(_TEXTS)) > 0.9999
    forwards_only = SentenceTransformer(str(_saved(tmp_path / "llama", "llama")), device="cpu")
    assert least_cosine(vectors, forwards_only.encode(_TEXTS)) < 0.9


def test_it_is_refused_where_the_settings_do_not_say_so(mirrored: Path, tmp_path: Path) -> None:
    (mirrored / "mirrored.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n{_CODE}")

    with pytest.raises(ModelError, match="say `worker --trust-remote-code`"):
        load_model(_settings(mirrored))
    assert not (tmp_path / "ran").exists()
