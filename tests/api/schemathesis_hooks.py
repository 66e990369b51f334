"""Loaded by schemathesis: of what is right by its form, takes what the one model here serves.

A document cannot know the models behind it. What is wrong by its form stays wrong.
"""

from __future__ import annotations

from typing import Any

import schemathesis

_MODEL = "all-MiniLM-L6-v2"
_DIM = 384
_LEAST_SECONDS = 5
_MAX_CHARACTERS = 900
"""Within the model's limit, as the null encoder counts."""


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Let most requests get past what depends on the model."""
    body = case.body
    if not isinstance(body, dict):
        return
    model, dimensions, given = body.get("model"), body.get("dimensions"), body.get("input")
    # Some names stay, so that `model_not_found` is met too.
    if isinstance(model, str) and 1 <= len(model) <= 256 and len(model) % 8:
        body["model"] = _MODEL
    if _is_whole(dimensions) and 1 <= dimensions <= 65536:
        body["dimensions"] = _DIM
    if body.get("embedding_type") in ("int8", "uint8"):
        body["embedding_type"] = "ubinary"
    if body.get("modality") == "image":
        body["modality"] = "text"
    if isinstance(given, str):
        body["input"] = given[:_MAX_CHARACTERS]
    elif isinstance(given, list) and given and all(isinstance(text, str) for text in given):
        body["input"] = [text[:_MAX_CHARACTERS] for text in given]
    elif isinstance(given, list) and 1 <= len(given) <= 2048 and all(map(_is_token_id, given)):
        body["input"] = [str(token) for token in given]
    elif isinstance(given, list) and 1 <= len(given) <= 2048 and all(map(_are_token_ids, given)):
        body["input"] = [str(tokens)[:_MAX_CHARACTERS] for tokens in given]


def _is_token_id(given: Any) -> bool:
    return _is_whole(given) and given >= 0


def _is_whole(given: Any) -> bool:
    """JSON Schema's integer: 512.0 is one."""
    return isinstance(given, int | float) and not isinstance(given, bool) and given == int(given)


def _are_token_ids(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(map(_is_token_id, given))


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Leave out what is neither a fault nor for a document to say.

    A header of no meaning is ignored, and so is a time that cannot be read; the smallest times are answered 504, as
    they should be. Tests of our own hold the times.
    """
    headers = case.headers or {}
    if "x-schemathesis-unknown-property" in headers:
        return False
    try:
        return float(headers.get("x-request-timeout", 20)) >= _LEAST_SECONDS
    except (TypeError, ValueError):
        return False
