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

_TEXTS: Final = varied_texts(24, seed=11)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """BERT itself, with the weights of the model that mirrors it."""
    return _saved(tmp_path / "plain")


@pytest.fixture
def mirrored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model, and a place of the test's own where transformers keeps the code it runs."""
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "code"))
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    source = _saved(tmp_path / "mirrored")
    (source / "mirrored.py").write_text(_CODE)
    config = source / "config.json"
    own = {"AutoConfig": "mirrored.MirroredConfig", "AutoModel": "mirrored.MirroredModel"}
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "mirrored", "auto_map": own}))
    return source


def _saved(folder: Path) -> Path:
    folder.mkdir()
    save_tiny_model("bert", folder)
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


def test_it_is_refused_where_the_settings_do_not_say_so(mirrored: Path, tmp_path: Path) -> None:
    (mirrored / "mirrored.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n{_CODE}")

    with pytest.raises(ModelError, match="say `worker --trust-remote-code`"):
        load_model(_settings(mirrored))
    assert not (tmp_path / "ran").exists()
