"""Takes from NVIDIA's OpenAPI document of its embeddings API what ours is held to, and none of its words.

python -m tests.api.nim_document nim-embeddings-openapi.yml > tests/api/nim_document.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

FACTS: Final = Path(__file__).with_suffix(".json")
"""What was taken."""

_PATH: Final = "/v1/embeddings"


def facts(document: dict[str, Any]) -> dict[str, Any]:
    """The operation's names, statuses and security, and every field of its two bodies by its path.

    A field has `types` (`string[]` is an array of strings), whether it is `required`, and where the document has
    them its values (`enum`), its `default` and its `example`.
    """
    operation = document["paths"][_PATH]["post"]
    return {
        "version": document["info"]["version"],
        "path": _PATH,
        "operation_id": operation["operationId"],
        "tags": operation["tags"],
        "body_is_required": operation["requestBody"]["required"],
        "statuses": list(operation["responses"]),
        "security": {
            name: [scheme["type"], scheme["scheme"]]
            for name, scheme in document["components"]["securitySchemes"].items()
        },
        "bodies": {
            name: dict(_fields(document, schema)) for name, schema in document["components"]["schemas"].items()
        },
    }


def _fields(document: dict[str, Any], schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for one in _alternatives(document, schema):
        if one["type"] == "array":
            yield from _fields(document, one["items"], f"{prefix}[]")
        for name, field in one.get("properties", {}).items():
            path = f"{prefix}.{name}" if prefix else name
            told = {part: field[part] for part in ("enum", "default", "example") if part in field}
            yield path, {"types": _types(document, field), "required": name in one.get("required", ()), **told}
            yield from _fields(document, field, path)


def _types(document: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    types = []
    for one in _alternatives(document, schema):
        inner = [f"{each}[]" for each in _types(document, one["items"])] if one["type"] == "array" else [one["type"]]
        types += inner
    return types


def _alternatives(document: dict[str, Any], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "$ref" in schema:
        found: Any = document
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        schema = found
    choices = schema.get("oneOf") or schema.get("anyOf")
    if choices is None:
        yield schema
        return
    for choice in choices:
        yield from _alternatives(document, choice)


if __name__ == "__main__":
    read = yaml.safe_load(Path(sys.argv[1]).read_text())
    sys.stdout.write(json.dumps(facts(read), indent=2) + "\n")
