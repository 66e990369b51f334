"""`worker/catalogue.py`: which models there are, from a file and from presets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from transport.errors import SettingsError
from worker.catalogue import PRESETS, build_worker_settings, neighbours, read_catalogue
from worker.settings import ModelSettings

if TYPE_CHECKING:
    from pathlib import Path

TWO = """
[models."org/first"]
source = "/models/first"
aliases = ["first"]
asymmetric = true
dimensions = [8, 16]

[models."baai/bge-m3"]
slug = "bge-m3"
max_tokens = 512
"""


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "models.toml"
        path.write_text(text)
        return path

    return write


def refusal(path: Path, **model: object) -> str:
    with pytest.raises(SettingsError) as refused:
        build_worker_settings({"models": path, "model": model}, None)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_a_catalogue_is_read_in_its_order_its_entries_over_their_presets(write: Any) -> None:
    first, second = read_catalogue(write(TWO)).values()
    assert (first.name, first.slug, first.aliases, first.dimensions) == ("org/first", "", ["first"], [8, 16])
    assert (second.name, second.slug, second.source, second.max_tokens) == (
        "baai/bge-m3",
        "bge-m3",
        "BAAI/bge-m3",
        512,
    )
    assert second.pooling == "cls"


def test_a_worker_serves_the_model_it_names_and_knows_the_others(write: Any) -> None:
    settings = build_worker_settings(
        {"models": write(TWO), "model": {"name": "baai/bge-m3", "dtype": "float32"}}, None
    )
    assert (settings.model.slug, settings.model.dtype, settings.model.max_tokens) == ("bge-m3", "float32", 512)
    assert [model.name for model in neighbours(settings)] == ["org/first"]


def test_flags_win_over_the_catalogue(write: Any) -> None:
    model = {"name": "org/first", "source": "/elsewhere", "max_tokens": 9}
    settings = build_worker_settings({"models": write(TWO), "model": model}, None)
    assert (settings.model.source, settings.model.max_tokens, settings.model.asymmetric) == ("/elsewhere", 9, True)


def test_environment_and_settings_file_win_over_the_catalogue(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'[worker]\nmodels = "{write(TWO)}"\n[worker.model]\nname = "org/first"\nslug = "file"\n')
    assert build_worker_settings({}, config).model.slug == "file"
    monkeypatch.setenv("KAFKA_EMBEDDINGS_MODEL__SLUG", "environment")
    settings = build_worker_settings({}, config)
    assert (settings.model.slug, settings.model.source) == ("environment", "/models/first")


def test_of_a_catalogue_with_one_model_none_need_be_named(write: Any) -> None:
    assert (
        build_worker_settings({"models": write('[models.only]\nslug = "o"\nsource = "/m"\n')}, None).model.name
        == "only"
    )


def test_a_preset_may_be_taken_under_another_name(write: Any) -> None:
    [model] = read_catalogue(write('[models.mine]\npreset = "nvidia/llama-3.2-nv-embedqa-1b-v2"\n')).values()
    assert (model.name, model.asymmetric, model.query_prefix) == ("mine", True, "query: ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no model"),
        ("models = 5", "names no model"),
        ("[models]\na = 1\n", "names no model"),
        ("[models.a]\n[models.b]\n", "2 models have no slug"),
        ('[models.a]\nslug = "s"\n[models.b]\nslug = "s"\n', "2 models have slug 's'"),
        ('[models.a]\naliases = ["b"]\n[models.b]\nslug = "s"\n', "2 models have name 'b'"),
        ('[models.a]\npreset = "b"\n', "no preset 'b', there are"),
        ('[models.a]\nname = "b"\n', "leave 'name' out"),
        ('[models.a]\nslug = ["s"]\n', "model 'a': slug: input should be a valid string"),
        ("[models.a]\naliases = 5\n", "model 'a': aliases: input should be a valid list"),
        ("[models.a]\npreset = []\n", "no preset []"),
        ("[models.a]\ndim = 5\n", "model 'a': dim: extra inputs"),
        ('[models.a]\nslug = "S"\n', "model 'a': slug: string should match"),
        ("[models.a", "is not TOML"),
    ],
)
def test_what_is_wrong_with_a_catalogue_is_one_line(write: Any, text: str, reason: str) -> None:
    assert reason in refusal(write(text))


def test_it_must_be_clear_which_model_is_meant(write: Any, tmp_path: Path) -> None:
    assert "say which with --name: org/first, baai/bge-m3" in refusal(write(TWO))
    assert "has no model 'other'" in refusal(write(TWO), name="other")
    assert "cannot read" in refusal(tmp_path / "none.toml")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_models_settings(name: str) -> None:
    model = ModelSettings.model_validate({"name": name, **PRESETS[name]})
    assert (model.name, model.slug) == (name, "")


@pytest.mark.parametrize(
    ("name", "query", "passage", "tokens", "dimensions", "pooling", "asymmetric"),
    [
        ("nvidia/nv-embedqa-e5-v5", "query: ", "passage: ", 512, [], "mean", True),
        (
            "nvidia/llama-3.2-nv-embedqa-1b-v2",
            "query: ",
            "passage: ",
            8192,
            [384, 512, 768, 1024],
            "mean",
            True,
        ),
        (
            "nvidia/nv-embed-v1",
            "Instruct: Given a question, retrieve passages that answer the question\nQuery: ",
            "",
            32768,
            [],
            None,
            True,
        ),
        ("baai/bge-m3", "", "", 8192, [], "cls", False),
        # What it leaves open its own files decide: 256 tokens, mean pooling, no prompts.
        ("all-MiniLM-L6-v2", None, None, None, [], None, False),
    ],
)
def test_a_preset_is_what_is_known_of_its_model(
    name: str,
    query: str | None,
    passage: str | None,
    tokens: int | None,
    dimensions: list[int],
    pooling: str | None,
    asymmetric: bool,
) -> None:
    model = ModelSettings.model_validate({"name": name, **PRESETS[name]})
    assert (model.query_prefix, model.passage_prefix) == (query, passage)
    assert (model.max_tokens, model.dimensions) == (tokens, dimensions)
    assert (model.pooling, model.asymmetric) == (pooling, asymmetric)


def test_a_served_name_alone_takes_its_preset() -> None:
    settings = build_worker_settings({"model": {"name": "baai/bge-m3"}}, None)
    assert (settings.model.source, settings.model.pooling) == ("BAAI/bge-m3", "cls")
    assert build_worker_settings({}, None).model.aliases == ["sentence-transformers/all-MiniLM-L6-v2"]


@pytest.mark.parametrize("name", ["nvidia/nv-embedqa-e5-v5", "BAAI/bge-m3", "mine"])
def test_a_name_without_a_source_is_not_served_as_another_model(name: str) -> None:
    with pytest.raises(SettingsError, match="names no source: set --model"):
        build_worker_settings({"model": {"name": name}}, None)
    assert build_worker_settings({"model": {"name": name, "source": "/weights"}}, None).model.source == "/weights"
    assert build_worker_settings({"model": {"name": name, "encoder": "null"}}, None).model.name == name


def test_nv_embed_ends_each_text_and_leaves_its_instruction_out_of_pooling() -> None:
    model = ModelSettings.model_validate({"name": "nvidia/nv-embed-v1", **PRESETS["nvidia/nv-embed-v1"]})
    assert (model.append_eos, model.pool_prefix, model.trust_remote_code) == (True, False, False)
    others = [ModelSettings.model_validate({"name": name, **PRESETS[name]}) for name in PRESETS if name != model.name]
    assert not any(other.append_eos or other.pool_prefix is not None for other in others)
