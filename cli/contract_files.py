"""The published contracts as files: which there are, and how they are written."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import orjson

from api.openapi import openapi_document
from schemas.asyncapi import asyncapi_document
from schemas.json_schemas import json_schemas

from .contract import Contract

if TYPE_CHECKING:
    from collections.abc import Mapping


def contract_files(contract: Contract | None = None) -> dict[str, dict[str, Any]]:
    """The documents of one contract, or of all: path of the file below its folder -> document."""
    release = version("kafka-embeddings")
    files: dict[str, dict[str, Any]] = {}
    if contract in (None, Contract.OPENAPI):
        files["openapi.json"] = openapi_document(release)
    if contract in (None, Contract.ASYNCAPI):
        files["asyncapi.json"] = asyncapi_document(release)
    if contract in (None, Contract.JSON_SCHEMA):
        files |= {f"json/{name}": document for name, document in json_schemas().items()}
    return files


def encoded(document: Mapping[str, Any]) -> bytes:
    """A document as it is written: two spaces deep, with a line feed at the end."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
