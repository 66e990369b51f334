"""`worker/encoder/loading.py`: a directory becomes a model, or one clear line."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import configuration_utils

from schemas.requests import EmbeddingType, InputType, Truncate
from worker.encoder import loading
from worker.encoder.loading import load_model
from worker.errors import ModelError
from worker.settings import ModelSettings

from .comparison import encode, least_cosine
from .tiny_models import DIM, LIMIT, a_dense_layer, normalize, pooling_then, save_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from worker.encoder.interface import LoadedModel

pytestmark = pytest.mark.model


def load(source: str | Path, **settings: Any) -> LoadedModel:
    return load_model(ModelSettings(source=str(source), **{"name": "tiny", "device": "cpu"} | settings))


def refusal(source: str | Path = "", **settings: Any) -> str:
    """The one line a model that cannot be loaded is refused with."""
    with pytest.raises(ModelError) as refused:
        load(source, **settings)
    message = str(refused.value)
    assert message
    assert "\n" not in message
    return message


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    save_tiny_model("bert", tmp_path)
    return tmp_path / "model"


# --- what is loaded ---------------------------------------------------------------------------------------


def test_the_packaged_model_is_the_default_and_needs_no_network(default_model: LoadedModel) -> None:
    card = default_model.card
    assert (card.name, card.dim, card.max_tokens) == ("all-MiniLM-L6-v2", 384, 256)
    assert (card.device, card.dtype, card.budget_tokens) == ("cpu", "float32", 2048)
    assert (card.asymmetric, card.dimensions, card.slug) == (False, (), "")
    assert len(card.revision) == 16


def test_a_card_tells_what_settings_and_model_say(tiny: Path) -> None:
    card = load(
        tiny, aliases=["other"], slug="s", asymmetric=True, dimensions=[8, 16], dtype="bfloat16", max_tokens=20
    ).card
    assert (card.name, card.aliases, card.slug, card.asymmetric) == ("tiny", ("other",), "s", True)
    assert (card.dim, card.dimensions, card.max_tokens, card.dtype) == (DIM, (8, 16), 20, "bfloat16")


def test_the_token_limit_is_the_models_own_unless_the_settings_set_one(tiny: Path) -> None:
    assert load(tiny).card.max_tokens == LIMIT
    model = load(tiny, max_tokens=5)
    [tokens] = model.tokenizer.tokenize(["kafka topic offset broker"], [Truncate.END])
    assert (model.card.max_tokens, len(tokens.ids)) == (5, 5)


def test_prompts_are_the_settings_or_the_models_own(tiny: Path) -> None:
    change_json(tiny / "config_sentence_transformers.json", prompts={"query": "q: ", "document": "d: "})
    assert load(tiny).card.prefixes == {InputType.QUERY: "q: ", InputType.PASSAGE: "d: "}
    given = load(tiny, query_prefix="Q ", passage_prefix="P ").card
    assert given.prefixes == {InputType.QUERY: "Q ", InputType.PASSAGE: "P "}
    assert load(tiny, query_prefix="").card.prefixes == {InputType.PASSAGE: "d: "}


def test_without_a_role_the_models_default_prompt_is_put_in_front(tiny: Path) -> None:
    change_json(
        tiny / "config_sentence_transformers.json",
        prompts={"query": "q: ", "retrieval": "r: "},
        default_prompt_name="retrieval",
    )
    assert load(tiny).card.prefixes == {InputType.QUERY: "q: ", None: "r: "}


def test_a_prefix_that_leaves_no_room_for_a_text_is_refused(tiny: Path) -> None:
    message = refusal(tiny, query_prefix="kafka topic offset broker " * LIMIT)
    assert f"the limit is {LIMIT}" in message


@pytest.mark.parametrize("architecture", ["bert", "qwen3"])
@pytest.mark.parametrize("mode", ["mean", "max"])
def test_a_prefix_is_left_out_of_pooling_where_model_or_settings_say_so(
    architecture: str, mode: str, tmp_path: Path
) -> None:
    source = Path(save_tiny_model(architecture, tmp_path))
    change_json(source / "1_Pooling" / "config.json", pooling_mode=mode)
    prefix, texts = "Instruct: find the broker\nQuery: ", ["kafka topic offset", "a", "broker " * 9, "one more text"]
    [told, by_settings] = [
        load(source, query_prefix=prefix, pool_prefix=told, dtype="float32") for told in (None, False)
    ]
    whole = _vectors_of_queries(told, prefix, texts)
    change_json(source / "1_Pooling" / "config.json", include_prompt=False)
    own = load(source, query_prefix=prefix, dtype="float32")
    reference = SentenceTransformer(str(source), device="cpu").encode(texts, prompt=prefix, show_progress_bar=False)

    assert told.card.unpooled == {}
    for model in (by_settings, own):
        assert list(model.card.unpooled) == [prefix]
        assert model.encoder.limits.is_padded
        vectors = _vectors_of_queries(model, prefix, texts)
        assert least_cosine(vectors, reference) >= 0.9999
        assert least_cosine(vectors, whole) < 0.999


def _vectors_of_queries(model: LoadedModel, prefix: str, texts: list[str]) -> NDArray[np.float32]:
    """Each beside a passage of the same batch, of which pooling takes all."""
    tokenized = model.tokenizer.tokenize([prefix + text for text in texts], [Truncate.END] * len(texts))
    left_out = model.card.unpooled.get(prefix, 0)
    ids = [tokens.ids for tokens in tokenized]
    together = model.encoder.encode([*ids, ids[0]], [DIM] * (len(ids) + 1), [left_out] * len(ids) + [0])
    for one, vector in zip(ids, together, strict=False):
        np.testing.assert_allclose(model.encoder.recompute(one, DIM, left_out), vector, atol=1e-4)
    return together[:-1]


def test_an_end_of_text_token_is_put_behind_every_text_and_counted(tmp_path: Path) -> None:
    source = Path(save_tiny_model("qwen3", tmp_path))
    change_json(source / "tokenizer.json", post_processor=None)
    texts = ["kafka topic offset", "a", "broker " * 100]
    plain, ended = load(source, dtype="float32"), load(source, append_eos=True, dtype="float32")
    reference = SentenceTransformer(str(source), device="cpu")
    eos = reference.tokenizer.eos_token_id

    [before, after] = [model.tokenizer.tokenize(texts[:2], [Truncate.NONE] * 2) for model in (plain, ended)]
    assert [tokens.ids for tokens in after] == [[*tokens.ids, eos] for tokens in before]
    for truncation in (Truncate.START, Truncate.END):
        [cut] = ended.tokenizer.tokenize(texts[2:], [truncation])
        assert (len(cut.ids), cut.ids[-1], cut.length_before > LIMIT) == (LIMIT, eos, True)
    theirs = reference.encode([text + reference.tokenizer.eos_token for text in texts[:2]], show_progress_bar=False)
    assert least_cosine(encode(ended, texts[:2], [[0, 1]]), theirs) >= 0.9999
    assert ended.card.revision != plain.card.revision


def test_a_model_without_an_end_of_text_token_cannot_append_one(tiny: Path) -> None:
    assert "no end-of-text token" in refusal(tiny, append_eos=True)


def test_pooling_is_the_models_own_unless_the_settings_set_one(tiny: Path) -> None:
    texts = ["kafka topic offset", "broker"]
    vectors = {
        kind: encode(load(tiny, pooling=kind), texts, [[0, 1]]) for kind in ("cls", "mean", "max", "lasttoken")
    }
    assert np.array_equal(vectors["cls"], encode(load(tiny), texts, [[0, 1]]))
    kinds = list(vectors)
    for first, second in itertools.combinations(kinds, 2):
        assert least_cosine(vectors[first], vectors[second]) < 0.99
    assert load(tiny, pooling="mean").card.revision != load(tiny).card.revision


# --- types of numbers -------------------------------------------------------------------------------------


def test_without_ranges_a_model_serves_floats_and_bits(tiny: Path) -> None:
    card = load(tiny).card
    assert card.embedding_types == (EmbeddingType.FLOAT, EmbeddingType.BINARY, EmbeddingType.UBINARY)
    assert (card.ranges, card.vocabulary) == (None, 0)


@pytest.mark.parametrize("stored", [False, True])
def test_with_ranges_a_model_serves_every_type(tiny: Path, tmp_path: Path, stored: bool) -> None:
    ranges = np.stack([np.full(DIM, -0.5), np.full(DIM, 0.25)]).astype(np.float32)
    np.save(tmp_path / "ranges.npy", ranges)
    card = load(tiny, embedding_ranges=tmp_path / "ranges.npy" if stored else (-0.5, 0.25)).card
    assert set(card.embedding_types) == set(EmbeddingType)
    assert card.ranges is not None
    assert np.array_equal(card.ranges, ranges)
    assert card.revision != load(tiny).card.revision


def test_the_settings_may_leave_types_out(tiny: Path) -> None:
    assert load(tiny, embedding_types=["float"]).card.embedding_types == (EmbeddingType.FLOAT,)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"embedding_types": ["float", "int8"]}, "int8 needs 'embedding_ranges'"),
        ({"embedding_ranges": (0.5, 0.5)}, "must be below its highest"),
        ({"embedding_ranges": "/no/such/ranges.npy"}, "not a .npy file of shape (2, 32)"),
        ({"dimensions": [8, 33]}, "'dimensions' allows 33"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(tiny: Path, settings: dict[str, object], reason: str) -> None:
    assert reason in refusal(tiny, **settings)


def test_ranges_of_another_length_are_refused(tiny: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "ranges.npy", np.stack([np.zeros(5), np.ones(5)]))
    assert "shape (2, 32)" in refusal(tiny, embedding_ranges=tmp_path / "ranges.npy")


def test_token_ids_are_accepted_where_the_settings_say_so(tiny: Path) -> None:
    assert load(tiny, accept_token_ids=True).card.vocabulary == 400


# --- revisions --------------------------------------------------------------------------------------------


def test_the_revision_is_the_same_on_every_load_from_any_place_and_in_any_dtype(tiny: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tiny, elsewhere)
    revisions = {load(tiny, dtype=dtype).card.revision for dtype in ("float32", "bfloat16", "float16")}
    revisions |= {load(elsewhere).card.revision, load(tiny, name="another name", slug="s").card.revision}
    assert len(revisions) == 1


def test_the_library_that_loads_a_model_is_no_part_of_its_revision(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load(tiny).card.revision
    monkeypatch.setattr(configuration_utils, "__version__", "99.0")
    assert load(tiny).card.revision == before


def test_weights_a_checkpoint_lacks_do_not_make_every_worker_another_revision(tiny: Path) -> None:
    weights = {name: tensor for name, tensor in load_file(tiny / "model.safetensors").items() if "pooler" not in name}
    save_file(weights, tiny / "model.safetensors", metadata={"format": "pt"})
    assert load(tiny).card.revision == load(tiny).card.revision


def other_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][7, 3] += 0.001
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def other_vocabulary(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    one, two = list(vocabulary)[50:52]
    vocabulary[one], vocabulary[two] = vocabulary[two], vocabulary[one]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


@pytest.mark.parametrize(
    "change",
    [
        other_weights,
        other_vocabulary,
        lambda folder: change_json(folder / "config.json", hidden_act="relu"),
        lambda folder: change_json(folder / "1_Pooling" / "config.json", pooling_mode="mean"),
        lambda folder: change_json(folder / "config_sentence_transformers.json", prompts={"query": "q: "}),
    ],
    ids=["weights", "tokenizer", "configuration", "pooling", "prompts"],
)
def test_whatever_decides_a_vector_makes_another_revision(tiny: Path, change: Callable[[Path], None]) -> None:
    before = load(tiny).card.revision
    change(tiny)
    assert load(tiny).card.revision != before


def test_settings_that_decide_a_vector_make_another_revision(tiny: Path) -> None:
    settings: list[dict[str, Any]] = [{}, {"max_tokens": 20}, {"query_prefix": "q: "}, {"passage_prefix": "q: "}]
    assert len({load(tiny, **given).card.revision for given in settings}) == len(settings)


def test_layers_behind_the_pooling_are_part_of_the_revision(tmp_path: Path) -> None:
    behind = {
        "none": pooling_then(),
        "normalize": pooling_then(normalize()),
        "dense": pooling_then(a_dense_layer()),
        "other dense": pooling_then(a_dense_layer(seed=6)),
    }
    sources = [save_tiny_model("bert", tmp_path / name, after=after) for name, after in behind.items()]
    assert len({load(source).card.revision for source in sources}) == len(behind)


# --- what cannot be loaded --------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["/no/such/folder", "./no/such/folder", "~/no-such-folder"])
def test_a_missing_directory_is_named(source: str) -> None:
    message = refusal(source)
    assert message.startswith("no model directory")
    assert source.removeprefix("./").removeprefix("~") in message
    assert "--model" in message


def test_a_file_is_no_model_directory(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert "no model directory" in refusal(tmp_path / "model.safetensors")


def damage(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: shutil.rmtree(folder) or folder.mkdir(),
        damage("config.json", b"{}"),
        damage("config.json", b"not JSON"),
        damage("modules.json", b"{"),
        damage("model.safetensors", b"cut off"),
        damage("tokenizer.json", b"{"),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "tokenizer.json").unlink(),
        lambda folder: change_json(folder / "config.json", model_type="nonesuch"),
        lambda folder: change_json(folder / "config.json", hidden_size=16),
    ],
    ids=[
        "empty folder",
        "empty configuration",
        "configuration that is no JSON",
        "modules that are no JSON",
        "weights cut off",
        "tokenizer that is no JSON",
        "no weights",
        "no tokenizer",
        "unknown architecture",
        "weights of another shape",
    ],
)
def test_a_directory_that_is_no_model_is_refused_by_its_name(tiny: Path, change: Callable[[Path], Any]) -> None:
    change(tiny)
    assert repr(str(tiny)) in refusal(tiny)


def test_a_model_that_needs_remote_code_is_refused(tiny: Path) -> None:
    change_json(tiny / "config.json", model_type="nonesuch", auto_map={"AutoConfig": "c.C", "AutoModel": "m.M"})
    assert "say `worker --trust-remote-code`" in refusal(tiny)


def test_a_model_without_a_vocabulary_is_not_served(default_model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(default_model_folder, folder)
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink()
    assert "has no vocabulary" in refusal(folder)


def test_the_packaged_model_being_absent_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_DEFAULT_PACKAGE", "no_such_package_at_all")
    assert "kafka-embeddings[worker]" in refusal()


@pytest.mark.parametrize("device", ["gpu", "nonsense:7"])
def test_a_device_nobody_knows_is_refused(tiny: Path, device: str) -> None:
    assert "Expected one of cpu, cuda" in refusal(tiny, device=device)


@pytest.mark.parametrize(
    ("max_tokens", "reason"), [(1, "no room beside 2"), (2, "no room beside 2"), (65, "takes 64 tokens at the most")]
)
def test_a_token_limit_the_model_cannot_keep_is_refused(tiny: Path, max_tokens: int, reason: str) -> None:
    assert reason in refusal(tiny, max_tokens=max_tokens)


def test_robertas_positions_begin_behind_its_padding_token(tmp_path: Path) -> None:
    source = save_tiny_model("xlm-roberta", tmp_path)
    assert "takes 64 tokens at the most" in refusal(source, max_tokens=65)
    model = load(source, max_tokens=64)
    [tokens] = model.tokenizer.tokenize(["kafka topic offset " * 40], [Truncate.END])
    assert np.isfinite(model.encoder.encode([tokens.ids], [DIM])).all()


def test_the_packaged_model_may_be_served_under_another_name() -> None:
    card = load("all-MiniLM-L6-v2", name="text-embedding-3-small").card
    assert (card.name, card.dim) == ("text-embedding-3-small", 384)


@pytest.mark.parametrize("max_tokens", [3, 64])
def test_a_token_limit_the_model_just_keeps_is_taken(tiny: Path, max_tokens: int) -> None:
    model = load(tiny, max_tokens=max_tokens)
    [tokens] = model.tokenizer.tokenize(["kafka topic offset " * 40], [Truncate.END])
    assert len(tokens.ids) == max_tokens
    assert model.encoder.encode([tokens.ids], [DIM]).shape == (1, DIM)
