"""The catalogue: a TOML file that names the models of an installation, and the presets of well-known ones.

    [models."all-MiniLM-L6-v2"]

    [models."baai/bge-m3"]
    slug = "bge-m3"
    source = "/models/bge-m3"

An entry's keys are those of `ModelSettings`. It starts from the preset of its name, or from the one that `preset`
names; flags, environment and settings file come over it. One model may do without a slug, the default one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from transport.errors import SettingsError
from transport.settings import read_toml

from .settings import DEFAULT_MODEL, ModelSettings, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_E5: Final = {"query_prefix": "query: ", "passage_prefix": "passage: ", "asymmetric": True}
_NV_EMBED: Final = {
    "query_prefix": "Instruct: Given a question, retrieve passages that answer the question\nQuery: ",
    "passage_prefix": "",
    "asymmetric": True,
    "max_tokens": 32768,
    "append_eos": True,
    "pool_prefix": False,
}

PRESETS: Final[dict[str, dict[str, Any]]] = {
    DEFAULT_MODEL: {"aliases": ["sentence-transformers/all-MiniLM-L6-v2"]},
    "nvidia/nv-embedqa-e5-v5": {**_E5, "max_tokens": 512, "pooling": "mean"},
    "nvidia/llama-3.2-nv-embedqa-1b-v2": {
        **_E5,
        "source": "nvidia/llama-3.2-nv-embedqa-1b-v2",
        "max_tokens": 8192,
        "dimensions": [384, 512, 768, 1024],
        "pooling": "mean",
    },
    "nvidia/nv-embed-v1": {**_NV_EMBED, "source": "nvidia/NV-Embed-v1"},
    "baai/bge-m3": {
        "source": "BAAI/bge-m3",
        "query_prefix": "",
        "passage_prefix": "",
        "max_tokens": 8192,
        "pooling": "cls",
    },
}
"""By served name. Sources: NVIDIA's NIM support matrix and the models' own cards."""


def read_catalogue(path: Path) -> dict[str, ModelSettings]:
    """The models of a catalogue, by served name, in the file's order.

    Raises:
        SettingsError: One line that names the entry at fault.
    """
    models = {name: _checked(path, name, entry) for name, entry in _entries(path).items()}
    _check_unique(path, "slug", (model.slug for model in models.values()))
    _check_unique(path, "name", (name for model in models.values() for name in (model.name, *model.aliases)))
    return models


def build_worker_settings(flags: dict[str, Any], config: Path | None) -> WorkerSettings:
    """A worker's settings, its model's catalogue entry or preset beneath flags, environment and file.

    Raises:
        SettingsError: Settings or catalogue are wrong, or it is open which model is meant.
    """
    given = WorkerSettings.build(flags, config, "worker")
    name = given.model.name
    entry: dict[str, Any] | None = PRESETS.get(name)
    if given.models is not None:
        catalogue = read_catalogue(given.models)
        if "name" not in given.model.model_fields_set:
            name = _only(given.models, catalogue)
        if name not in catalogue:
            raise SettingsError(f"{given.models} has no model {name!r}: it has {', '.join(catalogue)}")
        entry = catalogue[name].model_dump(exclude_unset=True)
    if entry is not None:
        given = WorkerSettings.build(flags, config, "worker", {"model": {**entry, "name": name}})
    if given.model.encoder != "null":
        _check_can_be_loaded(given.model)
    return given


def _check_can_be_loaded(model: ModelSettings) -> None:
    if not model.source and model.name != DEFAULT_MODEL:
        raise SettingsError(
            f"model {model.name!r} names no source: set --model, or `source` in the catalogue, to a directory or a "
            f"hub id ({DEFAULT_MODEL} for the packaged model)"
        )


def neighbours(settings: WorkerSettings) -> list[ModelSettings]:
    """The catalogue's other models."""
    if settings.models is None:
        return []
    return [model for name, model in read_catalogue(settings.models).items() if name != settings.model.name]


def _only(path: Path, catalogue: dict[str, ModelSettings]) -> str:
    if len(catalogue) > 1:
        raise SettingsError(f"{path} has several models, say which with --name: {', '.join(catalogue)}")
    return next(iter(catalogue))


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    """The file's entries over their presets."""
    models = read_toml(path).get("models")
    if not isinstance(models, dict) or not models or not all(isinstance(entry, dict) for entry in models.values()):
        raise SettingsError(f'{path} names no model: add a table such as [models."{DEFAULT_MODEL}"]')
    return {name: _over_preset(path, name, entry) for name, entry in models.items()}


def _over_preset(path: Path, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    own = dict(entry)
    preset = own.pop("preset", name)
    if "name" in own:
        raise SettingsError(f"{path}: model {name!r}: the table's own name is the served name, leave 'name' out")
    if preset != name and str(preset) not in PRESETS:
        raise SettingsError(f"{path}: model {name!r}: no preset {preset!r}, there are {', '.join(PRESETS)}")
    return {**PRESETS.get(str(preset), {}), **own}


def _check_unique(path: Path, what: str, values: Iterable[str]) -> None:
    for value, count in Counter(values).items():
        if count > 1:
            said = f"{what} {value!r}" if value else f"no {what}"
            raise SettingsError(f"{path}: {count} models have {said}: each needs one of its own")


def _checked(path: Path, name: str, entry: dict[str, Any]) -> ModelSettings:
    try:
        return ModelSettings.model_validate({**entry, "name": name})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{first['msg'][0].lower()}{first['msg'][1:]}"
        raise SettingsError(f"{path}: model {name!r}: {where}: {message}") from None
