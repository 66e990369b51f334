"""What `docs/models.md` says of presets and settings, where the code can be asked."""

from __future__ import annotations

import re

from schemas.requests import EmbeddingType
from worker.catalogue import PRESETS
from worker.settings import ModelSettings

from .pages import DOCS

_PAGE = (DOCS / "models.md").read_text()


def _rows(heading: str) -> dict[str, list[str]]:
    section = _PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:2] == "| "
    ]
    return {row[0].strip("`"): row[1:] for row in rows[1:]}


def test_every_preset_has_its_row_with_its_source_its_limit_and_its_dimensions() -> None:
    rows = _rows("Presets")
    assert set(rows) == set(PRESETS)
    for name, (source, _, tokens, dimensions, tried) in rows.items():
        assert tried in ("yes", "no")
        preset = ModelSettings.model_validate(PRESETS[name])
        assert preset.source in source
        assert preset.source or "packaged" in source or "not public" in source
        assert tokens == str(preset.max_tokens or "the model's own")
        assert dimensions == ", ".join([*map(str, preset.dimensions), "native"])


def test_every_key_of_an_entry_is_a_setting_and_every_type_has_its_row() -> None:
    named = {key for row in _rows("An entry") for key in re.findall(r"\w+", row)} - {"preset"}
    assert named <= set(ModelSettings.model_fields)
    assert set(_rows("Types of numbers")) == set(EmbeddingType)
