"""Writes the JSON Schemas of every message into `schemas/json/`; run it after changing a model.

python -m schemas.generate
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from .beats import Beat
from .requests import EmbeddingBody, EmbeddingRequest
from .responses import EmbeddingList, EmbeddingResponse, ErrorResponse, FlatResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

FOLDER: Final = Path(__file__).parent / "json"

_REQUESTS: Final[Mapping[str, type[BaseModel]]] = {
    "embedding-body": EmbeddingBody,
    "embedding-request": EmbeddingRequest,
}
_RESPONSES: Final[Mapping[str, type[BaseModel]]] = {
    "embedding-list": EmbeddingList,
    "embedding-response": EmbeddingResponse,
    "error-response": ErrorResponse,
    "flat-response": FlatResponse,
    "beat": Beat,
}


def generate() -> dict[str, bytes]:
    """Every schema as it should stand: file name -> content."""
    documents = {name: model.model_json_schema(mode="validation") for name, model in _REQUESTS.items()}
    documents |= {name: model.model_json_schema(mode="serialization") for name, model in _RESPONSES.items()}
    # A request may leave its id to the message key.
    documents["embedding-request"]["required"].remove("id")
    return {
        f"{name}.schema.json": orjson.dumps(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **document},
            option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
        )
        for name, document in documents.items()
    }


def write() -> None:
    """Bring the folder up to date."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in generate().items():
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    write()
